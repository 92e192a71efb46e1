"""The runner in this very process: for tests, for debugging, and where Ray cannot run."""

from __future__ import annotations

from dataclasses import dataclass

from studies.core.candidate import Candidate, Evaluate, Evaluation
from studies.runners.base import Desk


@dataclass(frozen=True, slots=True)
class InlineRunner:
    """Steps candidates in turn, rung by rung.

    Attributes:
        concurrency: How many are in progress at once. More than one is no faster, but asks and
            tells as a parallel runner does, deterministically.
    """

    concurrency: int = 1

    def run(self, evaluate: Evaluate, desk: Desk) -> None:
        """Evaluate candidates until the desk has no more; see `Runner.run`."""
        live: dict[Candidate, Evaluation] = {}
        try:
            while True:
                while len(live) < self.concurrency and (candidate := desk.ask()) is not None:
                    live[candidate] = evaluate(candidate)
                if not live:
                    return
                for candidate, evaluation in list(live.items()):
                    self._step(candidate, evaluation, live, desk)
        finally:
            for evaluation in live.values():
                evaluation.close()

    def _step(
        self,
        candidate: Candidate,
        evaluation: Evaluation,
        live: dict[Candidate, Evaluation],
        desk: Desk,
    ) -> None:
        try:
            outcome = desk.at_rung(candidate, next(evaluation))
        except StopIteration as end:
            outcome = end.value
        if outcome is not None:
            evaluation.close()
            del live[candidate]
            desk.tell(candidate, outcome)
