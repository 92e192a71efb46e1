"""What a runner needs and what it promises, so that nothing else knows which one is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from studies.core.candidate import Candidate, Evaluate
from studies.core.outcome import Outcome, PartialResult

if TYPE_CHECKING:
    import numpy as np


class Desk(Protocol):
    """Where a runner gets its work and brings its results: the coordinator of a search.

    All calls come from one thread.
    """

    def ask(self) -> Candidate | None:
        """Return the next candidate; None when there is none now, or, with none live, no more."""
        ...

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        """Take the outcome of a candidate that was asked for, exactly once."""
        ...

    def at_rung(self, candidate: Candidate, partial_result: PartialResult) -> Outcome | None:
        """Return None to go on, or the outcome to stop with; that one is told like any other."""
        ...


class Runner(Protocol):
    """Evaluates candidates until its desk has no more."""

    @property
    def concurrency(self) -> int:
        """How many are in progress at once."""
        ...

    def run(self, evaluate: Evaluate, desk: Desk) -> None:
        """Evaluate candidates, a few at a time.

        Raises:
            InputError: What a desk or an evaluation raised, because it is nobody's candidate's
                fault; what was being evaluated stays untold.
            KeyboardInterrupt: On Ctrl+C, after everything that was started has been stopped.
        """
        ...


class Supply(Protocol):
    """What workers need on machines that do not see the driver's files."""

    @property
    def file(self) -> Path:
        """All of it in one file, on the machine that asks."""
        ...

    def receive(self, fetch: Callable[[], np.ndarray]) -> None:
        """See to it that this machine has it; ``fetch`` returns the bytes of the driver's file.

        Raises:
            InputError: This machine cannot keep it, or has another version of the workbench.
        """
        ...

    def plugin_files(self) -> tuple[str, ...]:
        """Paths of the user's plugins on this machine."""
        ...
