"""Networks as a whole: training form against deploy form, sizes, seeds, residuals."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from search_spaces import Architecture, InputError, Stage, Tail, build, fuse, load_space, published
from search_spaces.networks.residual import Residual, interpolation_kernel
from search_spaces.space import PRESETS

SIZES = ((1, 1), (2, 5), (7, 3), (12, 9), (13, 16))


def samples(preset, count):
    space = load_space(preset)
    chance = random.Random(count)
    for _ in range(count):
        yield space.architecture({d.name: chance.choice(d.choices) for d in space.dimensions})


def trained(architecture, seed=0):
    """A network whose every parameter has moved off its initial value, as training moves it."""
    network = build(architecture, seed=seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return network.eval()


def assert_same_picture(a, b, tolerance):
    assert a.shape == b.shape
    assert (a - b).abs().max() <= tolerance * b.abs().max()


def assert_deploys_exactly(architecture):
    torch.manual_seed(0)
    network = trained(architecture)
    deployed = fuse(network)
    for height, width in SIZES:
        x = torch.rand(1, 3, height, width)
        with torch.no_grad():
            out = deployed(x)
            assert out.shape == (1, 3, 4 * height, 4 * width)
            assert_same_picture(out, network(x), 1e-5)
    network, deployed = network.double(), fuse(network.double())
    with torch.no_grad():
        assert_same_picture(deployed(x.double()), network(x.double()), 1e-10)
    only_plain_convolutions(deployed)


def only_plain_convolutions(deployed):
    for module in deployed.modules():
        if list(module.parameters(recurse=False)):
            assert type(module) in (nn.Conv2d, nn.PReLU, Residual), module
            assert not any(p.requires_grad for p in module.parameters())


@pytest.mark.parametrize("preset", PRESETS)
def test_every_sample_of_a_preset_deploys_as_it_was_trained(preset):
    for architecture in samples(preset, 10):
        assert_deploys_exactly(architecture)


@pytest.mark.parametrize("name", published)
def test_every_published_network_deploys_as_it_was_trained(name):
    assert_deploys_exactly(published[name].architecture)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_sample_of_a_preset_makes_4k_of_540p(preset):
    for architecture in samples(preset, 15):
        with torch.device("meta"):
            out = fuse(build(architecture))(torch.empty(1, 3, 540, 960))
        assert out.shape == (1, 3, 2160, 3840)


def test_a_seed_gives_the_same_weights_and_leaves_the_global_generator_alone():
    architecture = Architecture(stages=(Stage("ecb", 16, 2),))
    torch.manual_seed(5)
    first, second, other = (build(architecture, seed=s).state_dict() for s in (1, 1, 2))
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_fusing_leaves_the_training_form_alone():
    network = build(Architecture(stages=(Stage("ecb", 16, 1),)), seed=0).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    deployed = fuse(network)
    assert network.training and not deployed.training
    with torch.no_grad():
        for parameter in deployed.parameters():
            parameter.zero_()
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def silent_network(**fields):
    """A network whose convolutions are all zero: only its residual speaks."""
    network = build(Architecture(**fields), seed=0)
    for name, parameter in network.named_parameters():
        if not name.startswith("residual"):
            nn.init.zeros_(parameter)
    return network.eval()


PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "learned": Image.Resampling.BICUBIC,
}


@pytest.mark.parametrize("stem", ["conv", "unshuffle2", "unshuffle3", "strided2"])
@pytest.mark.parametrize("kind", PILLOW)
def test_a_residual_is_pillows_interpolation_inside_the_picture(stem, kind):
    picture = np.random.default_rng(0).random((11, 13, 3), dtype=np.float32)
    network = silent_network(stem=stem, residual=kind)
    with torch.no_grad():
        out = network(torch.from_numpy(picture).permute(2, 0, 1)[None])[0]
    for channel in range(3):
        image = Image.fromarray(picture[:, :, channel])
        wanted = np.asarray(image.resize((52, 44), PILLOW[kind]))
        margin = 12
        inside = (slice(margin, -margin), slice(margin, -margin))
        np.testing.assert_allclose(out[channel].numpy()[inside], wanted[inside], atol=2e-6)


@pytest.mark.parametrize("kind", PILLOW)
def test_a_residual_repeats_the_border_outwards(kind):
    """The taps outside the picture see its nearest pixel: a flat picture stays flat."""
    network = silent_network(residual=kind)
    flat = torch.full((1, 3, 2, 3), 0.25)
    assert torch.allclose(network(flat), torch.full((1, 3, 8, 12), 0.25), atol=1e-6)
    x = torch.rand(1, 3, 6, 5)
    wide = F.pad(x, (4, 4, 4, 4), mode="replicate")
    assert torch.allclose(network(x), network(wide)[..., 16:-16, 16:-16], atol=1e-6)


def test_only_a_learned_residual_is_trained():
    kinds = {kind: list(Residual(kind).parameters()) for kind in PILLOW}
    assert [kind for kind, parameters in kinds.items() if parameters] == ["learned"]
    assert torch.allclose(interpolation_kernel("lanczos").sum((1, 2)), torch.ones(16))


def test_the_lr_residual_reaches_the_last_convolution():
    """CASR: the tail's 3 channels at LR plus the picture are what the last convolution sees."""
    network = silent_network(
        stem="unshuffle3", residual="lr", tail=Tail(cascade=3, activation=False)
    )
    last = network.lift[-1]
    with torch.no_grad():
        last.conv.weight[:, :, 1, 1] = torch.eye(3).repeat_interleave(16, 0)
    x = torch.rand(1, 3, 5, 7)
    wanted = x.repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.allclose(network(x), wanted)


