"""Training the front again with other seeds: ``nas search --repeats N``.

A front picks the luckiest of many noisy trainings. So each of its members is trained again until it
has its number, and a member that falls makes room for another, which is then trained again too.
"""

from __future__ import annotations

import math
from dataclasses import replace

from studies.candidate import Candidate
from studies.events import OnEvent, Repeated, Started
from studies.front import front, trained
from studies.outcome import Outcome, Trained, Underway
from studies.study import Study


class RepeatDesk:
    """Hands out the front's members, until each has been trained ``times`` times.

    Args:
        study: Open, and at its goal.
        times: Trainings of each member, the first one included.
        on_event: Told of every step.
    """

    def __init__(self, study: Study, times: int, on_event: OnEvent) -> None:
        self._study, self._times, self._on_event = study, times, on_event
        self._live: set[tuple[int, int]] = set()

    def ask(self) -> Candidate | None:
        """Return a member of the front with a seed that it has not been trained with."""
        records = {record.trial: record for record in self._study.records}
        for member in front(trained(records.values())):
            for number in range(1, self._times):
                wanted = (member.trial, number)
                if wanted not in self._live and wanted not in self._study.repeated:
                    self._live.add(wanted)
                    candidate = replace(records[member.trial].candidate, repeat=number)
                    self._on_event(Started(candidate))
                    return candidate
        return None

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        """Keep the gain; a training that broke is not tried again, and counts for nothing."""
        gain_db = outcome.gain_db if isinstance(outcome, Trained) else math.nan
        record = self._study.tell_repeat(candidate, gain_db if math.isfinite(gain_db) else None)
        self._live.discard((candidate.trial, candidate.repeat))
        self._on_event(Repeated(candidate, record))

    def at_rung(self, candidate: Candidate, underway: Underway) -> Outcome | None:
        """Go on: what is repeated is repeated whole."""
        return None
