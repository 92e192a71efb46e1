"""What a study needs of a sampler, and errors of samplers reported as such."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import StorageInternalError
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from nas.common.errors import InputError
from studies.core.candidate import Candidate

if TYPE_CHECKING:
    from search_spaces.space import Dimension, Space
    from studies.core.info import StudySettings
    from studies.core.ledger import Ledger


def distribution(dimension: Dimension) -> BaseDistribution:
    """Return a dimension for Optuna: evenly spaced numbers keep their order."""
    if dimension.step is None:
        return CategoricalDistribution(dimension.choices)
    return IntDistribution(dimension.choices[0], dimension.choices[-1], step=dimension.step)


def seed_for(seed: int, asked: int) -> int:
    """Return the seed for one trial of a study, independent of interruptions."""
    return int(np.random.SeedSequence([seed, asked]).generate_state(1)[0])


def draws(space: Space, seed: int) -> Iterator[dict[str, Any]]:
    """Draw random parameters endlessly; some contradict each other."""
    random = np.random.default_rng([seed, len(space.dimensions)])
    while True:
        yield {d.name: d.choices[int(random.integers(len(d.choices)))] for d in space.dimensions}


def draw_unseen(space: Space, seen: Container[str], seed: int) -> dict[str, Any] | None:
    """Draw random parameters until their candidate's layout is new; None if none is found.

    A small space is tried completely, a large one a thousand times.
    """
    random = np.random.default_rng(seed)
    draws = (
        random.permutation(space.size)
        if space.size <= 4096
        else _random_indices(random, space.size)
    )
    for drawn in draws:
        index, params = int(drawn), {}
        for dimension in space.dimensions:
            index, choice = divmod(index, len(dimension.choices))
            params[dimension.name] = dimension.choices[choice]
        try:
            if Candidate(-1, space.architecture(params)).layout not in seen:
                return params
        except InputError:  # the space is a product: some of its corners contradict
            continue
    return None


def _random_indices(random: np.random.Generator, size: int) -> list[int]:
    """A thousand indices; the size of a space may exceed 64 bits."""
    return [min(int(share * size), size - 1) for share in random.random(1000)]


MakeSampler: TypeAlias = "Callable[[Ledger, int], BaseSampler]"
"""Makes the sampler for one trial from the study's state and a seed for this trial."""


class SamplerFactory(Protocol):
    """Makes the samplers of a study. All that they learn from is in the study."""

    @property
    def name(self) -> str:
        """The value of ``--sampler``."""
        ...

    @property
    def reads_pruned(self) -> bool:
        """Whether its samplers learn from PRUNED trials, not from COMPLETE ones alone."""
        ...

    def open(self, settings: StudySettings) -> MakeSampler:
        """Return what makes the samplers while a study is open."""
        ...


class SamplerError(InputError):
    """A sampler failed; the study is intact."""


class GuardedSampler(BaseSampler):
    """A sampler whose exceptions become `SamplerError`; errors of the database stay what they are.

    Optuna calls samplers and the database in turn within one ask, so that nothing around the ask
    can distinguish their errors.
    """

    def __init__(self, sampler: BaseSampler, name: str) -> None:
        self._sampler, self._name = sampler, name

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See `BaseSampler`."""
        with self._reported(trial):
            return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See `BaseSampler`."""
        with self._reported(trial):
            return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        """See `BaseSampler`."""
        with self._reported(trial):
            return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """See `BaseSampler`."""
        with self._reported(trial):
            self._sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """See `BaseSampler`."""
        with self._reported(trial):
            self._sampler.after_trial(study, trial, state, values)

    @contextmanager
    def _reported(self, trial: FrozenTrial) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, StorageInternalError):
            raise
        except Exception as error:
            first_line = (str(error).strip() or "no message").splitlines()[0]
            raise SamplerError(
                f"The sampler {self._name!r} failed for trial {trial.number} "
                f"({type(error).__name__}: {first_line}): nothing is lost, continue the study "
                "with another --sampler."
            ) from error
