"""Seed noise: how much gains vary when candidates are trained with other seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev

from studies.core.outcome import Trained
from studies.core.record import Record

SHIPPED_DB: Mapping[int, float] = {150: 0.005, 600: 0.008, 1200: 0.013}
"""Standard deviation over seeds of the gain of a proxy run in dB, by its steps.

Each is pooled over three seeds of each network: for 150 and 600 steps the seven networks of
``nas proxy-check`` on the sample set, for 1200 steps those of `docs/colour.md` on wallpapers, which
gain three times as much. See `docs/proxy.md`.
"""

DEVIATIONS = 2.0
"""Gains differ if they are this many standard deviations of a difference apart; of equal networks
one pair in twenty is."""

_MOST_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Noise:
    """The seed noise of a study's gains.

    Attributes:
        sd_db: Standard deviation over seeds of the gain of one training, in dB.
        repeats: Further trainings from which it is measured; 0 for the shipped value.
    """

    sd_db: float
    repeats: int = 0

    @property
    def digits(self) -> int:
        """Significant decimals of a gain in dB: to the first digit of the noise."""
        if self.sd_db <= 0.0:
            return _MOST_DIGITS
        return min(max(-math.floor(math.log10(self.sd_db)), 1), _MOST_DIGITS)

    def error_db(self, trainings: int, others: int) -> float:
        """Return the standard deviation of the difference between two mean gains, in dB.

        Args:
            trainings: Number of trainings of the first.
            others: Number of trainings of the second.
        """
        return self.sd_db * math.sqrt(1 / trainings + 1 / others)

    def __str__(self) -> str:
        plural = "s" if self.repeats > 1 else ""
        origin = f"from {self.repeats} repeat{plural}" if self.repeats else "shipped"
        return f"seed noise {self.sd_db:.2g} dB, {origin}"


def seed_noise(records: Iterable[Record]) -> Noise:
    """Return the seed noise of a study from its repeats, else the shipped one for its steps."""
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
    """Return `SHIPPED_DB` of the longest measured training that is not longer than ``steps``."""
    return SHIPPED_DB[max((n for n in SHIPPED_DB if n <= steps), default=min(SHIPPED_DB))]


def pooled_sd_db(groups: Iterable[Sequence[float]]) -> float | None:
    """Return the pooled standard deviation in dB of gains, one group a candidate.

    None if all were trained once.
    """
    squares, freedom = 0.0, 0
    for gains_db in groups:
        if len(gains_db) > 1:
            squares += (len(gains_db) - 1) * stdev(gains_db) ** 2
            freedom += len(gains_db) - 1
    return math.sqrt(squares / freedom) if freedom else None
