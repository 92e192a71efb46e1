"""What a search can find can leave PyTorch: every network exports for pictures of any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nas.deploy.exportable import INPUT, Exportable, program, traced
from search_spaces import build, fuse, load_space, published, references
from search_spaces.blocks.pooling import max_pool_by
from search_spaces.space import PRESETS

SIZES = ((8, 8), (9, 14), (17, 11), (50, 71))
"""No working factor divides them all, and few of them."""

IN_ONNX = ("VPEG-S", "CASR", "USTC Noah")
"""Between them: pooling, unshuffling, a strided stem, a cascade, the LR residual."""


def pictures(count=1, smallest=8):
    torch.manual_seed(0)
    return [torch.rand(count, 3, *(max(smallest, side) for side in size)) for size in SIZES]


def worst(run, network, given):
    """The largest difference of a portable form from the network whose values it clamps."""
    with torch.no_grad():
        return max((run(x) - network(x).clamp(0, 1)).abs().max().item() for x in given)


def deployed(architecture):
    """A deploy form with weights that training has moved."""
    network = build(architecture, seed=0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return fuse(network)


def in_onnxruntime(exported):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    written = torch.onnx.export(exported, dynamo=True, verbose=False, input_names=[INPUT])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(written.model_proto.SerializeToString(), options)
    return lambda x: torch.from_numpy(session.run(None, {INPUT: x.numpy()})[0])


@pytest.mark.parametrize("name", published)
def test_a_published_network_exports_for_any_size_and_batch(name):
    torch.manual_seed(0)
    network = deployed(published[name].architecture)
    graph = program(Exportable(network))
    assert graph.smallest == 8 and graph.batch
    assert worst(graph.exported.module(), network, [*pictures(), *pictures(3)]) < 1e-5


@pytest.mark.parametrize(
    "name",
    [*IN_ONNX, *(pytest.param(n, marks=pytest.mark.slow) for n in published if n not in IN_ONNX)],
)
def test_onnxruntime_computes_the_same(name):
    torch.manual_seed(0)
    network = deployed(published[name].architecture)
    run = in_onnxruntime(program(Exportable(network)).exported)
    assert worst(run, network, [*pictures(), *pictures(2)]) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", references)
def test_a_comparator_exports_for_any_size(name):
    network = fuse(build(references[name].architecture, seed=0))
    graph = program(Exportable(network))
    assert worst(graph.exported.module(), network, pictures(smallest=graph.smallest)) < 1e-5


@pytest.mark.parametrize("name", ["VPEG-S", "CASR"])
def test_torchscript_computes_the_same(name):
    torch.manual_seed(0)
    network = deployed(published[name].architecture)
    assert worst(traced(Exportable(network)), network, [*pictures(), *pictures(2)]) < 1e-5


def test_a_fixed_size_is_that_size_only():
    network = deployed(published["CASR"].architecture)
    run = program(Exportable(network), (17, 22)).exported.module()
    x = torch.rand(1, 3, 17, 22)
    assert worst(run, network, [x]) < 1e-5
    with pytest.raises(Exception, match="22"):
        run(x[..., :21])


@st.composite
def samples(draw):
    space = load_space(draw(st.sampled_from(PRESETS)))
    chosen = {d.name: draw(st.sampled_from(d.choices)) for d in space.dimensions}
    sides = st.integers(8, 40)
    return space.architecture(chosen), (draw(sides), draw(sides))


@settings(max_examples=5, derandomize=True, deadline=None, database=None)
@given(samples())
def test_a_sample_of_any_preset_builds_folds_runs_at_odd_sizes_and_exports(sample):
    architecture, size = sample
    torch.manual_seed(0)
    network = build(architecture, seed=0).eval()
    folded = fuse(network)
    x = torch.rand(1, 3, *size)
    with torch.no_grad():
        out = network(x)
        assert out.shape == (1, 3, 4 * size[0], 4 * size[1])
        assert (folded(x) - out).abs().max() <= 1e-4 * out.abs().max()
    graph = program(Exportable(folded))
    assert graph.smallest == 8 and graph.batch
    assert worst(graph.exported.module(), folded, [x, *pictures()]) < 1e-5


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.filterwarnings("ignore")
def test_pooling_of_unknown_sizes_has_adaptive_poolings_windows(factor):
    def pool(x):
        return max_pool_by(x, factor)

    unknown = torch.jit.trace(pool, torch.rand(1, 2, 37, 29), check_trace=False)
    values = torch.from_numpy(np.random.default_rng(0).permutation(90 * 90).astype(np.float32))
    plane = values.reshape(1, 1, 90, 90)
    for height in range(factor, 91):
        x = plane[:, :, :height, : 98 - height]
        wanted = F.adaptive_max_pool2d(x, (height // factor, x.shape[-1] // factor))
        assert torch.equal(unknown(x), wanted), x.shape
        assert torch.equal(pool(x), wanted)
