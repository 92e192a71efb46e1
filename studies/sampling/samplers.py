"""How a study chooses: a space's dimensions as Optuna sees them, and the samplers over them."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna import samplers
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from nas.common.errors import InputError
from studies.core.candidate import Candidate

if TYPE_CHECKING:  # it imports torch, which `nas front` can do without
    from search_spaces.space import Dimension, Space

SAMPLERS = ("auto", "ehvi", "tpe", "gp", "nsga2", "random", "qmc")


def chosen(kind: str) -> str:
    """Return the sampler that ``auto`` means: see `benchmarks/results/samplers.md`."""
    return "ehvi" if kind == "auto" else kind


def distribution(dimension: Dimension) -> BaseDistribution:
    """Return how a sampler sees a dimension: evenly spaced numbers keep their order."""
    if dimension.step is None:
        return CategoricalDistribution(dimension.choices)
    return IntDistribution(dimension.choices[0], dimension.choices[-1], step=dimension.step)


def seed_for(seed: int, asked: int) -> int:
    """Return the seed for one ask of a study, the same however often the study was cut off."""
    return int(np.random.SeedSequence([seed, asked]).generate_state(1)[0])


def make_sampler(kind: str, seed: int, study_seed: int) -> samplers.BaseSampler:
    """Make a sampler afresh, for a single ask.

    What it learns from is in the study alone, so that a killed search loses nothing.

    Args:
        kind: One of `SAMPLERS` but ``auto`` and ``ehvi``, which `studies.core.study` makes.
        seed: As `seed_for` gives it.
        study_seed: The study's own; a quasi-random sequence needs one for all of it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "gp":
            import torch

            torch.set_num_threads(1)  # its matrices are tiny, and the cores belong to candidates
            return samplers.GPSampler(seed=seed)
        if kind == "nsga2":
            return samplers.NSGAIISampler(population_size=20, seed=seed)
        if kind == "random":
            return samplers.RandomSampler(seed=seed)
        if kind == "qmc":
            return samplers.QMCSampler(
                scramble=True, seed=study_seed, warn_independent_sampling=False
            )
        return samplers.TPESampler(multivariate=True, seed=seed)


def draws(space: Space, seed: int) -> Iterator[dict[str, Any]]:
    """Draw parameters at random, without end; some contradict each other."""
    random = np.random.default_rng([seed, len(space.dimensions)])
    while True:
        yield {d.name: d.choices[int(random.integers(len(d.choices)))] for d in space.dimensions}


def draw_unseen(space: Space, seen: Container[str], seed: int) -> dict[str, Any] | None:
    """Draw parameters at random until their candidate's layout is new; None when none seems left.

    A small space is gone through to its end. In a large one, a thousand draws in vain mean that
    what is left of it is hardly worth looking for.
    """
    random = np.random.default_rng(seed)
    draws = random.permutation(space.size) if space.size <= 4096 else _many(random, space.size)
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


def _many(random: np.random.Generator, size: int) -> list[int]:
    """A thousand indices; spaces can be larger than 64 bits count."""
    return [min(int(share * size), size - 1) for share in random.random(1000)]
