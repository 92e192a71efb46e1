"""The runner within this process: for tests, debugging, and machines without Ray."""

from __future__ import annotations

from dataclasses import dataclass

from studies.core.candidate import Candidate, Evaluate, Evaluation
from studies.runners.base import TrialSource


@dataclass(frozen=True, slots=True)
class InlineRunner:
    """Evaluates candidates in turn, one rung at a time.

    Attributes:
        concurrency: Candidates at once. More than one is not faster, but asks and tells as a
            parallel runner does, deterministically.
    """

    concurrency: int = 1

    def run(self, evaluate: Evaluate, trials: TrialSource) -> None:
        """Evaluate candidates until there are no more; see `Runner.run`."""
        live: dict[Candidate, Evaluation] = {}
        try:
            while True:
                while len(live) < self.concurrency and (candidate := trials.ask()) is not None:
                    live[candidate] = evaluate(candidate)
                if not live:
                    return
                for candidate, evaluation in list(live.items()):
                    self._step(candidate, evaluation, live, trials)
        finally:
            for evaluation in live.values():
                evaluation.close()

    def _step(
        self,
        candidate: Candidate,
        evaluation: Evaluation,
        live: dict[Candidate, Evaluation],
        trials: TrialSource,
    ) -> None:
        try:
            outcome = trials.at_rung(candidate, next(evaluation))
        except StopIteration as end:
            outcome = end.value
        if outcome is not None:
            evaluation.close()
            del live[candidate]
            trials.tell(candidate, outcome)
