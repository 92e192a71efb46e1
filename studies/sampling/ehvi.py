"""Expected hypervolume improvement where runtimes are known: the sampler that ``auto`` is.

A general sampler learns both objectives from trainings, though runtime, MACs, parameters and memory
of a network are known before any. Here they are computed for a pool of candidates, those over a
limit are left out, and only the gain is modelled (`studies.sampling.gain_model`). What a candidate
may add to the front then has a closed form: over each step of the front, the expected gain above
it, times the octaves of runtime that the candidate would cover (Emmerich et al., 2006, with one
objective known).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial
from scipy.special import ndtr
from threadpoolctl import ThreadpoolController

from studies.core.budget import SPAN, Budget
from studies.core.info import StudySettings
from studies.core.ledger import Ledger
from studies.core.noise import seed_noise
from studies.core.outcome import Broken, Rejected, Trained
from studies.core.parameters import distribution
from studies.core.record import Record
from studies.core.sampler import MakeSampler
from studies.sampling.gain_model import GainModel, Prior, Process, fit_gains, shipped_prior
from studies.sampling.pool import POOL, CostsOf, Point, Pool, simplest
from studies.sampling.pruner import non_domination_ranks

_MOST = 2 * POOL
"""Candidates of the pool, children included, above which all but the best `POOL` are dropped."""

LEARNED = 500
"""Trainings that the model learns from: a covariance of all would take a cube longer."""

_PARENTS = 10
_FEWEST = 4  # trainings that say something of colour
_COLOUR_NOISE_DB = 0.05


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


@dataclass(frozen=True, slots=True)
class EhviSamplers:
    """The samplers of a study, which share a pool of candidates while it is open."""

    costs_of: CostsOf
    name: str = "ehvi"
    reads_pruned: bool = True

    def open(self, settings: StudySettings) -> MakeSampler:
        """See `studies.core.sampler.SamplerFactory`."""
        pool: list[Pool] = []  # built for the first trial that it samples

        def make(ledger: Ledger, seed: int) -> EhviSampler:
            if not pool:
                pool.append(Pool(settings.space, settings.budget, self.costs_of, settings.seed))
            return EhviSampler(
                pool[0],
                shipped_prior(),
                ledger.records,
                ledger.trial_by_layout.keys(),
                settings.budget,
                seed_noise(ledger.records).sd_db,
                seed,
            )

        return make


class EhviSampler(BaseSampler):
    """Asks for the candidate of the largest expected hypervolume improvement.

    Args:
        pool: Of the study's space and budget; kept for the whole run.
        prior: What trainings of other sets say.
        records: What became of the study's trials.
        asked: Deploy forms that were asked for.
        budget: The study's limits.
        noise_db: Standard deviation of a gain over seeds, see `studies.core.noise`.
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
        return {} if best is None else simplest(self._pool.space, best.parameters)

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
