"""What a candidate will gain: a Gaussian process on its deploy form, over a prior from a table.

Runtime, MACs, parameters and memory of a candidate are computed; its gain alone is unknown. Two
things predict it: a shipped table of trainings, by a process fitted to it once, and the trainings
of the study, by a second process on what the first one left over. So a search that has trained
nothing yet knows which kinds of networks do well, and one that has trained forty knows where its
own data differ.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from search_spaces.architecture import INPUTS, SKIPS, Architecture
from studies.core.noise import shipped_db

LOWEST_DB = -0.1
"""Gains are learned down to here: how bad a useless network is says nothing of good ones."""

TABLE = Path(__file__).parent / "tables" / "lightweight.csv"
"""Trainings of 600 steps on the sample set, of networks drawn over the whole space."""

FIT = TABLE.with_suffix(".json")
"""What `fit_prior` found for the table, which ``python -m benchmarks.surrogate`` writes."""

_TABLE_NOISE_DB = shipped_db(600)

_OWN = 0.3
"""Variance by which a study differs from the table, beside the table's own, before it has data."""

_MOST_FITTED = 200
"""Trainings that three hyperparameters are fitted to: more tell no more, and take a cube longer."""

_STEMS = ("conv", "unshuffle2", "unshuffle3", "unshuffle4", "strided2", "strided2x4")
_RESIDUALS = ("none", "nearest", "bilinear", "bicubic", "lanczos", "learned", "lr")
_ACTIVATIONS = ("relu", "leaky_relu", "prelu", "gelu", "silu", "none")
"""The choices that the table was trained with; those of plugins have no feature."""

_SQRT5 = math.sqrt(5)


@dataclass(frozen=True, slots=True)
class Training:
    """One row of the table.

    Attributes:
        architecture: What was trained.
        gain_db: PSNR-Y over Lanczos.
        macs: Of the deploy form, for one 540x960 picture.
        params: Of the deploy form.
    """

    architecture: Architecture
    gain_db: float
    macs: int
    params: int


def read_table(path: Path = TABLE) -> list[Training]:
    """Read a table of trainings; lines that begin with # say where it is from."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return [
        Training(
            Architecture.from_dict(json.loads(row["architecture"])),
            float(row["gain_db"]),
            int(row["macs"]),
            int(row["params"]),
        )
        for row in csv.DictReader(lines)
    ]


def table_arrays(rows: Sequence[Training]) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, F) and gains in dB (N,) of rows of the table."""
    inputs = [features(row.architecture, row.macs, row.params) for row in rows]
    return np.array(inputs), np.array([row.gain_db for row in rows])


@lru_cache(maxsize=1)
def shipped_prior() -> Prior:
    """The prior of the shipped table, as it was fitted once."""
    inputs, gains_db = table_arrays(read_table())
    return Prior.of(inputs, gains_db, Fit(**json.loads(FIT.read_text())))


def features(architecture: Architecture, macs: float, params: float) -> np.ndarray:
    """What the deploy form decides: sizes, where it works, how it starts and ends.

    Candidates of one deploy form train alike, so how their blocks are re-parameterised is no part
    of it; blocks that do not fold count as kinds of their own, by their share of the depth.
    """
    a = architecture
    depth = a.depth
    attention = sum(stage.depth for stage in a.stages if not _folds(stage.block))
    numbers = [
        math.log(macs),
        math.log(params),
        math.log2(a.width),
        math.log2(a.body_width),
        math.sqrt(depth),
        math.log2(a.factor),
        math.log2(1 + depth * a.factor),
        math.log2(a.width / (a.planes * a.factor**2)),
        math.log2(1 + a.tail.cascade),
        attention / max(depth, 1),
    ]
    kinds = [
        *(a.stem == stem for stem in _STEMS),
        *(a.residual == residual for residual in _RESIDUALS),
        *(a.activation == activation for activation in _ACTIVATIONS),
        *(a.skip == skip for skip in SKIPS),
        *(a.inputs == inputs for inputs in INPUTS),
        a.output == "luma",
        a.tail.kernel == 1,
        a.tail.cascade > 0,
        a.bias,
        a.stem_activation,
        a.neck != "none",
        not a.stages,
    ]
    return np.array([*numbers, *map(float, kinds)])


def _folds(block: str) -> bool:
    from search_spaces.blocks import linear_sizes

    return bool(linear_sizes(block))


