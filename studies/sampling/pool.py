"""The candidates that a sampler chooses among, one of each deploy form, with what they cost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from nas.common.errors import InputError
from search_spaces.architecture import Architecture
from search_spaces.networks.factory import layout
from search_spaces.space import Space
from studies.core.budget import Budget
from studies.core.parameters import draws
from studies.sampling.gain_model import features

POOL, DRAWS = 2000, 200
"""Random candidates of the pool, and how many of them an ask adds: costing takes milliseconds."""

_CHILDREN = 10


@dataclass(frozen=True, slots=True)
class Costs:
    """What is known of a network before it is trained: for one 540x960 picture.

    Attributes:
        runtime_ms: Predicted or measured.
        macs: Multiply-accumulates.
        params: Parameters.
        memory_mb: Peak memory in units of 1e6 bytes.
    """

    runtime_ms: float
    macs: float
    params: float
    memory_mb: float


CostsOf: TypeAlias = Callable[[Architecture], Costs]


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A candidate of the pool.

    Attributes:
        parameters: Values of the space's dimensions.
        layout: Key of its deploy form: candidates of one layout train alike.
        costs: Known.
        features: See `studies.sampling.gain_model.features`.
    """

    parameters: Mapping[str, Any]
    layout: str
    costs: Costs
    features: np.ndarray


class Pool:
    """Candidates of a space that are within the limits which no device decides, one a layout.

    Args:
        space: What may be built.
        budget: The limits.
        costs_of: Computes what is known of a network.
        seed: Of the draws.
    """

    def __init__(self, space: Space, budget: Budget, costs_of: CostsOf, seed: int) -> None:
        self.space, self._budget, self._costs_of = space, budget, costs_of
        self._points: dict[str, Point | None] = {}
        self._known: dict[Architecture, Point | None] = {}
        self._drawn = draws(space, seed)

    @property
    def points(self) -> list[Point]:
        """The candidates, in the order in which they came."""
        return [point for point in self._points.values() if point is not None]

    def grow(self) -> None:
        """Draw more candidates at random, until there are `POOL`."""
        for parameters in islice(self._drawn, DRAWS if len(self._points) < POOL else 0):
            self.add(parameters)

    def add(self, parameters: Mapping[str, Any]) -> Point | None:
        """The candidate of some parameters; None for one that cannot be, or is over a limit."""
        try:
            architecture = self.space.architecture(parameters)
        except InputError:  # the space is a product: some of its corners contradict
            return None
        key = layout(architecture).key
        if key not in self._points:
            self._points[key] = self._point(parameters, architecture, key)
        return self._points[key]

    def of(self, architecture: Architecture) -> Point | None:
        """The candidate of an architecture; None for one outside the space, or over a limit."""
        if architecture not in self._known:
            parameters = self.space.parameters(architecture)
            self._known[architecture] = None if parameters is None else self.add(parameters)
        return self._known[architecture]

    def drop_all_but(self, layouts: Collection[str]) -> None:
        """Forget the other candidates; they may come again."""
        self._points = {key: point for key, point in self._points.items() if key in layouts}

    def children(self, parents: Sequence[Point], random: np.random.Generator) -> None:
        """Add variations of some candidates in one to three dimensions."""
        dimensions = self.space.dimensions
        for parent in parents:
            for _ in range(_CHILDREN):
                changed = dict(parent.parameters)
                count = min(int(random.integers(1, 4)), len(dimensions))
                for index in random.choice(len(dimensions), count, replace=False):
                    dimension = dimensions[index]
                    changed[dimension.name] = _neighbour(
                        dimension.choices, changed[dimension.name], dimension.step, random
                    )
                self.add(changed)

    def _point(
        self, parameters: Mapping[str, Any], architecture: Architecture, key: str
    ) -> Point | None:
        try:
            costs = self._costs_of(architecture)
        except InputError:
            return None
        over = self._budget.violations(
            macs=costs.macs,
            params=costs.params,
            memory_mb=costs.memory_mb,
        )
        if any(by > 0 for by in over.values()):
            return None
        return Point(dict(parameters), key, costs, features(architecture, costs.macs, costs.params))


def simplest(space: Space, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the same deploy form whose choices come first in the space.

    So what folds away, and makes no difference to a proxy run, is not left to chance.
    """
    found = dict(parameters)
    key = layout(space.architecture(found)).key
    for dimension in space.dimensions:
        for choice in dimension.choices[: dimension.choices.index(found[dimension.name])]:
            try:
                other = layout(space.architecture({**found, dimension.name: choice}))
            except InputError:  # these choices contradict
                continue
            if other.key == key:
                found[dimension.name] = choice
                break
    return found


def _neighbour(
    choices: Sequence[Any], now: Any, step: int | None, random: np.random.Generator
) -> Any:
    """Another choice: for evenly spaced numbers mostly one of the two beside it."""
    if len(choices) == 1:
        return now
    place = choices.index(now)
    if step is not None and random.random() < 0.7:
        place += int(random.choice([-1, 1]))
        return choices[min(max(place, 0), len(choices) - 1)]
    return choices[(place + int(random.integers(1, len(choices)))) % len(choices)]
