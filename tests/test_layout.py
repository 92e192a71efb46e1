"""Architectures of one layout are one network once deployed, those of another are another."""

from __future__ import annotations

from collections import defaultdict

import pytest
import torch

from search_spaces import Architecture, InputError, Stage, Tail, build, fuse, published, references
from search_spaces.blocks import blocks
from search_spaces.networks.factory import layout

PLACES = {
    "stage": lambda block: {"stages": (Stage(block, 16, 2),)},
    "stem": lambda block: {"stem_block": block},
    "strided stem": lambda block: {"stem": "strided2x4", "stem_block": block},
    "neck": lambda block: {"neck": block},
    "neck behind both": lambda block: {"neck": block, "skip": "concat"},
    "tail": lambda block: {"tail": Tail(block=block)},
    "point tail": lambda block: {"tail": Tail(kernel=1, block=block)},
    "cascade": lambda block: {"tail": Tail(block=block, cascade=8)},
}
"""Everywhere that an architecture names a block."""


def structure(architecture):
    """What is computed by the deploy form, whatever its weights: modules, shapes, settings."""
    deployed = fuse(build(architecture, seed=0))
    shapes = [(name, tuple(value.shape)) for name, value in deployed.state_dict().items()]
    return str(deployed), tuple(shapes)


def group(architectures):
    """Structures by layout, of those that can be built: not every block fits every place."""
    found = defaultdict(set)
    for architecture in architectures:
        try:
            built = structure(architecture)
        except InputError:
            continue
        found[layout(architecture)].add(built)
    return found


@pytest.mark.parametrize("place", PLACES)
def test_every_block_in_every_place_has_the_layout_of_its_deploy_form(place):
    found = group(Architecture(width=16, **PLACES[place](block)) for block in blocks)
    assert layout(Architecture(width=16, **PLACES[place]("dconv"))) in found
    assert all(len(structures) == 1 for structures in found.values())


def test_a_layout_is_its_own_layout_and_deploys_to_the_same_structure():
    for entry in (*published.values(), *references.values()):
        plain = layout(entry.architecture)
        assert layout(plain) == plain
        assert structure(plain) == structure(entry.architecture)


def test_the_clamp_of_etds_is_no_plain_convolution():
    """It deploys as two ReLUs and a 1x1 more, so it must not pass for a tail without them."""
    clipped = Architecture(width=16, stages=(Stage("etds", 16, 2),), tail=Tail(block="etds_clip"))
    plain = Architecture(width=16, stages=(Stage("conv", 16, 2),))
    assert layout(clipped) != layout(plain)
    assert structure(clipped) != structure(plain)


def test_linear_blocks_share_a_layout_where_they_fold():
    for place in ("stage", "stem", "neck", "tail", "cascade"):
        layouts = {
            layout(Architecture(width=16, **PLACES[place](block)))
            for block in ("ecb", "rvsr", "conv3xc", "dconv")
        }
        assert len(layouts) == 1, place


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("place", ["stem", "tail", "cascade"])
def test_a_block_that_is_no_convolution_cannot_be_an_end(place):
    with pytest.raises(InputError, match="'spab' cannot be a stem or a tail"):
        build(Architecture(width=16, **PLACES[place]("spab")))