@dataclass(frozen=True)
class Process:
    """A Gaussian process with a Matern 5/2 kernel, fitted to some points.

    Attributes:
        inputs: (N, F), scaled.
        targets: (N,), what its mean leaves over.
        lengths: (F,), distances over which values change.
        amplitude: variance of what it explains.
        noise: (N,) variances of the targets.
        base: another process, on whose mean this one stands: where that is unsure, so is this one.
        share: by how much a decibel of ``base`` is one of this process.
    """

    inputs: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray
    amplitude: float
    noise: np.ndarray
    base: Process | None = None
    share: float = 1.0

    @cached_property
    def _factor(self) -> np.ndarray:
        return _lower(self._kernel(self.inputs, self.inputs), self.noise)

    @cached_property
    def _weights(self) -> np.ndarray:
        return cho_solve((self._factor, True), self.targets)

    def mean(self, inputs: np.ndarray) -> np.ndarray:
        """Means (M,) at (M, F)."""
        return self._kernel(inputs, self.inputs) @ self._weights

    def predict(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means (M,) and standard deviations (M,) at (M, F)."""
        variance = np.full(len(inputs), self.amplitude)
        if self.base is not None:
            variance += np.square(self.share * self.base.predict(inputs)[1])
        if not len(self.inputs):
            return np.zeros(len(inputs)), np.sqrt(variance)
        explained = np.square(self._solved(inputs)).sum(0)
        return self.mean(inputs), np.sqrt(np.maximum(variance - explained, 1e-12))

    def covariance(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """What is left to learn: the covariance (A, B) of values at (A, F) and (B, F)."""
        return self._kernel(a, b) - self._solved(a).T @ self._solved(b)

    def _solved(self, inputs: np.ndarray) -> np.ndarray:
        return solve_triangular(self._factor, self._kernel(self.inputs, inputs), lower=True)

    def _kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        own = self.amplitude * _matern(_distances(a, b, self.lengths))
        return own if self.base is None else own + self.share**2 * self.base.covariance(a, b)


@dataclass(frozen=True, slots=True)
class Fit:
    """What is fitted to a table: see `Process`.

    Attributes:
        lengths: One for each feature, which are scaled to a standard deviation of 1.
        amplitude: Variance of what the process explains.
        noise: Variance of each gain.
    """

    lengths: Sequence[float] | np.ndarray
    amplitude: float
    noise: float


@dataclass(frozen=True)
class Prior:
    """What a table of trainings says of any network.

    Attributes:
        mean: of the table's features, (F,).
        spread: their standard deviations; 1 where they are all the same.
        level_db: mean gain of the table.
        process: of what is above or below that.
    """

    mean: np.ndarray
    spread: np.ndarray
    level_db: float
    process: Process

    @classmethod
    def of(cls, inputs: np.ndarray, gains_db: np.ndarray, fit: Fit) -> Prior:
        """What a table, (N, F) features and (N,) gains, says with what was fitted to it."""
        mean, spread = inputs.mean(0), inputs.std(0)
        spread = np.where(spread > 1e-9, spread, 1.0)
        gains_db = np.maximum(gains_db, LOWEST_DB)
        level, noise = float(gains_db.mean()), np.full(len(gains_db), fit.noise)
        scaled, lengths = (inputs - mean) / spread, np.asarray(fit.lengths)
        process = Process(scaled, gains_db - level, lengths, fit.amplitude, noise)
        return cls(mean, spread, level, process)

    def scaled(self, inputs: np.ndarray) -> np.ndarray:
        """Features as the processes see them."""
        return (inputs - self.mean) / self.spread

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Gains in dB, (M,), at features (M, F)."""
        return self.level_db + self.process.mean(self.scaled(inputs))


def fit_prior(inputs: np.ndarray, gains_db: np.ndarray) -> Fit:
    """Fit a process to a table of trainings, with one length for each feature.

    Args:
        inputs: (N, F), see `features`.
        gains_db: (N,).
    """
    count = inputs.shape[1]
    table = Prior.of(inputs, gains_db, Fit(np.ones(count), 1.0, 1.0)).process
    variance = float(table.targets.var()) + 1e-6

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _evidence_gradient(table.inputs, table.targets, theta, variance)
        away = theta - start
        return -value + 0.5 * away @ away, -slope + away

    usual = math.log(3.0 * math.sqrt(count))
    start = np.concatenate([[0.0, -3.0], np.full(count, usual)])
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 60}).x
    amplitude, extra = variance * np.exp(best[:2])
    return Fit(np.exp(best[2:]), float(amplitude), float(_TABLE_NOISE_DB**2 + extra))


