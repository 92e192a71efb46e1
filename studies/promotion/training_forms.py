"""Which training form a winner gets: blocks that fold to one network, tried at a tenth of a recipe.

A proxy run trains folded kernels, so a search cannot tell such blocks apart; a full training on
unfolded branches may.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nas.common.errors import InputError
from search_spaces.architecture import Architecture
from search_spaces.blocks import linear_sizes
from search_spaces.networks.factory import build, layout

CHOICES: Mapping[str, tuple[str, ...]] = {"auto": ("conv",), "trial": ()}
"""What ``--blocks`` takes beside names. ``auto`` trains the cheapest form: in short trainings no
branches were worth more than the seed (`docs/proxy.md`); whether they are after 20,000 steps has
not been measured. ``trial`` keeps what the search drew."""

SHARE = 10
"""A try is this part of the recipe's steps."""


def training_forms(
    architecture: Architecture, blocks: str, *, folds: bool
) -> Mapping[str, Architecture]:
    """Return an architecture with each of some blocks in place of its linear ones, by name.

    Blocks that do not fold to one convolution, such as SPAB, are part of the network and stay.

    Args:
        architecture: As the search found it.
        blocks: One of `CHOICES`, or names of linear blocks with commas between them.
        folds: Whether the recipe folds blocks before its first step: then one form is enough.

    Raises:
        InputError: A block is unknown, does not fold to a 3x3 convolution, or cannot have the
            channels of this network.
    """
    names = CHOICES.get(blocks, tuple(blocks.split(",")))
    for name in names:
        if 3 not in linear_sizes(name):
            raise InputError(
                f"--blocks '{name}' does not fold to a 3x3 convolution: give linear blocks such as "
                "conv, repvgg or ecb"
            )
    if not names or not any(linear_sizes(stage.block) for stage in architecture.stages):
        return {"unchanged": architecture}
    plain = layout(architecture)
    forms = {}
    for name in names[:1] if folds else names:
        stages = tuple(
            replace(stage, block=name) if linear_sizes(stage.block) else stage
            for stage in plain.stages
        )
        forms[name] = replace(plain, stages=stages)
        build(forms[name])
    return forms
