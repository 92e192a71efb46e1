"""The gain of any network of the lightweight space, learned from really trained ones.

    python -m benchmarks.surrogate              # how well it predicts those left out
    python -m benchmarks.surrogate --train 200  # train more networks, on the sample set

The table in ``studies/tables/lightweight.csv`` holds networks drawn from the space, and the prior
of the sampler `ehvi` is fitted to it. Draws are spread evenly over the logarithm of the runtime,
from useless networks to some of 8 ms, and a training that ends adds a line: the same command
continues. Learned here are the mean of two Gaussian processes and of boosted trees, on features
that a network's deploy form alone decides.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.colour import trained
from benchmarks.options import parser_of
from nas.data.sample import sample_set
from nas.data.store import open_set
from nas.measure.cost.counts import count
from nas.measure.latency.target import resolve_target
from nas.training.proxy.proxy import Diverged, ProxySettings, proxy_data
from search_spaces.architecture import Architecture
from search_spaces.networks.factory import layout
from search_spaces.space import load_space
from studies.core.budget import Budget
from studies.sampling.gain_model import TABLE, Training, fit_prior, read_table, table_arrays
from studies.sampling.pool import DRAWS, Pool
from studies.setup import known_costs
from teachers.loading import load_teacher

SPACE = "lightweight"

SLOWEST_MS = 8.0

CEILING_DB = 0.3
"""Gains are learned as -log(ceiling - gain): the weak ones spread out less, the good ones more."""

NOISE_DB = 0.006
"""What another seed moves a gain by: the middle of what docs/proxy.md tells, .002 to .010 dB."""

_BANDS, _SEED = 15, 20261201


def drawn() -> Iterator[Architecture]:
    """Networks of the space in random order, from each band of runtimes in turn."""
    budget = Budget(runtime_ms=SLOWEST_MS)
    costs_of = partial(known_costs, resolve_target("rtx4090"))
    pool = Pool(load_space(SPACE), budget, costs_of, _SEED)
    for _ in range(3000 // DRAWS):
        pool.grow()
    points = sorted(pool.points, key=lambda point: point.costs.runtime_ms)
    octaves = np.log2([point.costs.runtime_ms / SLOWEST_MS for point in points])
    bands: list[list[Architecture]] = [[] for _ in range(_BANDS)]
    order = np.random.default_rng(_SEED).permutation(len(points))
    for index in order:
        if (place := int(_BANDS * (1 + octaves[index] / -octaves[0]))) < _BANDS:
            bands[place].append(pool.space.architecture(points[index].parameters))
    while any(bands):
        yield from (band.pop() for band in bands if band)


def extend_table(size: int) -> None:
    """Train networks until the table has so many, and fit the prior to it."""
    rows = read_table()
    known = {layout(row.architecture).key for row in rows}
    data = proxy_data(open_set(sample_set()), load_teacher("hat-tiny"), "cpu")
    for architecture in drawn():
        if len(rows) >= size:
            break
        if (key := layout(architecture).key) in known:
            continue
        try:
            result = trained(architecture, data, ProxySettings())
        except Diverged:
            continue
        known.add(key)
        sizes = count(architecture)
        rows.append(Training(architecture, result.gain_db, sizes.macs, sizes.params))
        append(rows[-1])
        print(f"{len(rows)}: {result.gain_db:+.3f} dB, {architecture.label}", flush=True)
    fit = fit_prior(*table_arrays(read_table()))
    fitted = {**asdict(fit), "lengths": list(fit.lengths)}
    TABLE.with_suffix(".json").write_text(json.dumps(fitted) + "\n")


def append(row: Training, path: Path = TABLE) -> None:
    """Add a line to the table."""
    described = json.dumps(row.architecture.to_dict(), separators=(",", ":"))
    with path.open("a", newline="") as file:
        cells = [f"{row.gain_db:.5f}", row.macs, row.params, described]
        csv.writer(file, lineterminator="\n").writerow(cells)


class Surrogate:
    """Predicts gains of networks of the space."""

    def __init__(self, inputs: np.ndarray, gains_db: np.ndarray) -> None:
        self._mean, self._spread = inputs.mean(0), inputs.std(0) + 1e-9
        self._models = _models(inputs.shape[1])
        targets = -np.log(CEILING_DB - gains_db)
        for model in self._models:
            model.fit(self._scaled(inputs), targets)

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Gains in dB of rows of features."""
        scaled = self._scaled(inputs)
        return np.mean([CEILING_DB - np.exp(-model.predict(scaled)) for model in self._models], 0)

    def _scaled(self, inputs: np.ndarray) -> np.ndarray:
        return (inputs - self._mean) / self._spread


def _models(width: int) -> list[Any]:
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    # One length scale for all features, and one each: of so many features some are chance.
    common = ConstantKernel() * Matern(5.0, nu=1.5) + WhiteKernel(0.05)
    each = Matern(np.full(width, 5.0), (0.5, 1e3), nu=1.5)
    own = ConstantKernel() * each + WhiteKernel(0.05)
    boosted = GradientBoostingRegressor(
        n_estimators=300, max_depth=4, learning_rate=0.05, subsample=0.7, random_state=0
    )
    return [
        GaussianProcessRegressor(common, normalize_y=True),
        GaussianProcessRegressor(own, normalize_y=True),
        boosted,
    ]


def learned(rows: Sequence[Training] | None = None) -> Surrogate:
    """Fit to the whole table."""
    return Surrogate(*table_arrays(read_table() if rows is None else rows))


def cross_validated(folds: int = 10) -> dict[str, float]:
    """How well each tenth of the table is predicted from the others."""
    from scipy.stats import spearmanr

    inputs, gains = table_arrays(read_table())
    fold = np.random.default_rng(0).permutation(len(gains)) % folds
    predicted = np.empty_like(gains)
    for number in range(folds):
        inside = fold != number
        predicted[~inside] = Surrogate(inputs[inside], gains[inside]).predict(inputs[~inside])
    errors = np.abs(predicted - gains)
    return {
        "trainings": len(gains),
        "below_lanczos": int((gains <= 0).sum()),
        "r2": 1 - float((errors**2).sum() / ((gains - gains.mean()) ** 2).sum()),
        "spearman": float(spearmanr(predicted, gains).statistic),
        "mean_error_db": float(errors.mean()),
        "median_error_db": float(np.median(errors)),
    }


def main() -> None:
    """Extend the table, or say what the surrogate is worth."""
    parser = parser_of(__doc__)
    parser.add_argument("--train", type=int, metavar="N", help="until the table has so many rows")
    options = parser.parse_args()
    if options.train:
        torch.set_num_threads(1)
        extend_table(options.train)
    for name, value in cross_validated().items():
        print(f"{name:16} {value:.3f}")


if __name__ == "__main__":
    main()