@dataclass(frozen=True)
class GainModel:
    """Predicts gains of a study's candidates.

    Attributes:
        prior: from the table, scaled to the study by ``offset_db`` and ``slope``.
        offset_db: see ``slope``.
        slope: by how much a decibel in the table is one in the study.
        process: of what the study's trainings leave over.
    """

    prior: Prior
    offset_db: float
    slope: float
    process: Process

    def predict(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean gains and their standard deviations in dB, noise of seeds left out."""
        mean, sd = self.process.predict(self.prior.scaled(inputs))
        return self.offset_db + self.slope * self.prior.predict(inputs) + mean, sd

    def believing(self, inputs: np.ndarray) -> GainModel:
        """The model as if candidates under way had ended as it expects: it looks elsewhere."""
        if not len(inputs):
            return self
        own, scaled = self.process, self.prior.scaled(inputs)
        expected, _ = own.predict(scaled)
        quiet = np.full(len(inputs), 1e-8)
        return GainModel(
            self.prior,
            self.offset_db,
            self.slope,
            replace(
                own,
                inputs=np.vstack([own.inputs, scaled]),
                targets=np.concatenate([own.targets, expected]),
                noise=np.concatenate([own.noise, quiet]),
            ),
        )


def fit_gains(
    prior: Prior, inputs: np.ndarray, gains_db: np.ndarray, noise_db: Sequence[float]
) -> GainModel:
    """Fit the model to the trainings of a study.

    The prior is scaled by a line, and what is left over is learned from what the table leaves
    uncertain, and with the table's lengths, all stretched alike, from how the study's own data
    differ: a few numbers, which a dozen trainings can tell.

    Args:
        prior: From a table.
        inputs: (N, F) features; N may be 0.
        gains_db: (N,).
        noise_db: (N,) standard deviations of each over seeds.
    """
    variance = float(np.var(prior.process.targets)) + 1e-6
    if not len(inputs):
        empty = np.zeros((0, prior.mean.size))
        lengths, own = prior.process.lengths, _OWN * variance
        process = Process(empty, np.zeros(0), lengths, own, np.zeros(0), prior.process)
        return GainModel(prior, 0.0, 1.0, process)
    gains_db = np.maximum(gains_db, LOWEST_DB)
    guessed, scaled = prior.predict(inputs), prior.scaled(inputs)
    # A ridge towards slope 1: few trainings of equal gain say nothing about it.
    design = np.stack([np.ones_like(guessed), guessed], axis=1)
    penalty = np.diag([1e-6, 0.02])
    offset, slope = np.linalg.solve(
        design.T @ design + penalty, design.T @ gains_db + penalty @ np.array([0.0, 1.0])
    )
    slope = max(float(slope), 0.1)
    offset = float((gains_db - slope * guessed).mean())
    left, floor = gains_db - offset - slope * guessed, np.square(noise_db)

    some = np.linspace(0, len(left) - 1, min(len(left), _MOST_FITTED)).round().astype(int)
    distances = _distances(scaled[some], scaled[some], prior.process.lengths)
    unsure = slope**2 * prior.process.covariance(scaled[some], scaled[some])
    targets, quiet = left[some], floor[some]

    def loss(theta: np.ndarray) -> float:
        stretch, amplitude, extra = np.exp(theta)
        covariance = unsure + amplitude * variance * _matern(distances / stretch)
        lower = _lower(covariance, quiet + extra * variance)
        fit = np.square(solve_triangular(lower, targets, lower=True)).sum()
        away = (theta - start) / width
        return 0.5 * fit + np.log(np.diag(lower)).sum() + 0.5 * away @ away

    start, width = np.array([0.0, math.log(_OWN), math.log(0.02)]), np.array([0.7, 1.0, 1.0])
    best = minimize(loss, start, method="Nelder-Mead", options={"maxfev": 80, "xatol": 0.02})
    stretch, amplitude, extra = np.exp(best.x)
    lengths, noise = prior.process.lengths * stretch, floor + extra * variance
    own = float(amplitude) * variance
    process = Process(scaled, left, lengths, own, noise, prior.process, slope)
    return GainModel(prior, offset, slope, process)


def _distances(a: np.ndarray, b: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    a, b = a / lengths, b / lengths
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return _SQRT5 * np.sqrt(np.maximum(squared, 0.0))


def _matern(distances: np.ndarray) -> np.ndarray:
    return (1 + distances + distances**2 / 3) * np.exp(-distances)


def _lower(covariance: np.ndarray, noise: np.ndarray | float) -> np.ndarray:
    """The lower Cholesky factor of a covariance, which is changed, with noise on its diagonal."""
    covariance[np.diag_indices_from(covariance)] += noise + 1e-10
    return cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)


def _evidence_gradient(
    inputs: np.ndarray, targets: np.ndarray, theta: np.ndarray, variance: float
) -> tuple[float, np.ndarray]:
    """Log evidence and its gradient by the logarithms of amplitude, extra noise and lengths."""
    amplitude, extra = variance * math.exp(theta[0]), variance * math.exp(theta[1])
    lengths = np.exp(theta[2:])
    scaled, distance = inputs / lengths, _distances(inputs, inputs, lengths)
    kernel = _matern(distance)
    lower = _lower(amplitude * kernel, _TABLE_NOISE_DB**2 + extra)
    weights = cho_solve((lower, True), targets)
    inverse = cho_solve((lower, True), np.eye(len(targets)))
    pull = 0.5 * (np.outer(weights, weights) - inverse)
    value = -0.5 * targets @ weights - np.log(np.diag(lower)).sum()
    # The kernel falls by 5/3 (1 + d) exp(-d) for each squared distance in units of its length.
    falling = amplitude * 5 / 3 * (1 + distance) * np.exp(-distance) * pull
    row = falling.sum(1)
    slopes = 2 * (row @ scaled**2) - 2 * np.einsum("if,ij,jf->f", scaled, falling, scaled)
    gradient = np.concatenate(
        [[float((pull * amplitude * kernel).sum()), float(extra * np.trace(pull))], slopes]
    )
    return float(value), gradient
