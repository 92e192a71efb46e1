"""The live view of a search: progress, pace, time left, and the front as it grows."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nas.cli.review import front_table
from nas.cli.terminal import err
from nas.measure.colour import colour_cell, db_cell
from studies.candidate import Candidate
from studies.events import Event, Finished, Opened, Passed, Started
from studies.front import front, trained, with_probabilities
from studies.noise import seed_noise
from studies.outcome import Broken, Rejected, Rung, Trained
from studies.record import Record, counts

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
        self._goal = 0
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
            self._study, self._goal = event.study, event.goal
            self._records = {record.trial: record for record in event.records}
            self._done_before = counts(event.records).done
            self._began = time.monotonic()
        elif isinstance(event, Started):
            self._running[event.candidate.trial] = (event.candidate, None)
        elif isinstance(event, Passed):
            self._running[event.candidate.trial] = (event.candidate, event.rung)
        elif isinstance(event, Finished):
            self._running.pop(event.record.trial, None)
            self._records[event.record.trial] = event.record
            self._say(f"[{event.done}/{self._goal}] {_told(event.record, self._digits())}")
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
        tally = counts(records)
        minutes = (time.monotonic() - self._began) / 60
        fresh = tally.done - self._done_before
        pace = fresh / minutes if fresh else 0.0
        left = f"{(self._goal - tally.done) / pace:.0f} min left" if pace else "…"
        line = Table.grid(padding=(0, 1))
        line.add_row(
            Text(self._study, style="bold"),
            ProgressBar(total=max(self._goal, 1), completed=tally.done, width=24),
            f"{tally.done}/{self._goal} trained",
            f"{pace:.1f} a minute",
            left,
            Text(f"{tally.rejected} rejected, {tally.broken} broken", style="dim"),
        )
        return line


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
