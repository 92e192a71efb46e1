"""A space's dimensions as Optuna's parameters, and random draws of them."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from nas.common.errors import InputError
from studies.core.candidate import Candidate

if TYPE_CHECKING:  # it imports torch, which `nas front` does not need
    from search_spaces.space import Dimension, Space


def distribution(dimension: Dimension) -> BaseDistribution:
    """Return a dimension for Optuna: evenly spaced numbers keep their order."""
    if dimension.step is None:
        return CategoricalDistribution(dimension.choices)
    return IntDistribution(dimension.choices[0], dimension.choices[-1], step=dimension.step)


def seed_for(seed: int, asked: int) -> int:
    """Return the seed for one trial of a study, independent of interruptions."""
    return int(np.random.SeedSequence([seed, asked]).generate_state(1)[0])


def draws(space: Space, seed: int) -> Iterator[dict[str, Any]]:
    """Draw random parameters endlessly; some contradict each other."""
    random = np.random.default_rng([seed, len(space.dimensions)])
    while True:
        yield {d.name: d.choices[int(random.integers(len(d.choices)))] for d in space.dimensions}


def draw_unseen(space: Space, seen: Container[str], seed: int) -> dict[str, Any] | None:
    """Draw random parameters until their candidate's layout is new; None if none is found.

    A small space is tried completely, a large one a thousand times.
    """
    random = np.random.default_rng(seed)
    draws = (
        random.permutation(space.size)
        if space.size <= 4096
        else _random_indices(random, space.size)
    )
    for drawn in draws:
        index, params = int(drawn), {}
        for dimension in space.dimensions:
            index, choice = divmod(index, len(dimension.choices))
            params[dimension.name] = dimension.choices[choice]
        try:
            if Candidate(-1, space.architecture(params)).layout not in seen:
                return params
        except InputError:  # the space is a product: some of its corners contradict
            continue
    return None


def _random_indices(random: np.random.Generator, size: int) -> list[int]:
    """A thousand indices; the size of a space may exceed 64 bits."""
    return [min(int(share * size), size - 1) for share in random.random(1000)]