def test_the_gradient_input_is_the_magnitude_of_central_differences():
    from search_spaces.networks.parts import GradientInput

    x = torch.zeros(1, 3, 5, 6)
    x[..., 3:] = 1.0
    out = GradientInput()(x)
    assert torch.equal(out[:, :3], x)
    wanted = torch.zeros(6)
    wanted[2:4] = 1.0
    assert torch.allclose(out[:, 3:], wanted.expand(1, 3, 5, 6), atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"stem": "unshuffle5"}, "stem is 'unshuffle5'"),
        ({"width": 0}, "width is 0"),
        ({"residual": "lr"}, "set tail.cascade to 3"),
        ({"skip": "long", "stages": (Stage("ecb", 8),)}, "adds 16 stem channels to 8 body"),
    ],
)
def test_a_contradiction_is_named(fields, told):
    with pytest.raises(InputError, match=told):
        Architecture(**fields)


@pytest.mark.parametrize("field", ["stem_block", "neck", "tail"])
def test_an_unknown_block_is_named_when_built(field):
    fields = {field: Tail(block="ecbb") if field == "tail" else "ecbb"}
    with pytest.raises(InputError, match="no block 'ecbb'; choose one of conv, repvgg"):
        build(Architecture(**fields))


def test_a_key_holds_when_fields_are_spelt_out_or_left_to_their_defaults():
    architecture = Architecture(width=20)
    assert Architecture.from_dict({"width": 20}).key == architecture.key
    assert architecture.key != Architecture(width=24).key
    assert Architecture.from_dict(architecture.to_dict()) == architecture


def test_stages_given_as_a_list_describe_the_same_network():
    listed = Architecture(stages=[Stage("ecb", 16, 2)])  # type: ignore[arg-type]
    assert listed == Architecture(stages=(Stage("ecb", 16, 2),)) and len({listed}) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"stages": 5}', "stages is 5; give a list"),
        ('{"stages": [{"width": 8}]}', "stage needs the field 'block'"),
        ('{"tail": {"kernel": true}}', "tail.kernel is True; choose one of 1, 3"),
        ('{"tail": {"kernel": 3.0}}', "tail.kernel is 3.0; choose one of 1, 3"),
        ('{"stem": [1]}', r"stem is \[1\]; choose one of conv"),
        ('{"width": 8, "width": 12}', "'width' stands there twice"),
    ],
)
def test_a_faulty_description_is_told_apart(text, told):
    with pytest.raises(InputError, match=told):
        Architecture.from_json(text)


def test_a_block_that_cannot_have_its_channels_is_named():
    with pytest.raises(InputError, match="block 'safmnpp' cannot be made for 1 to 1 channels"):
        build(Architecture(width=1, stages=(Stage("safmnpp", 1),)))
