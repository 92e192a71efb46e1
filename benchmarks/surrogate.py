"""The gain of any network of the lightweight space, learned from really trained ones.

    python -m benchmarks.surrogate                          # how well it predicts those left out
    python -m benchmarks.surrogate --storage URL --study NAME   # make the table anew from a study

The table in ``studies/tables/lightweight.csv`` holds every candidate of one search by
quasi-random numbers, with the networks of the survey that lie in the space. Learned are the mean of
two Gaussian processes and of boosted trees, on features that a network's deploy form alone decides,
since candidates of one deploy form train alike.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.options import parser_of
from search_spaces.architecture import Architecture
from search_spaces.network import layout
from search_spaces.space import Space
from studies.front import trained
from studies.gain_model import FIGURES, TABLE, Training, fit_prior, read_table, table_arrays
from studies.reading import read_study

SPACE = "lightweight"

CEILING_DB = 0.26
"""Gains are learned as -log(ceiling - gain): the weak ones spread out less, the good ones more."""

NOISE_DB = 0.006
"""What another seed moves a gain by: the middle of what docs/proxy.md tells, .002 to .010 dB."""


def write_table(storage: str, study: str, path: Path = TABLE) -> None:
    """Write the trained candidates of a study, what its runs say of themselves, and the fit."""
    info, records = read_study(storage, study)
    space = Space.from_dict(info.identity["space"], study)
    names = [dimension.name for dimension in space.dimensions]
    run = info.runs[0]
    proxy, data = info.identity["proxy"], info.identity["data"]
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        file.write(f"# {run['time'][:10]}, commit {run['git']}, torch {run['packages']['torch']}\n")
        file.write(f"# set {data}, {proxy['steps']} steps, proxy version {proxy['version']}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, *FIGURES])
        for member in trained(records):
            choices = space.parameters(Architecture.from_dict(member.architecture))
            assert choices is not None
            cells = [json.dumps(choices[name]) for name in names]
            figures = f"{member.gain_db:.5f}", f"{member.runtime_ms:.5f}"
            writer.writerow([*cells, *figures, round(member.macs_g * 1e9), member.params])
    fit = fit_prior(*table_arrays(read_table(path)))
    fitted = {**asdict(fit), "lengths": list(fit.lengths)}
    path.with_suffix(".json").write_text(json.dumps(fitted) + "\n")


def features(architecture: Architecture, macs: float, params: float) -> list[float]:
    """What a network's deploy form decides: sizes, where it works, how it starts and ends."""
    a = layout(architecture)
    depth = sum(stage.depth for stage in a.stages)
    sizes = [math.log(macs), math.log(params), math.log2(a.width), float(depth)]
    places = [float(a.factor), float(depth * a.factor), math.log2(a.width * a.factor)]
    room = [math.log(a.width / (3 * a.factor**2))]  # channels a pixel of the picture
    kinds = [
        *(a.stem == stem for stem in ("conv", "unshuffle2", "unshuffle3", "strided2x4")),
        a.stem.startswith("strided"),
        *(a.residual == r for r in ("none", "nearest", "bilinear", "bicubic", "learned", "lr")),
        a.tail.kernel == 1,
        *(a.tail.cascade == channels for channels in (3, 8, 16)),
        *(a.activation == name for name in ("relu", "prelu", "gelu", "none")),
        a.bias,
        a.skip == "long",
        not a.stages,
    ]
    return [*sizes, *places, *room, *map(float, kinds)]


def table_space() -> Space:
    """The space that the table was drawn from: `lightweight` has grown since."""
    rows = read_table()
    choices = {
        name: sorted({row.choices[name] for row in rows}, key=str) for name in rows[0].choices
    }
    return Space.from_dict({"name": SPACE, "dimensions": choices}, "the table")


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

    # One length scale for all features, and one each: with 30 of them and 180 rows some are chance.
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
    return Surrogate(*arrays(read_table() if rows is None else rows))


def arrays(rows: Sequence[Training]) -> tuple[np.ndarray, np.ndarray]:
    """The features and the gains of some rows."""
    space, inputs = table_space(), []
    for row in rows:
        architecture = space.architecture(row.choices)
        inputs.append(features(architecture, row.macs, row.params))
    return np.array(inputs), np.array([row.gain_db for row in rows])


def cross_validated(folds: int = 10) -> dict[str, float]:
    """How well each tenth of the table is predicted from the others."""
    from scipy.stats import spearmanr

    inputs, gains = arrays(read_table())
    fold = np.random.default_rng(0).permutation(len(gains)) % folds
    predicted = np.empty_like(gains)
    for number in range(folds):
        inside = fold != number
        predicted[~inside] = Surrogate(inputs[inside], gains[inside]).predict(inputs[~inside])
    errors = np.abs(predicted - gains)
    return {
        "trainings": len(gains),
        "r2": 1 - float((errors**2).sum() / ((gains - gains.mean()) ** 2).sum()),
        "spearman": float(spearmanr(predicted, gains).statistic),
        "mean_error_db": float(errors.mean()),
        "median_error_db": float(np.median(errors)),
    }


def main() -> None:
    """Make the table, or say what the surrogate is worth."""
    parser = parser_of(__doc__)
    parser.add_argument("--storage")
    parser.add_argument("--study")
    options = parser.parse_args()
    if options.storage:
        write_table(options.storage, options.study)
    for name, value in cross_validated().items():
        print(f"{name:16} {value:.3f}")


if __name__ == "__main__":
    main()
