"""Networks that predict luma: every form computes the same, chroma stays, training sees luma."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from refusals import refused
from small_training import TWO_STAGES, run
from torch.nn import functional as F

from nas.data.sample import sample_set
from nas.data.store import open_set
from nas.measure.cost.cost import cost
from nas.measure.cost.memory import compute_memory
from nas.measure.cost.trace import inference_form, trace
from nas.measure.tiling import upscale_picture
from nas.training.data.batches import Batch
from nas.training.engine.objective import Prediction, objective
from nas.training.engine.student import Student
from nas.training.losses.losses import losses
from nas.training.losses.phases import PhaseLoss
from nas.training.proxy.proxy import ProxyResult, ProxySettings, proxy_data, run_proxy
from nas.training.recipe.stage import Stage as RecipeStage
from search_spaces import Architecture, InputError, Stage, Tail, build, fuse, load_space
from search_spaces.components import interpolations, residuals, stems
from search_spaces.model_file import load_model
from search_spaces.networks.inference import simplified
from search_spaces.networks.parts import luma
from search_spaces.networks.residual import Residual
from search_spaces.space import PRESETS

TAILS = (Tail(block="ecb"), Tail(kernel=1), Tail(cascade=3, activation=False), Tail(cascade=8))
BODY = {"width": 10, "stages": (Stage("ecb", 10, 1),), "output": "luma", "residual": "bicubic"}


def moved(architecture: Architecture):
    """A training form whose every parameter has left its initial value."""
    network = build(architecture, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


@pytest.mark.parametrize("inputs", ["rgb", "luma", "gradient"])
@pytest.mark.parametrize("stem", stems)
def test_every_form_adds_one_plane_to_all_colours(stem, inputs):
    x = torch.rand(2, 3, 13, 10, generator=torch.Generator().manual_seed(0))
    for residual, tail in itertools.product(tuple(interpolations), TAILS):
        a = Architecture(**{**BODY, "residual": residual}, stem=stem, tail=tail, inputs=inputs)
        network = moved(a)
        with torch.no_grad():
            made = network(x)
            for form in (fuse(network), simplified(network)):
                assert torch.allclose(form(x), made, atol=1e-4)
            plane = made - F.pixel_shuffle(Residual(residual)(x), 4)
            assert torch.allclose(plane, plane[:, :1].expand_as(plane), atol=1e-5)
            padded = network.padded(x)
            phases = network.reconstruct(network.features(padded), luma(padded))
            trained = F.pixel_shuffle(phases, network.shuffle)[..., :52, :40]
            assert torch.allclose(trained, luma(made), atol=1e-4)


@pytest.mark.parametrize("inputs", ["rgb", "luma"])
def test_training_starts_near_lanczos(inputs):
    x = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    lanczos = luma(F.pixel_shuffle(Residual("lanczos")(x), 4))
    for residual in ("nearest", "bilinear"):
        for stem, tail in (("conv", Tail()), ("unshuffle2", Tail()), ("conv", Tail(cascade=3))):
            fields = {**BODY, "residual": residual, "stem": stem, "tail": tail, "inputs": inputs}
            network = build(Architecture(**fields), seed=0)
            with torch.no_grad():
                off = (luma(network(x)) - lanczos).abs().mean()
                bare = luma(F.pixel_shuffle(Residual(residual)(x), 4))
            assert off < 0.65 * (bare - lanczos).abs().mean()


def test_it_costs_a_third_of_the_tail():
    rgb, plane, seen = (
        Architecture(**{**BODY, "output": output}, inputs=inputs)
        for output, inputs in (("rgb", "rgb"), ("luma", "rgb"), ("luma", "luma"))
    )
    costs = [cost(architecture) for architecture in (rgb, plane, seen)]
    tail = 10 * 9 * 48 * 540 * 960
    assert costs[0].macs - costs[1].macs == tail * 2 // 3
    assert costs[1].params - costs[2].params == 2 * 10 * 9
    assert all(each.agree for each in costs)
    memory = [compute_memory(architecture).mb for architecture in (rgb, plane)]
    assert memory[1] < memory[0]
    names = [layer.name for layer in trace(inference_form(seen, "device"), 24, 24)]
    assert not any("stem.0" in name for name in names), "the stem reads colours itself"


def test_contradictions_are_refused():
    for residual in set(residuals()) - set(interpolations):
        with pytest.raises(InputError, match="interpolation of the image"):
            Architecture(output="luma", residual=residual, tail=Tail(cascade=3))
    with pytest.raises(InputError, match="set output to luma"):
        Architecture(inputs="luma")


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_sample_luma_networks_and_map_them_back(preset):
    space = load_space(preset)
    first = {d.name: d.choices[0] for d in space.dimensions}
    for residual in next(d.choices for d in space.dimensions if d.name == "residual"):
        a = space.architecture({**first, "output": "luma", "inputs": "luma", "residual": residual})
        assert (a.output, a.inputs) == ("luma", "luma") and a.residual in interpolations
        assert space.architecture(space.parameters(a)) == a
    assert space.architecture({**first, "output": "rgb", "inputs": "luma"}).inputs == "rgb"


def test_descriptions_from_before_keep_their_key():
    assert Architecture().key == Architecture.from_dict({"stem": "conv"}).key
    old = {name: value for name, value in Architecture().to_dict().items() if name != "output"}
    assert Architecture.from_dict(old) == Architecture()
    assert "luma" in Architecture(**BODY).label


class TestTraining:
    def test_the_gradient_of_a_proxy_step_is_the_one_that_autograd_finds(self):
        generator = torch.Generator().manual_seed(0)
        hr, taught = (
            torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8, generator=generator)
            for _ in range(2)
        )
        phases = torch.rand(2, 64, 2, 2, generator=generator, requires_grad=True)
        target = luma(0.9 * hr.float() / 255 + 0.1 * taught.float() / 255)
        expected = (F.pixel_shuffle(phases, 8) - target).square().mean()
        expected.backward()
        loss, gradient = PhaseLoss(8, 0.8, 0.1)(phases.detach(), hr.split(1), taught.split(1))
        torch.testing.assert_close(loss, expected.detach())
        torch.testing.assert_close(gradient, phases.grad)

    @pytest.mark.parametrize("name", [n for n in losses if not losses[n].uncertain])
    def test_every_loss_of_a_recipe_compares_luma(self, name):
        torch.manual_seed(0)
        hr = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
        batch = Batch(torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8), hr)
        made = Prediction(torch.rand(2, 16, 8, 8), 4, torch.rand(2, 10, 8, 8))
        stage = RecipeStage(steps=1, losses={name: 1})
        student = Student(build(Architecture(**BODY), 0))
        function = losses["mse" if name == "luma_mse" else name].function
        expected = function(made.picture, luma(hr.float() / 255))
        torch.testing.assert_close(objective(stage, student, made, batch, 0.0), expected)

    def test_a_proxy_run_gains_luma_and_leaves_grey_lines_grey(self, tmp_path):
        data = proxy_data(open_set(sample_set()))
        settings = ProxySettings(steps=40)
        for fields in ({}, {"stem": "unshuffle2", "inputs": "luma"}):
            a = Architecture(**BODY, activation="prelu", **fields)
            *_, result = run_proxy(a, data, settings)
            assert isinstance(result, ProxyResult) and result.gain_db > 0
            path = tmp_path / "model.safetensors"
            path.write_bytes(result.state)
            drawn = upscale_picture(load_model(path).network, grey_lines()).int()
            assert (drawn.amax(-1) - drawn.amin(-1)).max() <= 1

    def test_a_recipe_trains_it_in_all_its_forms(self, pair_set, tmp_path):
        small = Architecture(**{**BODY, "width": 8, "stages": (Stage("ecb", 8, 1),)})
        run(pair_set, tmp_path, TWO_STAGES, small)
        assert load_model(tmp_path / "best.safetensors").architecture.output == "luma"


def test_an_exported_file_computes_the_same(nas, tmp_path):
    import onnxruntime

    from search_spaces.model_file import Model, save_model

    for number, stem in enumerate(("conv", "unshuffle3", "strided2")):
        network = fuse(moved(Architecture(**BODY, stem=stem, inputs="luma")))
        path = tmp_path / f"{number}.safetensors"
        save_model(Model("luma", network), path)
        code, _, err = nas("export", str(path), "--output", str(path.with_suffix(".onnx")))
        assert code == 0, err
        session = onnxruntime.InferenceSession(path.with_suffix(".onnx"))
        x = torch.rand(1, 3, 13, 22)
        (made,) = session.run(None, {"lr": x.numpy()})
        with torch.no_grad():
            assert np.abs(made - network(x).clamp(0, 1).numpy()).max() < 1e-5


def grey_lines() -> np.ndarray:
    """Grey line art, reduced to a fourth of its size."""
    drawn = Image.new("L", (256, 256), 255)
    for place in range(20):
        line = [(place * 30 - 200, 0), (place * 28, 256)]
        ImageDraw.Draw(drawn).line(line, fill=place * 4, width=1 + place % 4)
    return np.asarray(drawn.convert("RGB").resize((64, 64), Image.Resampling.LANCZOS))


def test_the_command_line_names_the_contradiction(nas, tmp_path):
    (tmp_path / "a.json").write_text('{"output": "luma"}')
    refused(nas("cost", tmp_path / "a.json"), "output 'luma'", "bicubic")
