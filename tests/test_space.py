"""Search spaces: presets, files of the user, and the way from parameters to networks and back."""

from __future__ import annotations

import random

import pytest

from search_spaces import Architecture, InputError, Stage, load_space, published
from search_spaces.space import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_sampled_architectures_map_back_to_their_parameters(name):
    space = load_space(name)
    chance = random.Random(name)
    for _ in range(2000):
        sampled = {d.name: chance.choice(d.choices) for d in space.dimensions}
        architecture = space.architecture(sampled)
        assert Architecture.from_json(architecture.to_json()) == architecture
        parameters = space.parameters(architecture)
        assert parameters is not None, sampled
        assert space.architecture(parameters) == architecture


def test_an_architecture_outside_the_space_has_no_parameters():
    space = load_space("lightweight")
    assert space.parameters(Architecture(width=7)) is None
    assert space.parameters(Architecture(skip="long", residual="lanczos")) is None


INSIDE = {
    "lightweight": list(published),
    "balanced": ["BasicVision", "ANUNet", "RESR", "Team C3", "USTC Noah", "PixelArtAI", "RepTCN"],
    "quality": ["BasicVision", "RVSR", "VPEG-S", "XiaomiMM"],
}  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_published_networks_inside_a_preset_can_be_asked_for_by_its_parameters(name):
    space = load_space(name)
    found = {n.name: space.parameters(n.architecture) for n in published.values()}
    assert [n for n, parameters in found.items() if parameters] == INSIDE[name]
    for network, parameters in found.items():
        if parameters:
            choices = {d.name: d.choices for d in space.dimensions}
            assert all(value in choices[key] for key, value in parameters.items())
            assert space.architecture(parameters) == published[network].architecture


def test_a_second_stage_mixes_blocks_and_widths(tmp_path):
    path = tmp_path / "mixed.yaml"
    path.write_text(
        "dimensions:\n  block: [ecb, spab]\n  depth_2: [0, 2]\n  width_2: [16, 24]\n"
        "  block_2: [conv, spab]\n  skip: [none, long]\n  inputs: [rgb, gradient]\n"
    )
    space = load_space(str(path))
    parameters = {"block": "ecb", "depth_2": 2, "width_2": 24, "block_2": "spab", "skip": "long"}
    architecture = space.architecture(parameters | {"inputs": "gradient"})
    assert architecture.stages == (Stage("ecb", 16, 2), Stage("spab", 24, 2))
    assert architecture.skip == "none", "a long skip cannot add 16 channels to 24"
    assert space.architecture(space.parameters(architecture)) == architecture
    assert space.architecture(parameters | {"depth_2": 0}).stages == (Stage("ecb", 16, 2),)


def test_an_activation_without_effect_is_not_distinguished():
    space = load_space("quality")
    base = {d.name: d.choices[0] for d in space.dimensions}
    base |= {"block": "safmnpp", "stem_activation": False, "depth_2": 0}
    keys = {space.architecture(base | {"activation": a}).key for a in ("gelu", "silu")}
    assert len(keys) == 1


def test_a_file_of_the_user_may_search_few_dimensions(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("dimensions:\n  width: {min: 8, max: 16, step: 8}\n  activation: gelu\n")
    space = load_space(str(path))
    assert (space.name, space.size) == ("mine", 2)
    assert space.architecture({"width": 8, "activation": "gelu"}).activation == "gelu"


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("dimensions: {widht: [8]}", "unknown dimension 'widht'"),
        ("dimensions: {width: []}", "'width' has no choice"),
        ("dimensions: {width: }", "'width' has no choice"),
        ("dimensions: {width: [0]}", "'width': width is 0"),
        ("dimensions: {width: [big]}", "'width': width is 'big'"),
        ("dimensions: {block: [ecbb]}", "no block 'ecbb'; choose one of conv"),
        ("dimensions: {tail: [conv5]}", "no tail 'conv5'"),
        ("dimensions: {bias: [maybe]}", "bias is 'maybe'"),
        ("dimensions: {stem_activation: [1]}", "stem_activation is 1"),
        ("dimensions: {neck: [spab]}", "neck is 'spab', which does not fold"),
        ("dimensions: {ends: [none]}", "no block 'none'; choose one of conv"),
        ("dimensions: {width_2: [0]}", "'width_2': width is 0"),
        ("dimensions: {block_2: [ecbb]}", "no block 'ecbb'"),
        ("dimensions: {depth_2: [x]}", "depth_2 is 'x'"),
        ("dimensions: {depth: {min: 4, max: 1}}", "min <= max"),
        ("dimensions: {width: {min: 1, max: 1000}}", "more than 256 choices"),
        ("dimensions: {width: [8, 8]}", "names a choice twice"),
        ("dimensions: {width: [8], width: [12]}", "'width' occurs twice, line 1"),
        ("dimensions: {width: [8], tail: [conv5]}", "'tail': there is no tail 'conv5'"),
        ("dimensions: {width: [.nan]}", "'width': width is nan"),
        ("dimensions: {1: [8]}", "unknown dimension 1"),
        ("1: {}\nwidth: {}\ndimensions: {width: 8}", "unknown key 1"),
        ("dimensions: {width: [[8]]}", "plain values"),
        ("dimensions: {}", "'dimensions' is empty"),
        ("widths: 3", "needs 'dimensions'"),
        ("dimensions: [", "not valid YAML"),
    ],
)
def test_a_faulty_file_is_named_with_its_fault(tmp_path, text, got):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"space\.yaml") as error:
        load_space(str(path))
    assert got in str(error.value)


def test_an_unknown_space_lists_the_presets():
    with pytest.raises(InputError, match="lightweight, balanced, quality or a YAML file"):
        load_space("lightwieght")
