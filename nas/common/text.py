"""Text for messages and tables: escaping, durations, the end of a search."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from typing import TypeAlias

_MARKS = re.compile(r"[\\`*_\[\]|~]")
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(10), *range(11, 32), *range(127, 160))}


def plain(text: str) -> str:
    """Return words for a sentence or for a cell of a table, on one line."""
    return _MARKS.sub(r"\\\g<0>", escape(_on_one_line(text), quote=False))


def printable(text: str) -> str:
    """Return a text whose control characters, which might move the cursor, are escaped."""
    return text.translate(_CONTROLS)


def code(text: str) -> str:
    """Return words as code, on one line; readers differ on backticks within, so they go."""
    return "`" + (_on_one_line(text).replace("`", "'") or "unnamed") + "`"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


Progress: TypeAlias = Callable[[int, int, str], None]
"""Called as ``progress(done, total, note)``; ``note`` is a few words, such as the best result."""


def silent(done: int, total: int, note: str) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class Period:
    """The time in which a search may start candidates; those under way at its end are finished.

    Attributes:
        seconds: Its length; None for no end.
        began: Its beginning on the monotonic clock.
    """

    seconds: float | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds since its beginning."""
        return time.monotonic() - self.began

    @property
    def is_over(self) -> bool:
        """Whether its end has passed."""
        return self.seconds is not None and self.elapsed_s >= self.seconds


@dataclass(frozen=True, slots=True)
class Expected:
    """What a search comes to.

    Attributes:
        trainings: How many candidates are trained.
        seconds_each: What one takes.
        seconds: What all take, several at once.
    """

    trainings: int
    seconds_each: float
    seconds: float

    def __str__(self) -> str:
        each, whole = duration(self.seconds_each), clock(self.seconds)
        return f"{self.trainings} candidates of {each}, {whole} in all"


def expected(
    trainings: int | None, seconds: float | None, seconds_each: float, at_once: int
) -> Expected | None:
    """Return what a search comes to; None where it is without a limit.

    Args:
        trainings: How many are wanted; None for any number.
        seconds: In which they may start; None for any time.
        seconds_each: What one takes.
        at_once: How many run beside each other.
    """
    by_number = math.inf if trainings is None else math.ceil(trainings / at_once)
    by_time = math.inf if seconds is None else math.ceil(seconds / max(seconds_each, 1e-3))
    rounds = min(by_number, by_time)
    if rounds == math.inf:
        return None
    most = int(rounds) * at_once
    number = most if trainings is None else min(most, trainings)
    return Expected(number, seconds_each, rounds * seconds_each)


def until(trainings: int | None, seconds: float | None) -> str:
    """Say when a search ends: ``16 candidates``, ``7:00``, or ``16 candidates or 7:00``."""
    limits = [] if trainings is None else [f"{trainings} candidates"]
    limits += [] if seconds is None else [clock(seconds)]
    return " or ".join(limits) or "no limit"


def duration(seconds: float) -> str:
    """Return a time as ``42 s``, ``7.1 min`` or ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def clock(seconds: float) -> str:
    """Return a time as clocks show it: ``0:09``, ``3:41``, ``1:02:03``."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
