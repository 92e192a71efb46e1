"""A small full training, with everything that the state of a training can have."""

from __future__ import annotations

from pathlib import Path

from nas.data.store import PairSet
from nas.training.engine.events import Event
from nas.training.engine.trainer import train
from nas.training.recipe.recipe import Recipe, parse_recipe
from search_spaces import Architecture
from search_spaces import Stage as Blocks

SMALL = Architecture(width=8, stages=(Blocks("ecb", 8, 1),), activation="gelu")

# Everything that a training's state has: Muon, Adam, heads, an unfinished warm-up, two forms.
TWO_STAGES = parse_recipe(
    {
        "stages": [
            {
                "steps": 12,
                "patch": 16,
                "batch": 2,
                "optimiser": "muon",
                "lr": 0.02,
                "losses": {"charbonnier": 1, "uncertainty_mse": 0.01},
                "auxiliary_x2": 0.1,
                "schedule": {"kind": "cosine", "warmup": 0.5},
            },
            {"steps": 10, "patch": 24, "batch": 2, "losses": {"mse": 1}, "fold": True},
        ]
    },
    "two",
)


def run(
    pair_set: PairSet, out: Path, recipe=TWO_STAGES, architecture=SMALL, **options
) -> list[Event]:
    """Train to the end; what was reported."""
    return list(train("small", architecture, recipe, pair_set, out, **options))


def one_stage(**stage) -> Recipe:
    """A recipe of one stage of small crops."""
    return parse_recipe({"stages": [{"patch": 16, "batch": 2, "losses": {"mse": 1}, **stage}]}, "x")
