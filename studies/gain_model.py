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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from search_spaces.architecture import ACTIVATIONS, INPUTS, RESIDUALS, SKIPS, STEMS, Architecture
from studies.noise import shipped_db

LOWEST_DB = -0.1
"""Gains are learned down to here: how bad a useless network is says nothing of good ones."""

TABLE = Path(__file__).parent / "tables" / "lightweight.csv"
"""Trainings of one search by quasi-random numbers: 600 steps on the sample set."""

_TABLE_NOISE_DB = shipped_db(600)

FIGURES = ("gain_db", "runtime_ms")

_SQRT5 = math.sqrt(5)


@dataclass(frozen=True, slots=True)
class Training:
    """One row of the table.

    Attributes:
        choices: A value for each dimension of the lightweight space as it was then.
        gain_db: PSNR-Y over Lanczos.
        runtime_ms: Predicted for an RTX 4090.
    """

    choices: Mapping[str, Any]
    gain_db: float
    runtime_ms: float


def read_table(path: Path = TABLE) -> list[Training]:
    """Read a table of trainings; lines that begin with # say where it is from."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    rows = []
    for row in csv.DictReader(lines):
        gain_db, runtime_ms = (float(row.pop(name)) for name in FIGURES)
        rows.append(Training({k: json.loads(v) for k, v in row.items()}, gain_db, runtime_ms))
    return rows


@lru_cache(maxsize=1)
def shipped_prior() -> Prior:
    """The prior of the shipped table; takes a second, once in a process."""
    from nas.measure.counts import count
    from search_spaces.space import load_space

    space, rows = load_space("lightweight"), read_table()
    networks = [space.architecture(row.choices) for row in rows]
    counts = [count(network) for network in networks]
    inputs = [features(a, c.macs, c.params) for a, c in zip(networks, counts, strict=True)]
    return fit_prior(np.array(inputs), np.array([row.gain_db for row in rows]))


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
        *(a.stem == stem for stem in STEMS),
        *(a.residual == residual for residual in RESIDUALS),
        *(a.activation == activation for activation in ACTIVATIONS),
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
    """

    inputs: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray
    amplitude: float
    noise: np.ndarray

    @cached_property
    def _factor(self) -> tuple[np.ndarray, bool]:
        covariance = self.amplitude * _matern(self.inputs, self.inputs, self.lengths)
        covariance[np.diag_indices_from(covariance)] += self.noise + 1e-10
        return cho_factor(covariance, lower=True)

    def predict(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means (M,) and standard deviations (M,) at (M, F)."""
        if not len(self.inputs):
            return np.zeros(len(inputs)), np.full(len(inputs), math.sqrt(self.amplitude))
        across = self.amplitude * _matern(inputs, self.inputs, self.lengths)
        mean = across @ cho_solve(self._factor, self.targets)
        explained = np.einsum("ij,ji->i", across, cho_solve(self._factor, across.T))
        return mean, np.sqrt(np.maximum(self.amplitude - explained, 1e-12))

    def evidence(self) -> float:
        """Logarithm of how probable the targets are."""
        lower, _ = self._factor
        fit = self.targets @ cho_solve(self._factor, self.targets)
        return -0.5 * fit - np.log(np.diag(lower)).sum() - 0.5 * len(lower) * math.log(2 * math.pi)


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

    def scaled(self, inputs: np.ndarray) -> np.ndarray:
        """Features as the processes see them."""
        return (inputs - self.mean) / self.spread

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Gains in dB, (M,), at features (M, F)."""
        return self.level_db + self.process.predict(self.scaled(inputs))[0]


def fit_prior(inputs: np.ndarray, gains_db: np.ndarray) -> Prior:
    """Fit a process to a table of trainings, with one length for each feature.

    Args:
        inputs: (N, F), see `features`.
        gains_db: (N,).
    """
    mean, spread = inputs.mean(0), inputs.std(0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    gains_db = np.maximum(gains_db, LOWEST_DB)
    level, variance = float(gains_db.mean()), float(gains_db.var()) + 1e-6
    scaled, targets = (inputs - mean) / spread, gains_db - level
    usual = math.log(3.0 * math.sqrt(inputs.shape[1]))

    def process(theta: np.ndarray) -> Process:
        noise = np.full(len(targets), _TABLE_NOISE_DB**2 + variance * math.exp(theta[1]))
        return Process(scaled, targets, np.exp(theta[2:]), variance * math.exp(theta[0]), noise)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _evidence_gradient(scaled, targets, theta, variance)
        away = theta - start
        return -value + 0.5 * (away / width) @ (away / width), -slope + away / width**2

    start = np.concatenate([[0.0, -3.0], np.full(inputs.shape[1], usual)])
    width = np.concatenate([[1.0, 1.0], np.full(inputs.shape[1], 1.0)])
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 60})
    return Prior(mean, spread, level, process(best.x))


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
            Process(
                np.vstack([own.inputs, scaled]) if len(own.inputs) else scaled,
                np.concatenate([own.targets, expected]),
                own.lengths,
                own.amplitude,
                np.concatenate([own.noise, quiet]),
            ),
        )


