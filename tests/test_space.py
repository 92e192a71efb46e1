"""Search spaces: presets, files of the user, and the way from parameters to networks and back."""

from __future__ import annotations

import random

import pytest

from search_spaces import Architecture, InputError, load_space
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
    assert space.parameters(Architecture(skip="concat", width=16)) is None


def test_a_file_of_the_user_may_search_few_dimensions(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("dimensions:\n  width: {min: 8, max: 16, step: 8}\n  activation: gelu\n")
    space = load_space(str(path))
    assert (space.name, space.size) == ("mine", 2)
    assert space.architecture({"width": 8, "activation": "gelu"}).activation == "gelu"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dimensions: {widht: [8]}", "unknown dimension 'widht'"),
        ("dimensions: {width: []}", "'width' has no choice"),
        ("dimensions: {width: }", "'width' has no choice"),
        ("dimensions: {width: [0]}", "'width': width is 0"),
        ("dimensions: {width: [big]}", "'width': width is 'big'"),
        ("dimensions: {block: [ecbb]}", "no block 'ecbb'; choose one of conv"),
        ("dimensions: {tail: [conv5]}", "no tail 'conv5'"),
        ("dimensions: {bias: [maybe]}", "bias is 'maybe'"),
        ("dimensions: {depth: {min: 4, max: 1}}", "min <= max"),
        ("dimensions: {width: [8, 8]}", "names a choice twice"),
        ("dimensions: {width: [[8]]}", "plain values"),
        ("dimensions: {}", "'dimensions' is empty"),
        ("widths: 3", "needs 'dimensions'"),
        ("dimensions: [", "not valid YAML"),
    ],
)
def test_a_faulty_file_is_named_with_its_fault(tmp_path, text, told):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"space\.yaml") as error:
        load_space(str(path))
    assert told in str(error.value)


def test_an_unknown_space_lists_the_presets():
    with pytest.raises(InputError, match="lightweight, balanced, quality or a YAML file"):
        load_space("lightwieght")
