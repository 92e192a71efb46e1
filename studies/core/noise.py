"""Seed noise: how much gains vary when candidates are trained with other seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev

from studies.core.outcome import Trained
from studies.core.record import Record

SHIPPED_DB: Mapping[int, float] = {150: 0.005, 600: 0.008, 1200: 0.013}
"""Standard deviation over seeds of the gain of a proxy run of so many steps, in dB.

Each pools three seeds a network: 150 and 600 steps are the seven networks of ``nas proxy-check`` on
the sample set, 1200 steps the networks of `docs/colour.md` on wallpapers, which gain three times as
much. `docs/proxy.md` has the figures.
"""

DEVIATIONS = 2.0
"""Gains differ if they lie so many standard deviations of a difference apart: luck alone takes one
pair of equals in twenty that far."""

_MOST_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Noise:
    """The seed noise of a study's gains.

    Attributes:
        sd_db: Standard deviation over seeds of the gain of one training, in dB.
        repeats: Further trainings that it was measured by; 0 for the shipped value.
    """

    sd_db: float
    repeats: int = 0

    @property
    def digits(self) -> int:
        """Decimals of a gain in dB that are worth showing: to the first digit of the noise."""
        if self.sd_db <= 0.0:
            return _MOST_DIGITS
        return min(max(-math.floor(math.log10(self.sd_db)), 1), _MOST_DIGITS)

    def error_db(self, trainings: int, others: int) -> float:
        """Return the standard deviation of the difference between two mean gains, in dB.

        Args:
            trainings: How often the one was trained.
            others: How often the other was.
        """
        return self.sd_db * math.sqrt(1 / trainings + 1 / others)

    def __str__(self) -> str:
        plural = "s" if self.repeats > 1 else ""
        origin = f"from {self.repeats} repeat{plural}" if self.repeats else "shipped"
        return f"seed noise {self.sd_db:.2g} dB, {origin}"


def seed_noise(records: Iterable[Record]) -> Noise:
    """Return the seed noise of a study: pooled over its repeats, else what is shipped.

    Args:
        records: All trials. Without repeats the length of their trainings decides: the shipped
            value is that of the longest measured training that is not longer.
    """
    done = [
        (record.outcome, record.repeats)
        for record in records
        if isinstance(record.outcome, Trained) and record.duplicate_of is None
    ]
    repeats = sum(len(more) for _, more in done)
    pooled = pooled_sd_db((first.gain_db, *more) for first, more in done)
    if pooled is not None:
        return Noise(pooled, repeats)
    return Noise(shipped_db(max((outcome.steps for outcome, _ in done), default=0)))


def shipped_db(steps: int) -> float:
    """Return the shipped noise of a proxy run of so many steps, in dB; see `SHIPPED_DB`."""
    return SHIPPED_DB[max((n for n in SHIPPED_DB if n <= steps), default=min(SHIPPED_DB))]


def pooled_sd_db(groups: Iterable[Sequence[float]]) -> float | None:
    """Return the standard deviation of a gain over seeds in dB, pooled over candidates.

    Args:
        groups: Gains of each candidate, one a training. None is returned where all were trained
            once.
    """
    squares, freedom = 0.0, 0
    for gains_db in groups:
        if len(gains_db) > 1:
            squares += (len(gains_db) - 1) * stdev(gains_db) ** 2
            freedom += len(gains_db) - 1
    return math.sqrt(squares / freedom) if freedom else None