def fit_gains(
    prior: Prior, inputs: np.ndarray, gains_db: np.ndarray, noise_db: Sequence[float]
) -> GainModel:
    """Fit the model to the trainings of a study.

    The prior is scaled by a line, and what is left over is learned with the table's lengths, all
    stretched alike: a few numbers, which a dozen trainings can tell.

    Args:
        prior: From a table.
        inputs: (N, F) features; N may be 0.
        gains_db: (N,).
        noise_db: (N,) standard deviations of each over seeds.
    """
    variance = float(np.var(prior.process.targets)) + 1e-6
    if not len(inputs):
        empty = np.zeros((0, prior.mean.size))
        process = Process(empty, np.zeros(0), prior.process.lengths, variance, np.zeros(0))
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

    def fitted(theta: np.ndarray) -> Process:
        stretch, amplitude, extra = np.exp(theta)
        lengths = prior.process.lengths * stretch
        return Process(scaled, left, lengths, amplitude * variance, floor + extra * variance)

    def loss(theta: np.ndarray) -> float:
        away = (theta - start) / width
        return -fitted(theta).evidence() + 0.5 * away @ away

    start, width = np.array([0.0, math.log(0.3), math.log(0.02)]), np.array([0.7, 1.0, 1.0])
    best = minimize(loss, start, method="Nelder-Mead", options={"maxfev": 80, "xatol": 0.02})
    return GainModel(prior, offset, slope, fitted(best.x))


def _matern(a: np.ndarray, b: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    a, b = a / lengths, b / lengths
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    distance = _SQRT5 * np.sqrt(np.maximum(squared, 0.0))
    return (1 + distance + distance**2 / 3) * np.exp(-distance)


def _evidence_gradient(
    inputs: np.ndarray, targets: np.ndarray, theta: np.ndarray, variance: float
) -> tuple[float, np.ndarray]:
    """Log evidence and its gradient by the logarithms of amplitude, extra noise and lengths."""
    amplitude, extra = variance * math.exp(theta[0]), variance * math.exp(theta[1])
    lengths = np.exp(theta[2:])
    kernel = _matern(inputs, inputs, lengths)
    scaled = inputs / lengths
    squared = (scaled**2).sum(1)[:, None] + (scaled**2).sum(1)[None] - 2 * scaled @ scaled.T
    distance = _SQRT5 * np.sqrt(np.maximum(squared, 0.0))
    covariance = amplitude * kernel
    covariance[np.diag_indices_from(covariance)] += _TABLE_NOISE_DB**2 + extra + 1e-10
    factor = cho_factor(covariance, lower=True)
    weights = cho_solve(factor, targets)
    inverse = cho_solve(factor, np.eye(len(targets)))
    pull = 0.5 * (np.outer(weights, weights) - inverse)
    value = -0.5 * targets @ weights - np.log(np.diag(factor[0])).sum()
    # The kernel falls by 5/3 (1 + d) exp(-d) for each squared distance in units of its length.
    falling = amplitude * 5 / 3 * (1 + distance) * np.exp(-distance) * pull
    row = falling.sum(1)
    slopes = 2 * (row @ scaled**2) - 2 * np.einsum("if,ij,jf->f", scaled, falling, scaled)
    gradient = np.concatenate(
        [[float((pull * amplitude * kernel).sum()), float(extra * np.trace(pull))], slopes]
    )
    return float(value), gradient
