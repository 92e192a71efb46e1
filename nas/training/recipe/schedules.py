"""Learning-rate schedules: pure functions of the share of a stage that is done."""

from __future__ import annotations

import math
from collections.abc import Sequence

FIRST = 0.04
"""Share of the peak at which a warm-up begins."""


def warmed(progress: float, warmup: float) -> float | None:
    """Share of the peak while the rate rises in a line, None once it has risen."""
    if progress >= warmup:
        return None
    return (progress / warmup) * (1 - FIRST) + FIRST


def cosine(progress: float, end: float = 0.0) -> float:
    """Half a cosine from 1 down to ``end``."""
    return end + (1 - end) * (0.5 + 0.5 * math.cos(math.pi * progress))


def warmed_cosine(progress: float, warmup: float, end: float = 0.0) -> float:
    """A rise in a line during the share ``warmup``, then half a cosine from 1 down to ``end``."""
    rising = warmed(progress, warmup)
    return cosine((progress - warmup) / (1 - warmup), end) if rising is None else rising


def linear(progress: float, end: float = 0.0, hold: float = 0.0) -> float:
    """1 for the share ``hold``, then a line down to ``end``."""
    return 1.0 if progress <= hold else 1 - (1 - end) * (progress - hold) / (1 - hold)


def stepped(progress: float, at: Sequence[float], factor: float) -> float:
    """Multiplied by ``factor`` at each of these shares of the stage."""
    return factor ** sum(progress >= share for share in at)


def restarted(progress: float, cycles: int, factor: float, end: float = 0.0) -> float:
    """As many cosines as there are cycles, the peak of each ``factor`` times that before."""
    cycle = min(int(progress * cycles), cycles - 1)
    return factor**cycle * cosine(progress * cycles - cycle, end)


def ramp(progress: float, start: float, end: float) -> float:
    """A line from ``start`` to ``end``."""
    return start + (end - start) * progress
