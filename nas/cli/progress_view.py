"""The live view of a search: progress, pace, time left, and the front as it grows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median
from types import TracebackType

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nas.cli.commands.studies import front_table
from nas.cli.terminal import err, say
from nas.common.text import Period, clock, expected, until
from nas.measure.colour import colour_cell, db_cell
from studies.core.candidate import Candidate
from studies.core.noise import seed_noise
from studies.core.outcome import Broken, Rejected, Rung, Trained
from studies.core.record import Record, count
from studies.events import Event, Finished, Noted, Opened, Passed, Started
from studies.results.front import front, trained, with_probabilities

_MOST_ROWS = 12


class SearchView:
    """Shows a search on stderr: a live table on a terminal, a line an outcome elsewhere.

    A context manager around the search, which reports to ``on_progress`` what it prepares before
    the first candidate, and to ``on_event`` what comes then.
    """

    def __init__(self) -> None:
        self._preparing = "preparing"
        self._terminal = err.is_terminal
        self._study = ""
        self._goal: int | None = None
        self._period = Period()
        self._records: dict[int, Record] = {}
        self._running: dict[int, tuple[Candidate, Rung | None]] = {}
        self._began = time.monotonic()
        self._done_before = 0
        self._live = Live(
            get_renderable=self._render,
            console=err,
            refresh_per_second=2,
            transient=True,
            auto_refresh=True,
        )

    def __enter__(self) -> SearchView:
        if self._terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._terminal:
            self._live.stop()

    def on_progress(self, done: int, total: int, note: str) -> None:
        """Take note of how far the pictures and teacher outputs are."""
        self._preparing = f"preparing {note} {done}/{total}"

    def on_event(self, event: Event) -> None:
        """Take note of one event of the search."""
        if isinstance(event, Opened):
            self._study, self._goal, self._period = event.study, event.goal, event.period
            self._records = {record.trial: record for record in event.records}
            self._done_before = count(event.records).done
            self._began = time.monotonic()
            for line in _opening(event):
                say(line)
        elif isinstance(event, Noted):
            for note in event.notes:
                say(note)
        elif isinstance(event, Started):
            self._running[event.candidate.trial] = (event.candidate, None)
        elif isinstance(event, Passed):
            self._running[event.candidate.trial] = (event.candidate, event.rung)
        elif isinstance(event, Finished):
            self._running.pop(event.record.trial, None)
            self._records[event.record.trial] = event.record
            place = self._place(event.done)
            self._say(f"[{place}] {_told(event.record, self._digits())}")
        else:
            self._running.pop(event.candidate.trial, None)
            self._records[event.record.trial] = event.record
            digits = self._digits()
            gains = ", ".join(db_cell(gain, digits) for gain in event.record.repeats)
            told = f"{event.candidate.title}: further gains {gains} dB"
            self._say(f"[repeat {event.candidate.repeat}] {told}")

    def _digits(self) -> int:
        return seed_noise(self._records.values()).digits

    def _say(self, line: str) -> None:
        if not self._terminal:
            err.print(line, soft_wrap=True, markup=False)

    def _place(self, done: int) -> str:
        """How far the search is: ``12/16``, ``3:41 of 7:00`` or both."""
        elapsed, whole = self._period.elapsed_s, self._period.seconds
        parts = [] if self._goal is None else [f"{done}/{self._goal}"]
        parts += [] if whole is None else [f"{clock(min(elapsed, whole))} of {clock(whole)}"]
        return ", ".join(parts) or str(done)

    def _render(self) -> RenderableType:
        if not self._study:
            return Text(f"{self._preparing} …")
        records = list(self._records.values())
        noise = seed_noise(records)
        members = with_probabilities(trained(records), noise)
        parts: list[RenderableType] = [self._headline(records)]
        if front(members):
            parts.append(front_table(members, "front so far", noise, _MOST_ROWS))
        for candidate, rung in self._running.values():
            parts.append(Text(f"  training {_at(candidate, rung, noise.digits)}", style="dim"))
        return Group(*parts)

    def _headline(self, records: list[Record]) -> RenderableType:
        tally = count(records)
        goal, elapsed, whole = self._goal, self._period.elapsed_s, self._period.seconds
        fresh = tally.done - self._done_before
        pace = fresh / max(time.monotonic() - self._began, 1e-3)  # a second
        share = max(tally.done / goal if goal else 0.0, elapsed / whole if whole else 0.0)
        left = [whole - elapsed] if whole else []
        left += [(goal - tally.done) / pace] if goal and pace else []
        place = self._place(tally.done)
        if self._period.is_over:
            place += ", finishing"
        elif goal and left:
            place += f", about {clock(min(left))} left"
        first = Table.grid(padding=(0, 1))
        first.add_row(
            Text(self._study, style="bold", overflow="ellipsis", no_wrap=True),
            ProgressBar(total=1.0, completed=min(share, 1.0), width=16),
            Text(place, no_wrap=True),
        )
        second = (
            f"  {tally.trained} trained, {60 * pace:.1f} a minute; "
            f"{tally.rejected} rejected, {tally.broken} broken"
        )
        return Group(first, Text(second, style="dim"))


def _opening(event: Opened) -> Iterator[str]:
    """What a search is about to do: how many trainings fit is known of those before."""
    done, seconds = count(event.records).done, event.period.seconds
    goal = None if event.goal is None else max(event.goal - done, 0)
    left_s = None if seconds is None else max(seconds - event.period.elapsed_s, 0.0)
    yield f"{event.study}: {until(goal, left_s)}, {event.at_once} at once"
    spent = [r.outcome.seconds for r in event.records if isinstance(r.outcome, Trained)]
    if spent and (found := expected(goal, left_s, median(spent), event.at_once)):
        yield f"expected {found}"


def _at(candidate: Candidate, rung: Rung | None, digits: int) -> str:
    reached = f"  {db_cell(rung.gain_db, digits)} dB at step {rung.step}" if rung else ""
    return candidate.title + reached


def _told(record: Record, digits: int) -> str:
    """One line on what became of a candidate."""
    name, outcome = record.candidate.title, record.outcome
    if isinstance(outcome, Trained):
        runtime, gain = outcome.runtime, db_cell(outcome.gain_db, digits)
        told = f"{name}: {gain} dB at {runtime.ms:.3f} ms {runtime.kind}"
        if outcome.colour_gain_db is None:
            return told
        colour = colour_cell(outcome.gain_cb_db, outcome.gain_cr_db, record.tints, digits)
        return f"{told}, colour {colour}"
    if isinstance(outcome, Rejected | Broken):
        return f"{name}: {outcome.reason}"
    return name
