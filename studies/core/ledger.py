"""What the trials of a study come to, brought up to date by reading those that may have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile

from optuna.trial import FrozenTrial, TrialState

from studies.core.budget import Budget
from studies.core.record import Counts, Record, count
from studies.core.trials import Repeat, records_of, with_repeats


@dataclass(frozen=True)
class Ledger:
    """The trials of a study at one moment; `read` returns those of a later one.

    A trial that has ended never changes, so it is read once and only ever added. Everything else
    follows from the trials: two ledgers of one study agree, however often each of them was read.

    Attributes:
        budget: The study's limits.
        ended: Records of trials that have ended, by number; failed trials have none.
        running: Records of trials that have not.
        open: Trials that had not ended: running ones, and those that wait to be asked for.
        size: Trials read, failed ones included.
        failed: How many of them failed.
        repeats: Gains of further trainings.
        trial_by_layout: The trial that evaluates a deploy form.
        devices: Where runtimes were measured.
        ended_origins: Origins of the trials in ``ended``.
        origins: The same, with those of ``open``.
        consecutive_duplicates: Trials since the last new candidate; contradictions are among them.
        since_result: Trials that ended since the last that counts for ``--trials``.
        contradiction: The last of these whose choices made no candidate, in one sentence.
    """

    budget: Budget
    ended: Mapping[int, Record] = field(default_factory=dict)
    running: Mapping[int, Record] = field(default_factory=dict)
    open: tuple[FrozenTrial, ...] = ()
    size: int = 0
    failed: int = 0
    repeats: Mapping[Repeat, float | None] = field(default_factory=dict)
    trial_by_layout: Mapping[str, int] = field(default_factory=dict)
    devices: frozenset[str] = frozenset()
    ended_origins: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    ended_counts: Counts = field(default_factory=Counts)
    consecutive_duplicates: int = 0
    since_result: int = 0
    contradiction: str | None = None

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """Every trial that is a candidate's, failed ones left out, in the order of asking."""
        found = {**self.ended, **self.running}
        return tuple(found[number] for number in sorted(found))

    @cached_property
    def counts(self) -> Counts:
        """How many trials ended in which way."""
        return self.ended_counts + count(self.running.values())

    @property
    def waiting(self) -> int:
        """How many trials wait to be asked for."""
        return sum(trial.state == TrialState.WAITING for trial in self.open)

    @property
    def asked(self) -> int:
        """How many trials were asked for; one that was cut off counts once."""
        return self.size - self.failed - self.waiting

    @classmethod
    def from_trials(
        cls,
        trials: Sequence[FrozenTrial],
        repeats: Mapping[Repeat, float | None],
        budget: Budget,
    ) -> Ledger:
        """Return the ledger of all trials of a study, by number, and gains of its repeats."""
        return cls(budget).read(trials, repeats)

    def read(self, trials: Sequence[FrozenTrial], repeats: Mapping[Repeat, float | None]) -> Ledger:
        """Return the ledger of a later moment.

        Args:
            trials: All trials of the study, by number.
            repeats: Gains of all further trainings.
        """
        fresh = [*(trials[trial.number] for trial in self.open), *trials[self.size :]]
        failed = [trial for trial in fresh if trial.state == TrialState.FAIL]
        still_open = tuple(trial for trial in fresh if not trial.state.is_finished())
        ended = [t for t in fresh if t.state.is_finished() and t.state != TrialState.FAIL]
        ended.sort(key=lambda trial: (trial.datetime_complete, trial.number))
        origins = self.ended_origins | {_origin(trial) for trial in ended}
        new = {r.trial: r for r in records_of(ended, repeats, self.budget)}
        running = {r.trial: r for r in records_of(still_open, repeats, self.budget)}
        since_result, contradiction = self.since_result, self.contradiction
        for trial in ended:
            is_result = trial.number in new and new[trial.number].counts_as_trained
            since_result = 0 if is_result else since_result + 1
            contradiction = trial.user_attrs.get("contradiction", contradiction)
            contradiction = None if is_result else contradiction
        return replace(
            self,
            ended={**self.ended, **self._retrained(repeats), **new},
            running=running,
            open=still_open,
            size=len(trials),
            failed=self.failed + len(failed),
            repeats=repeats,
            trial_by_layout=self._layouts({**new, **running}, failed),
            devices=self.devices | _devices(new),
            ended_origins=origins,
            origins=origins | {_origin(trial) for trial in still_open},
            ended_counts=self.ended_counts + count(new.values()),
            consecutive_duplicates=_consecutive_duplicates(trials),
            since_result=since_result,
            contradiction=contradiction,
        )

    def _retrained(self, repeats: Mapping[Repeat, float | None]) -> dict[int, Record]:
        """Records that further trainings have changed."""
        trials = {which[0] for which, _ in repeats.items() - self.repeats.items()}
        return {n: with_repeats(self.ended[n], repeats) for n in trials if n in self.ended}

    def _layouts(
        self, records: Mapping[int, Record], failed: Sequence[FrozenTrial]
    ) -> dict[str, int]:
        found = dict(self.trial_by_layout)
        for trial in failed:
            before = self.running.get(trial.number)
            if before is not None and found.get(before.candidate.layout) == trial.number:
                del found[before.candidate.layout]
        for number in sorted(records.keys() - self.running.keys()):
            if records[number].duplicate_of is None:
                found.setdefault(records[number].candidate.layout, number)
        return found


def _origin(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get("origin", "sampler"))


def _devices(records: Mapping[int, Record]) -> set[str]:
    outcomes = (record.outcome for record in records.values())
    return {o.runtime.device for o in outcomes if o is not None and o.runtime and o.runtime.device}


def _consecutive_duplicates(trials: Sequence[FrozenTrial]) -> int:
    """Trials since the last that was a new candidate."""
    unasked = (TrialState.WAITING, TrialState.FAIL)
    asked = (trial.user_attrs for trial in reversed(trials) if trial.state not in unasked)
    is_new = (("candidate" in attrs and "duplicate_of" not in attrs) for attrs in asked)
    return sum(1 for _ in takewhile(lambda new: not new, is_new))
