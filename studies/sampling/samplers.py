"""The values of ``--sampler``."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optuna import samplers

from nas.common.errors import InputError
from studies.core.info import StudySettings
from studies.core.ledger import Ledger
from studies.core.sampler import MakeSampler, SamplerFactory

if TYPE_CHECKING:  # it imports torch
    from studies.sampling.pool import CostsOf

SAMPLERS = ("auto", "ehvi", "tpe", "gp", "nsga2", "random", "qmc")


def sampler_factory(name: str, costs_of: CostsOf | None = None) -> SamplerFactory:
    """Return what makes the samplers of a study.

    Args:
        name: One of `SAMPLERS`.
        costs_of: Computes the costs of a network; ``ehvi`` needs it.

    Raises:
        InputError: There is no such sampler.
    """
    if name not in SAMPLERS:
        raise InputError(f"--sampler {name!r}: choose one of {', '.join(SAMPLERS)}.")
    name = resolve(name)
    if name != "ehvi":
        return OptunaSamplers(name)
    from studies.sampling.ehvi import EhviSamplers

    assert costs_of is not None
    return EhviSamplers(costs_of)


def resolve(name: str) -> str:
    """Return the sampler that ``auto`` stands for: see `benchmarks/results/samplers.md`."""
    return "ehvi" if name == "auto" else name


@dataclass(frozen=True, slots=True)
class OptunaSamplers:
    """Optuna's own samplers, a new one for each trial."""

    name: str

    @property
    def reads_pruned(self) -> bool:
        """Optuna's GP sampler ignores PRUNED trials."""
        return self.name != "gp"

    def open(self, settings: StudySettings) -> MakeSampler:
        """See `SamplerFactory`."""
        return lambda ledger, seed: self._make(ledger, seed, settings.seed)

    def _make(self, ledger: Ledger, seed: int, study_seed: int) -> samplers.BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.name == "gp":
                import torch

                torch.set_num_threads(1)  # its matrices are tiny, and candidates need the cores
                return samplers.GPSampler(seed=seed)
            if self.name == "nsga2":
                return samplers.NSGAIISampler(population_size=20, seed=seed)
            if self.name == "random":
                return samplers.RandomSampler(seed=seed)
            if self.name == "qmc":  # a quasi-random sequence needs one seed for all of it
                return samplers.QMCSampler(
                    scramble=True, seed=study_seed, warn_independent_sampling=False
                )
            return samplers.TPESampler(multivariate=True, seed=seed)
