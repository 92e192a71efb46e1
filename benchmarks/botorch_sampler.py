"""Comparison of `EhviSampler` with BoTorch's model and acquisition function on the same pool.

    pip install botorch
    python -m benchmarks.botorch_sampler [--seeds N] [--trainings N]

All search the surrogate of `benchmarks.samplers` with the same known costs and start with the
networks of the survey. BoTorch models gains by a `SingleTaskGP` on the same features, directly or
on the residuals of the shipped prior, and runtimes as a deterministic objective. It chooses by
`qLogNoisyExpectedHypervolumeImprovement`, which integrates over the noise of the front, of which
`EhviSampler` takes the mean.
"""

from __future__ import annotations

from unittest import mock

import numpy as np
import torch
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.fit import fit_gpytorch_mll
from botorch.models import ModelList, SingleTaskGP
from botorch.models.deterministic import GenericDeterministicModel
from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import Tensor

from benchmarks.options import parser_of
from benchmarks.samplers import Arm, run
from studies.core.budget import SPAN
from studies.core.outcome import Trained
from studies.sampling import ehvi
from studies.sampling.pool import Point


class BoTorchSampler(ehvi.EhviSampler):
    """Chooses from the same pool; with ``use_prior`` it models the residuals of the prior."""

    use_prior = True

    def choose(self) -> Point | None:
        """Return the best candidate that was not asked for yet; None if there is none."""
        high = self._budget.runtime_ms
        assert high is not None
        low = self._budget.floor_ms or high / SPAN
        found = [(point, end) for point, end in self._known if isinstance(end, Trained)]
        inputs = self._inputs([point for point, _ in found], low, high)
        gains = torch.tensor([[max(end.gain_db, -0.1)] for _, end in found], dtype=torch.double)
        left = gains - inputs[:, -1:]
        count = inputs.shape[1] - 2
        kernel = get_covar_module_with_dim_scaled_prior(
            ard_num_dims=count, active_dims=list(range(count))
        )
        model = SingleTaskGP(inputs, left, covar_module=kernel)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        both = ModelList(model, GenericDeterministicModel(lambda x: x[..., -2:-1]))

        def objective(samples: Tensor, X: Tensor | None = None) -> Tensor:
            assert X is not None
            return torch.stack([samples[..., 0] + X[..., -1], samples[..., 1]], dim=-1)

        acquisition = qLogNoisyExpectedHypervolumeImprovement(
            both,
            ref_point=[0.0, 0.0],
            X_baseline=inputs,
            objective=GenericMCMultiOutputObjective(objective),
            prune_baseline=True,
            cache_root=False,
        )

        def best(most: int) -> list[Point]:
            free = [
                point
                for point in self._pool.points
                if point.layout not in self._asked and point.costs.runtime_ms <= high
            ]
            choices = self._inputs(free, low, high)
            with torch.no_grad():
                values = torch.cat([acquisition(part[:, None]) for part in choices.split(512)])
            return [free[int(index)] for index in values.argsort(descending=True)[:most]]

        self._pool.grow()
        good = sorted(found, key=lambda each: -each[1].gain_db)[:5]
        self._pool.children([*best(10), *(point for point, _ in good)], self._random)
        return next(iter(best(1)), None)

    def _inputs(self, points: list[Point], low: float, high: float) -> Tensor:
        """Return a row per candidate: features, octaves below the budget, gain of the prior."""
        features = np.array([point.features for point in points])
        octaves = [np.log2(high / max(point.costs.runtime_ms, low)) for point in points]
        prior = self._prior.predict(features) if self.use_prior else np.zeros(len(points))
        columns = [self._prior.scaled(features), np.array(octaves)[:, None], prior[:, None]]
        return torch.tensor(np.hstack(columns), dtype=torch.double)


class AloneSampler(BoTorchSampler):
    """BoTorch without the shipped prior."""

    use_prior = False


def main() -> None:
    """Print mean hypervolumes of each sampler."""
    parser = parser_of(__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trainings", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| sampler | seeds | 20 | 40 | ms an ask |\n|---|---|---|---|---|")
    for name, sampler in (
        ("ehvi", ehvi.EhviSampler),
        ("BoTorch, prior", BoTorchSampler),
        ("BoTorch", AloneSampler),
    ):
        with mock.patch.object(ehvi, "EhviSampler", sampler):
            runs = [run(Arm("ehvi"), seed, options.trainings) for seed in range(options.seeds)]
        cells = []
        for mark in (20, 40):
            at = [one["hypervolume"][mark - 1] for one in runs if mark <= options.trainings]  # type: ignore[index]
            cells.append(f"{np.mean(at):.4f} ±{np.std(at, ddof=1):.4f}" if len(at) > 1 else "")
        ask = 1e3 * np.mean([one["seconds_an_ask"] for one in runs])
        print(f"| {name} | {options.seeds} | {' | '.join(cells)} | {ask:.0f} |", flush=True)


if __name__ == "__main__":
    main()
