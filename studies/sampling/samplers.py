"""Samplers by name, as ``--sampler`` chooses them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from nas.common.errors import InputError
from nas.common.registry import Registry
from studies.core.info import StudySettings
from studies.core.ledger import Ledger
from studies.core.sampler import MakeSampler, SamplerFactory

if TYPE_CHECKING:  # it imports torch
    from studies.sampling.pool import CostsOf

AUTO = "auto"

Make: TypeAlias = "Callable[[CostsOf | None], SamplerFactory]"
"""Takes what computes the costs of a network; returns what makes the samplers of a study."""

samplers: Registry[Make] = Registry("sampler", reserved=(AUTO,))


def sampler_factory(name: str, costs_of: CostsOf | None = None) -> SamplerFactory:
    """Return what makes the samplers of a study.

    Args:
        name: Of `samplers`, or ``auto``.
        costs_of: Computes the costs of a network; ``ehvi`` needs it.

    Raises:
        InputError: There is no such sampler.
    """
    if resolve(name) not in samplers:
        choices = ", ".join((AUTO, *samplers))
        raise InputError(f"--sampler {name!r}: choose one of {choices}.")
    return samplers[resolve(name)](costs_of)


def resolve(name: str) -> str:
    """Return the sampler that ``auto`` stands for: see `benchmarks/results/samplers.md`."""
    return "ehvi" if name == AUTO else name


@dataclass(frozen=True, slots=True)
class OptunaSamplers:
    """Samplers of Optuna, a new one for each trial.

    Attributes:
        name: As users choose it.
        make: Takes the seed of the trial and that of the study.
        reads_pruned: Whether the sampler learns from PRUNED trials.
    """

    name: str
    make: Callable[[int, int], BaseSampler]
    reads_pruned: bool = True

    def open(self, settings: StudySettings) -> MakeSampler:
        """See `SamplerFactory`."""

        def make(ledger: Ledger, seed: int) -> BaseSampler:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.make(seed, settings.seed)

        return make


def _ehvi(costs_of: CostsOf | None) -> SamplerFactory:
    from studies.sampling.ehvi import EhviSamplers

    assert costs_of is not None
    return EhviSamplers(costs_of)


def _gp(seed: int, study_seed: int) -> BaseSampler:
    import torch

    torch.set_num_threads(1)  # its matrices are tiny, and candidates need the cores
    return GPSampler(seed=seed)


def _qmc(seed: int, study_seed: int) -> BaseSampler:
    """A quasi-random sequence needs one seed for all of it."""
    return QMCSampler(scramble=True, seed=study_seed, warn_independent_sampling=False)


_OPTUNA = (
    OptunaSamplers("tpe", lambda seed, study_seed: TPESampler(multivariate=True, seed=seed)),
    OptunaSamplers("gp", _gp, reads_pruned=False),
    OptunaSamplers("nsga2", lambda seed, _: NSGAIISampler(population_size=20, seed=seed)),
    OptunaSamplers("random", lambda seed, _: RandomSampler(seed=seed)),
    OptunaSamplers("qmc", _qmc),
)
samplers.add("ehvi", _ehvi)
for _each in _OPTUNA:
    samplers.add(_each.name, lambda costs_of, factory=_each: factory)  # type: ignore[misc]
