"""Training forms of a network: blocks that fold to the same layers.

A proxy run trains folded kernels, so a search cannot distinguish such blocks; a full training of
unfolded branches may. They are compared over a tenth of the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nas.common.errors import InputError
from search_spaces.architecture import Architecture
from search_spaces.blocks import linear_sizes
from search_spaces.networks.factory import build, layout

CHOICES: Mapping[str, tuple[str, ...]] = {"auto": ("conv",), "trial": ()}
"""Values of ``--blocks`` beside names. ``auto`` trains the cheapest form: in short trainings no
branches gained more than the seed noise (`docs/proxy.md`); 20,000 steps have not been measured.
``trial`` keeps the form in the study."""

SHARE = 10
"""The comparison takes the steps of the recipe divided by this."""


def training_forms(
    architecture: Architecture, blocks: str, *, folds: bool
) -> Mapping[str, Architecture]:
    """Return variants of an architecture by the linear block that they use.

    Blocks that do not fold to one convolution, such as SPAB, stay.

    Args:
        architecture: The architecture of the trial.
        blocks: One of `CHOICES`, or names of linear blocks separated by commas.
        folds: Whether the recipe folds blocks before its first step: then one form is enough.

    Raises:
        InputError: A block is unknown, does not fold to a 3x3 convolution, or does not support the
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
