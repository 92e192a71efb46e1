"""What a study needs of a sampler, and errors of samplers reported as such."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from nas.common.errors import InputError

if TYPE_CHECKING:
    from studies.core.info import StudySettings
    from studies.core.ledger import Ledger

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
