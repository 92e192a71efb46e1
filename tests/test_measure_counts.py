"""What a candidate costs by its description: to the bit what the network is, built and traced."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from nas.measure.cost import counts
from nas.measure.cost.cost import network_macs
from nas.measure.cost.counts import count, layers_as_run
from nas.measure.cost.memory import compute_memory
from nas.measure.cost.trace import deploy_form, inference_form, trace
from nas.measure.latency.predict import LatencyModel
from search_spaces import Architecture, InputError, Stage, Tail, load_space, published
from search_spaces.architecture import (
    INPUTS,
    OUTPUTS,
    SKIPS,
)
from search_spaces.blocks import LinearBlock, blocks, linear_sizes
from search_spaces.blocks.folding import Kernel, add
from search_spaces.blocks.linear import Branch, Conv
from search_spaces.components import activations, residuals, stems
from search_spaces.space import PRESETS
from search_spaces.zoo.references import references

SIZES = ((540, 960), (47, 61))
PRECISIONS = ("float16", "float32")
MODEL = LatencyModel.load()
KNOWN = {**published, **references}
OWN = tuple(blocks)


@pytest.fixture
def unbuilt(monkeypatch):
    """Let nothing be built for a count."""

    def forbidden(*args):
        raise AssertionError("a network was built")

    for name in ("deploy_form", "inference_form"):
        monkeypatch.setattr(counts, name, forbidden)


def assert_as_built(architecture, height, width, precision):
    """A count is what the built network counts."""
    counted = count(architecture, height, width, precision)
    plain = deploy_form(architecture)
    simple = inference_form(plain, "device")
    layers, fewer = (trace(form, height, width) for form in (plain, simple))
    assert counted.layers == layers == layers_as_run(architecture, "challenge", height, width)
    assert layers_as_run(architecture, "device", height, width) == fewer
    assert counted.params == sum(parameter.numel() for parameter in plain.parameters())
    assert counted.macs == network_macs(plain, layers)
    assert counted.memory_mb == compute_memory(simple, height, width, precision).mb
    for mode, traced in (("challenge", layers), ("device", fewer)):
        predicted = replace(MODEL, mode=mode).predict(architecture, height, width)
        assert predicted.ms == MODEL.predict_ms(traced)


def drawn(draw, number, seed):
    """Architectures that can be built, with sizes and precisions."""
    choose = random.Random(seed)
    while number:
        try:
            architecture = draw(choose)
            deploy_form(architecture)
        except InputError:  # some corners contradict
            continue
        yield architecture, *choose.choice(SIZES), choose.choice(PRECISIONS)
        number -= 1


def of_space(name, choose):
    space = load_space(name)
    return space.architecture({d.name: choose.choice(d.choices) for d in space.dimensions})


def of_any_kind(choose):
    """Any block in any place, far from what a space would pair."""
    width = choose.randint(1, 12) * 4
    block, flag = partial(choose.choice, OWN), partial(choose.choice, (True, False))
    stem, stem_block = choose.choice(tuple(stems)), block()
    if stem.startswith("strided") and not linear_sizes(stem_block):
        raise InputError("a clipped tail is no strided stem")
    stages = [
        Stage(block(), choose.choice((width, 24)), choose.randint(1, 2))
        for _ in range(choose.randint(0, 3))
    ]
    return Architecture(
        stem=stem,
        width=width,
        stages=tuple(stages),
        tail=Tail(choose.choice((1, 3)), choose.choice((0, 0, 3, 5)), block(), flag()),
        activation=choose.choice(tuple(activations)),
        bias=flag(),
        skip=choose.choice(SKIPS),
        residual=choose.choice(residuals()),
        stem_block=stem_block,
        stem_activation=flag(),
        neck=choose.choice(("none", block())),
        inputs=choose.choice(INPUTS),
        output=choose.choice(OUTPUTS),
    )


DRAWS = {name: partial(of_space, name) for name in PRESETS} | {"any": of_any_kind}


@pytest.mark.parametrize("name", DRAWS)
def test_samples_are_counted_as_built(unbuilt, name):
    for sample in drawn(DRAWS[name], 25, seed=0):
        assert_as_built(*sample)


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWS)
def test_thousands_of_samples_are_counted_as_built(unbuilt, name):
    for sample in drawn(DRAWS[name], 1500, seed=1):
        assert_as_built(*sample)


@pytest.mark.parametrize("name", KNOWN)
def test_known_networks_are_counted_as_built(unbuilt, name):
    for size, precision in zip(SIZES, PRECISIONS, strict=True):
        assert_as_built(KNOWN[name].architecture, *size, precision)


@pytest.mark.parametrize("name", [name for name in OWN if not name.startswith("etds")])
@pytest.mark.parametrize("bias", [True, False])
def test_every_block_is_counted_as_built(unbuilt, name, bias):
    stages = (Stage(name, 16), Stage(name, 24))  # channels that stay, and channels that change
    assert_as_built(Architecture(stages=stages, bias=bias, activation="silu"), 48, 80, "float16")


@pytest.mark.parametrize("end", ["etds", "etds_ecb"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("inputs", ["rgb", "gradient"])
def test_clipped_tails_are_counted_as_built(unbuilt, end, bias, inputs):
    architecture = Architecture(
        stem_block=f"{end}_stem",
        stages=(Stage(end, 24),),
        tail=Tail(block=f"{end}_clip"),
        bias=bias,
        inputs=inputs,
    )
    assert_as_built(architecture, 48, 80, "float16")
    plain_tail = replace(architecture, tail=Tail(block="etds_tail"), skip="concat", neck=end)
    assert_as_built(plain_tail, 48, 80, "float16")


class Gated(nn.Module):
    """A block that somebody wrote: it folds in part, and gives a map that is a view of another."""

    def __init__(self, in_channels, out_channels, *, bias=True):
        super().__init__()
        self.mix = Conv(in_channels, 2 * out_channels, bias=bias)
        self.register_buffer("scale", torch.ones(out_channels, 1, 1))

    def forward(self, x):
        value, gate = self.mix(x).chunk(2, dim=1)
        return value.mul_(gate.sigmoid() * self.scale).permute(0, 2, 3, 1).permute(0, 3, 1, 2)


class Twice(LinearBlock):
    """Its bias is there whether it is asked for or not."""

    def __init__(self, in_channels, out_channels, **options):
        super().__init__(in_channels, out_channels, **options)
        self.one = Branch(in_channels, out_channels, self.kernel_size, True)
        self.other = Branch(in_channels, out_channels, self.kernel_size, False)

    def folded(self) -> Kernel:
        return add(self.one.kernel, self.other.kernel)


@pytest.fixture
def plugin(monkeypatch, request):
    """Register a block under a name of its own until the test ends."""

    def register(block):
        name = f"{request.node.name} {len(blocks)}"
        monkeypatch.setitem(blocks._items, name, block)
        return name

    return register


@pytest.mark.parametrize("bias", [True, False])
def test_blocks_of_plugins_are_counted_as_built(unbuilt, plugin, bias):
    gated, twice = plugin(Gated), plugin(Twice)
    stages = (Stage(gated, 16, 2), Stage(twice, 16, 2), Stage(gated, 12), Stage("safmn", 16))
    for skip in ("none", "long", "concat"):
        architecture = Architecture(stages=stages, bias=bias, skip=skip, tail=Tail(block=twice))
        for size, precision in zip(SIZES, PRECISIONS, strict=True):
            assert_as_built(architecture, *size, precision)


def test_blocks_that_share_weights_or_keep_maps_are_counted_as_built(plugin):
    class Keeps(nn.Module):
        def __init__(self, in_channels, out_channels, *, bias=True):
            super().__init__()
            self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)

        def forward(self, x):
            self.last = self.conv(x)
            return self.last.relu()

    shared = nn.Conv2d(16, 16, 3, padding=1)
    for block in (Keeps, lambda in_channels, out_channels, *, bias=True: shared):
        architecture = Architecture(stages=(Stage(plugin(block), 16, 3),))
        assert_as_built(architecture, 24, 24, "float16")


@pytest.mark.parametrize(
    "changes",
    [
        {"stages": (Stage("unheard_of", 8),)},
        {"stem_block": "spab"},
        {"stem_block": "etds_stem", "stem": "unshuffle2"},
        {"stages": (Stage("etds", 3),)},
        {"stages": (Stage("safmn", 10),)},
        {"stem": "strided2x4", "stem_block": "ecb"},
    ],
)
def test_what_cannot_be_built_is_refused_as_by_building_it(changes):
    architecture = Architecture(**changes)
    with pytest.raises(InputError) as built:
        deploy_form(architecture)
    for refused in (count, lambda a: layers_as_run(a, "device")):
        with pytest.raises(InputError) as counted:
            refused(architecture)
        assert str(counted.value) == str(built.value)


def test_counting_draws_nothing_from_the_generator(plugin):
    stages = (Stage(plugin(Gated), 16), Stage("spab", 20), Stage("ecb", 44))
    architecture = Architecture(stem="unshuffle4", inputs="gradient", stages=stages)
    torch.manual_seed(0)
    count(architecture)
    drawn_after = torch.rand(4)
    torch.manual_seed(0)
    assert torch.equal(drawn_after, torch.rand(4))
