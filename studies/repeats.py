"""Training the front again with other seeds: ``nas search --repeats N``.

A front picks the luckiest of many noisy trainings. So each of its members is trained again until it
has its number, and a member that falls makes room for another, which is then trained again too.
The unlucky are given their chance as well: those so little below the front that the noise of seeds
may have kept them from it.
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


class RepeatDesk:
    """Hands out the front's members and contenders, until each was trained ``times`` times.

    Several searches may do so on one study: each training is done by one of them.

    Args:
        study: Open, and at its goal.
        times: Trainings of each, the first one included.
        on_event: Told of every step.
    """

    def __init__(self, study: Study, times: int, on_event: OnEvent) -> None:
        self._study, self._times, self._on_event = study, times, on_event

    def ask(self) -> Candidate | None:
        """Return a candidate with a seed that it has not been trained with."""
        candidate = self._study.ask_repeat(partial(next_repeat, times=self._times))
        if candidate is not None:
            self._on_event(Started(candidate))
        return candidate

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        """Keep the gain; a training that broke is not tried again, and counts for nothing."""
        gain_db = outcome.gain_db if isinstance(outcome, Trained) else math.nan
        record = self._study.tell_repeat(candidate, gain_db if math.isfinite(gain_db) else None)
        self._on_event(Repeated(candidate, record))

    def at_rung(self, candidate: Candidate, partial_result: PartialResult) -> Outcome | None:
        """Go on: what is repeated is repeated whole."""
        return None


def next_repeat(
    records: Iterable[Record], taken: Collection[Repeat], *, times: int
) -> Repeat | None:
    """Return trial and number of the training that is wanted most, None when all are done.

    Members of the front come first, then contenders. Of the networks below the front no more are
    begun with than it has members: a study of much noise would train all of them again.

    Args:
        records: All trials.
        taken: Trial and number of each further training that is done or under way.
        times: Trainings of each, the first one included.
    """
    records = tuple(records)
    members = trained(records)
    line = front(members)
    begun = {trial for trial, _ in taken}
    below = begun - {member.trial for member in line}
    more = len(below) < len(line)
    near = contenders(members, seed_noise(records))
    nearest = [member for member in near if more or member.trial in begun]
    for member in (*line, *nearest):
        for number in range(1, times):
            if (member.trial, number) not in taken:
                return member.trial, number
    return None


def contenders(members: Sequence[Member], noise: Noise) -> tuple[Member, ...]:
    """Return the members below the front that may belong on it for all one knows, nearest first.

    Such a one is less than `DEVIATIONS` standard deviations of the difference below the highest
    gain at no more runtime.
    """
    line = front(members)
    on_front = {member.trial for member in line}
    found = []
    for member in members:
        if member.trial in on_front:
            continue
        rival = best_within(line, member.runtime_ms)
        assert rival is not None  # it keeps the member off the front
        error_db = noise.error_db(member.trainings, rival.trainings)
        gap_db = rival.gain_db - member.gain_db
        if gap_db < DEVIATIONS * error_db:
            found.append((gap_db / error_db, member.trial, member))
    return tuple(member for *_, member in sorted(found, key=lambda f: f[:2]))
