"""A search of limited time: what starts, what is finished, and what the same command does next."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from quick_search import Quick, settings

from nas.common.text import Period, clock
from studies.events import Finished, Started
from studies.runners.inline import InlineRunner
from studies.search import run_study

NOW = time.monotonic()


@dataclass
class Clock:
    """The clock that a search reads."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Slow(Quick):
    """Training takes 30 s on the clock, 10 after each rung."""

    clock: Clock = None

    def __call__(self, candidate):
        evaluation = super().__call__(candidate)
        while True:
            try:
                passed = next(evaluation)
            except StopIteration as end:
                return end.value
            self.clock.now += 15
            yield passed


@pytest.fixture
def clocked(monkeypatch):
    now = Clock()
    monkeypatch.setattr(time, "monotonic", now)
    return now


@pytest.mark.parametrize("concurrency", [1, 2])
def test_when_time_is_up_nothing_starts_and_what_is_under_way_is_finished(
    tmp_path, own_database, clocked, concurrency
):
    starts, ends = [], []

    def on_event(event):
        if isinstance(event, Started):
            starts.append(clocked.now - NOW)
        elif isinstance(event, Finished):
            ends.append(clocked.now - NOW)

    asked = settings(tmp_path, trials=None)
    search = Slow(clock=clocked)
    runner = InlineRunner(concurrency)
    first = run_study(asked, search, runner, period=Period(100, NOW), on_event=on_event)
    assert max(starts) < 100 <= max(ends), "the last one ends after the time"
    assert len(starts) == len(first.records) and first.counts.running == 0
    assert first.counts.trained >= 3
    assert first.ended == "The time of 1:40 is up; the same command searches as long again."

    begin = clocked.now
    second = run_study(asked, search, runner, period=Period(100, begin))
    assert clocked.now - begin >= 100
    assert second.counts.trained > first.counts.trained


def test_a_search_ends_at_whichever_limit_comes_first(tmp_path, own_database, clocked):
    search = Slow(clock=clocked)
    for trials, seconds, trained, ended in (
        (2, 1000, 2, False),
        (9, 50, 4, True),  # two of 30 s: the second one starts before the end
        (5, None, 5, False),
    ):
        asked = settings(tmp_path, trials=trials)
        summary = run_study(asked, search, period=Period(seconds, clocked.now))
        assert summary.counts.trained == trained
        assert (summary.ended is not None) == ended


def test_a_search_that_is_started_again_has_the_rest_of_its_time(tmp_path, own_database, clocked):
    summary = run_study(
        settings(tmp_path, trials=None), Slow(clock=clocked), period=Period(100, NOW - 80)
    )
    assert summary.counts.trained == 1
    late = run_study(
        settings(tmp_path, trials=None), Slow(clock=clocked), period=Period(100, NOW - 100)
    )
    assert late.records == summary.records and "is up" in late.ended


@pytest.mark.parametrize("wrong", ["10", "10x", "0m", "-5m", "1e999h", "ten minutes", ""])
def test_a_time_that_is_none_is_refused(nas, wrong):
    code, _, err = nas("search", f"--time={wrong}", "--dry-run")
    assert code == 2 and len(err.splitlines()) == 1
    assert f"--time {wrong!r} is not a time above zero with a unit of s, m or h" in err


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (9.4, "0:09"), (59.6, "1:00"), (221, "3:41"), (3723, "1:02:03"), (-3, "0:00")],
)
def test_times_are_shown_in_minutes_and_seconds(seconds, shown):
    assert clock(seconds) == shown
