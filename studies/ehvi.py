"""Expected hypervolume improvement where runtimes are known: the sampler that ``auto`` is.

A general sampler learns both objectives from trainings, though runtime, MACs, parameters and memory
of a network are known before any. Here they are computed for a pool of candidates, those over a
limit are left out, and only the gain is modelled (`studies.gain_model`). What a candidate may add
to the front then has a closed form: over each step of the front, the expected gain above it, times
the octaves of runtime that the candidate would cover (Emmerich et al., 2006, with one objective
known).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial
from scipy.special import ndtr
from threadpoolctl import ThreadpoolController

from search_spaces.architecture import Architecture
from search_spaces.errors import InputError
from search_spaces.network import layout
from search_spaces.space import Space
from studies.gain_model import GainModel, Prior, Process, features, fit_gains
from studies.limits import SPAN, Budget
from studies.outcome import Broken, Rejected, Trained
from studies.record import Record
from studies.rungs import non_domination_ranks
from studies.samplers import distribution, draws

POOL, DRAWS = 2000, 200
"""Random candidates of the pool, and how many of them an ask adds: costing takes milliseconds."""

_MOST = 2 * POOL
"""Candidates of the pool, children included, above which all but the best `POOL` are dropped."""

LEARNED = 500
"""Trainings that the model learns from: a covariance of all would take a cube longer."""

_PARENTS, _CHILDREN = 10, 10
_FEWEST = 4  # trainings that say something of colour
_COLOUR_NOISE_DB = 0.05


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
        features: See `studies.gain_model.features`.
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


def improvement(
    mean_db: np.ndarray,
    sd_db: np.ndarray,
    runtimes_ms: np.ndarray,
    front: Sequence[tuple[float, float]],
    low_ms: float,
    high_ms: float,
) -> np.ndarray:
    """Expected hypervolume that candidates add, in dB x octaves.

    Args:
        mean_db: (N,) expected gains.
        sd_db: (N,) their standard deviations.
        runtimes_ms: (N,) known runtimes.
        front: (runtime in ms, gain in dB) of what is there, in any order.
        low_ms: Faster candidates count as if they took this long.
        high_ms: The budget. Only what is above 0 dB and faster than it counts.
    """
    edges, levels = [-math.inf], [0.0]
    for runtime_ms, gain_db in sorted(front):
        if gain_db > levels[-1] and runtime_ms < high_ms:
            edges.append(math.log2(max(runtime_ms, low_ms)))
            levels.append(gain_db)
    ends = [*edges[1:], math.log2(high_ms)]
    begin = np.log2(np.maximum(runtimes_ms, low_ms))
    total = np.zeros(len(mean_db))
    for start, end, level in zip(edges, ends, levels, strict=True):
        width = np.clip(end - np.maximum(start, begin), 0, None)
        z = (mean_db - level) / sd_db
        density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        total += width * sd_db * (z * ndtr(z) + density)
    return total


def instructive(records: Sequence[Record], most: int) -> list[Record]:
    """Return the trainings to learn from: half of them near the front, half of them the newest.

    Args:
        records: All trials, in the order of asking.
        most: How many to return at most, one of each deploy form.
    """
    done, points = [], []
    for record in records:
        end = record.outcome
        if record.duplicate_of is None and isinstance(end, Trained):
            done.append(record)
            points.append((end.gain_db, end.runtime.ms))
    if len(done) <= most:
        return done
    ranks = non_domination_ranks(points)
    newest = range(len(done) - most // 2, len(done))
    nearest = sorted(range(newest.start), key=ranks.__getitem__)[: most - most // 2]
    return [done[index] for index in sorted([*nearest, *newest])]


class EhviSampler(BaseSampler):
    """Asks for the candidate of the largest expected hypervolume improvement.

    Args:
        pool: Of the study's space and budget; kept for the whole run.
        prior: What trainings of other sets say.
        records: What became of the study's trials.
        asked: Deploy forms that were asked for.
        budget: The study's limits.
        noise_db: Standard deviation of a gain over seeds, as `studies.noise` has the study's.
        seed: For this one ask.
    """

    def __init__(
        self,
        pool: Pool,
        prior: Prior,
        records: Sequence[Record],
        asked: Collection[str],
        budget: Budget,
        noise_db: float,
        seed: int,
    ) -> None:
        self._pool, self._prior, self._asked = pool, prior, asked
        own = [record for record in records if record.duplicate_of is None]
        underway = [record for record in own if record.outcome is None]
        untrained = [r for r in own if isinstance(r.outcome, Rejected | Broken)]
        self._known = [
            (point, record.outcome)
            for record in (*instructive(records, LEARNED), *untrained[-LEARNED:], *underway)
            if (point := pool.of(record.candidate.architecture))
        ]
        self._budget, self._noise_db = budget, noise_db
        self._random = np.random.default_rng(seed)
        self._independent = RandomSampler(seed)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All parameters: they are chosen together, in `sample_relative`."""
        return {d.name: distribution(d) for d in self._pool.space.dimensions}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of the best candidate; none where all have been tried."""
        with _blas().limit(limits=1, user_api="blas"):
            best = self.choose()
        return {} if best is None else dict(best.parameters)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """At random: only where no candidate was left."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def choose(self) -> Point | None:
        """Return the best candidate that was not asked for yet; None where there is none."""
        budget, scaled_ms = self._budget, self._runtimes()
        found = [(point, end) for point, end in self._known if isinstance(end, Trained)]
        pending = [point for point, end in self._known if end is None]
        known = [*(point for point, _ in found), *pending]
        model = self._gains(found).believing(_stacked(pending))
        colour = self._colour(found)
        known_ms = scaled_ms(known)
        high = budget.runtime_ms or float(known_ms.max(initial=0.0)) or 1.0
        low = budget.floor_ms or high / SPAN
        believed = model.predict(_stacked(known))[0] if known else np.zeros(0)
        tinted = {p.layout for p, o in found if budget.is_tinted(o.colour_gain_db)}
        front = [
            (runtime_ms, gain_db)
            for point, runtime_ms, gain_db in zip(known, known_ms, believed, strict=True)
            if point.layout not in tinted
        ]
        worth: dict[str, float] = {}

        def best(count: int) -> list[Point]:
            """The best candidates; only those that are new to the pool are judged."""
            free = [point for point in self._pool.points if point.layout not in self._asked]
            new = [point for point in free if point.layout not in worth]
            if new:
                inputs, runtimes = _stacked(new), scaled_ms(new)
                value = improvement(*model.predict(inputs), runtimes, front, low, high)
                value = np.where(runtimes <= high, value * colour(inputs), -1.0)
                worth.update(zip((point.layout for point in new), value.tolist(), strict=True))
            within = [point for point in free if worth[point.layout] >= 0.0]
            return sorted(within, key=lambda point: -worth[point.layout])[:count]

        self._pool.grow()
        good = sorted(found, key=lambda each: -each[1].gain_db)[: _PARENTS // 2]
        self._pool.children([*best(_PARENTS), *(point for point, _ in good)], self._random)
        ranked = best(POOL)
        if len(worth) > _MOST:
            self._pool.drop_all_but({*self._asked, *(point.layout for point in ranked)})
        return ranked[0] if ranked else None

    def _gains(self, found: Sequence[tuple[Point, Trained]]) -> GainModel:
        gains = np.array([outcome.gain_db for _, outcome in found])
        inputs = _stacked([point for point, _ in found])
        return fit_gains(self._prior, inputs, gains, [self._noise_db] * len(found))

    def _colour(
        self, found: Sequence[tuple[Point, Trained]]
    ) -> Callable[[np.ndarray], np.ndarray | float]:
        """How probable it is that candidates keep within the limit of colour."""
        limit = self._budget.colour_loss_db
        seen = [(p, o.colour_gain_db) for p, o in found if o.colour_gain_db is not None]
        if limit is None or len(seen) < _FEWEST:
            return lambda inputs: 1.0
        gains = np.clip([gain for _, gain in seen], -1.0, 0.5)
        level, prior = float(gains.mean()), self._prior
        process = Process(
            prior.scaled(_stacked([point for point, _ in seen])),
            gains - level,
            prior.process.lengths,
            float(gains.var()) + _COLOUR_NOISE_DB**2,
            np.full(len(gains), _COLOUR_NOISE_DB**2),
        )

        def probability(inputs: np.ndarray) -> np.ndarray:
            mean, sd = process.predict(prior.scaled(inputs))
            return ndtr((level + mean + limit) / sd)

        return probability

    def _runtimes(self) -> Callable[[Sequence[Point]], np.ndarray]:
        """Runtimes of candidates in ms, scaled to what was measured of others.

        A line through logarithms; where runtimes are predicted it changes nothing.
        """
        pairs = [
            (math.log(point.costs.runtime_ms), math.log(end.runtime.ms))
            for point, end in self._known
            if end is not None and end.runtime is not None
        ]
        known, seen = np.array(pairs).T if pairs else np.zeros((2, 1))
        away, middle = known - known.mean(), known.mean()
        slope = float(away @ (seen - known)) / (away @ away + 0.1)
        offset = float((seen - known).mean())

        def runtimes_ms(points: Sequence[Point]) -> np.ndarray:
            logs = np.log([point.costs.runtime_ms for point in points])
            return np.exp(logs + offset + slope * (logs - middle))

        return runtimes_ms


@cache
def _blas() -> ThreadpoolController:
    """Its matrices are small and the cores belong to candidates: threads would wait for each other.

    On two busy cores a fit took 17 s of them, and 0.04 s on one.
    """
    return ThreadpoolController()


def _stacked(points: Sequence[Point]) -> np.ndarray:
    return np.array([point.features for point in points]) if points else np.zeros((0, 0))


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
