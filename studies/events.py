"""Events of a search, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from nas.common.text import Period
from studies.core.candidate import Candidate
from studies.core.outcome import Rung
from studies.core.record import Record


@dataclass(frozen=True, slots=True)
class Opened:
    """The study is open.

    Attributes:
        study: Its name.
        goal: Candidates to train in all; None for no limit.
        period: In which candidates may start.
        at_once: Candidates at once.
        records: Trials of earlier runs.
    """

    study: str
    goal: int | None
    period: Period
    at_once: int
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Noted:
    """Notes on the search, in sentences."""

    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """A candidate is being evaluated."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Passed:
    """A candidate has reached a rung of its training."""

    candidate: Candidate
    rung: Rung


@dataclass(frozen=True, slots=True)
class Finished:
    """A trial has ended; ``done`` candidates are trained."""

    record: Record
    done: int


@dataclass(frozen=True, slots=True)
class Repeated:
    """A candidate was trained again; ``record`` has all its gains."""

    candidate: Candidate
    record: Record


Event: TypeAlias = Opened | Noted | Started | Passed | Finished | Repeated
OnEvent: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Do nothing with an event."""
