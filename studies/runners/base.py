"""The interface between the coordinator of a search and its runner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from studies.core.candidate import Candidate, Evaluate
from studies.core.outcome import Outcome, PartialResult

if TYPE_CHECKING:
    import numpy as np


class TrialSource(Protocol):
    """Gives a runner its candidates and takes their outcomes, all from one thread."""

    def ask(self) -> Candidate | None:
        """Return the next candidate; None if there is none now, and with none live no more."""
        ...

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        """Take the outcome of a candidate, exactly once."""
        ...

    def at_rung(self, candidate: Candidate, result: PartialResult) -> Outcome | None:
        """Return None to continue, or the outcome to stop with, which `tell` takes then."""
        ...


class Runner(Protocol):
    """Evaluates candidates until its source has no more."""

    @property
    def concurrency(self) -> int:
        """Candidates at once."""
        ...

    def run(self, evaluate: Evaluate, trials: TrialSource) -> None:
        """Evaluate candidates.

        Raises:
            InputError: Raised by the source or by an evaluation, and no candidate's fault. What was
                being evaluated has no outcome.
            KeyboardInterrupt: On Ctrl+C, after everything that was started has been stopped.
        """
        ...


class WorkerSetup(Protocol):
    """What workers need on machines that do not have the driver's files."""

    @property
    def file(self) -> Path:
        """Path of the packed data on this machine."""
        ...

    def ensure_local(self, fetch: Callable[[], np.ndarray]) -> None:
        """Provide the data on this machine; ``fetch`` returns the bytes of the driver's file.

        Raises:
            InputError: The cache cannot be written, or the versions of the package differ.
        """
        ...

    def plugin_files(self) -> tuple[str, ...]:
        """Paths of the user's plugins on this machine."""
        ...
