"""Further trainings of the front with other seeds: ``nas search --repeats N``.

A front selects the luckiest of many noisy trainings. So each member is trained N times, and members
that replace it on the front are too. So are contenders: candidates so little below the front that
seed noise may have kept them from it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from functools import partial

from studies.core.candidate import Candidate
from studies.core.noise import DEVIATIONS, Noise, seed_noise
from studies.core.outcome import Outcome, PartialResult, Trained
from studies.core.record import Record
from studies.core.study import Study
from studies.core.trials import Repeat
from studies.events import OnEvent, Repeated, Started
from studies.results.front import Member, best_within, front, trained


class RepeatTrials:
    """Further trainings of front members and contenders, for a runner.

    Several searches of one study share them.

    Args:
        study: An open study.
        times: Trainings of each candidate in all.
        on_event: Called at every step.
    """

    def __init__(self, study: Study, times: int, on_event: OnEvent) -> None:
        self._study, self._times, self._on_event = study, times, on_event

    def ask(self) -> Candidate | None:
        """See `TrialSource`: a candidate with the number of its training as ``repeat``."""
        candidate = self._study.ask_repeat(partial(next_repeat, times=self._times))
        if candidate is not None:
            self._on_event(Started(candidate))
        return candidate

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        """See `TrialSource`: stores the gain; a broken training is not tried again."""
        gain_db = outcome.gain_db if isinstance(outcome, Trained) else math.nan
        record = self._study.tell_repeat(candidate, gain_db if math.isfinite(gain_db) else None)
        self._on_event(Repeated(candidate, record))

    def at_rung(self, candidate: Candidate, result: PartialResult) -> Outcome | None:
        """See `TrialSource`: never stops a candidate."""
        return None


def next_repeat(
    records: Iterable[Record], taken: Collection[Repeat], *, times: int
) -> Repeat | None:
    """Return trial and number of the most useful further training, None when all are done.

    Members of the front come first, then contenders. Of these at most as many are trained as the
    front has members: a noisy study would train all of them again.

    Args:
        records: All trials.
        taken: Trial and number of each further training that is done or in progress.
        times: Trainings of each candidate in all.
    """
    records = tuple(records)
    members = trained(records)
    line = front(members)
    repeated = {trial for trial, _ in taken}
    may_add = len(repeated - {member.trial for member in line}) < len(line)
    near = contenders(members, seed_noise(records))
    for member in (*line, *(m for m in near if may_add or m.trial in repeated)):
        for number in range(1, times):
            if (member.trial, number) not in taken:
                return member.trial, number
    return None


def contenders(members: Sequence[Member], noise: Noise) -> tuple[Member, ...]:
    """Return the members that seed noise may have kept from the front, nearest first.

    They are less than `DEVIATIONS` standard deviations of the difference below the highest gain at
    no more runtime.
    """
    line = front(members)
    on_front = {member.trial for member in line}
    found = []
    for member in members:
        if member.trial in on_front:
            continue
        rival = best_within(line, member.runtime_ms)
        assert rival is not None  # it dominates the member
        error_db = noise.error_db(member.trainings, rival.trainings)
        gap_db = rival.gain_db - member.gain_db
        if gap_db < DEVIATIONS * error_db:
            found.append((gap_db / error_db, member.trial, member))
    return tuple(member for *_, member in sorted(found, key=lambda f: f[:2]))
