"""Timing several things fairly: turn by turn, with an anchor that shows whether to believe it.

Clocks, temperature and neighbours drift. So candidates take turns, a fixed anchor takes its turn
with them, and a block is repeated where the anchor drifted by more than 2 % within it, or where all
of it was slower than the anchor is known to be: then something else ran on the device.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median

Sampler = Callable[[], float]
"""Runs something once and returns its milliseconds."""

ANCHOR = "anchor"


@dataclass(frozen=True, slots=True)
class InterleavedTiming:
    """One block of interleaved samples."""

    samples: Mapping[str, tuple[float, ...]]
    """Name -> milliseconds, in order of time; ``anchor`` is among them."""
    drift: float
    """How far the anchor's median moved between the halves of the block, as a fraction."""
    blocks: int
    """How many blocks were run to get this one."""
    anchor_baseline_ms: float = math.inf
    """What the anchor took when nothing else ran, as far as is known."""

    @property
    def doubt(self) -> float:
        """How far the anchor moved, or lay above the usual, as a share of what is tolerated."""
        above = self.ms(ANCHOR) / self.anchor_baseline_ms - 1
        return max(self.drift / TOLERANCE, above / (BUSY - 1))

    @property
    def steady(self) -> bool:
        """Whether the anchor stood still enough, where it usually stands."""
        return self.doubt <= 1

    def ms(self, name: str) -> float:
        """Return the median of a candidate."""
        return median(self.samples[name])


TOLERANCE = 0.02
"""Drift of the anchor beyond which a block is repeated."""

BUSY = 1.1
"""Times the anchor's usual: beyond it, something else ran on the device."""


def interleave(
    samplers: Mapping[str, Sampler],
    *,
    rounds: int,
    blocks: int = 3,
    seconds: float = math.inf,
    anchor_baseline_ms: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> InterleavedTiming:
    """Sample in turns and return the first steady block, or the steadiest.

    Args:
        samplers: what to time; one is named ``anchor``.
        rounds: turns of each in a block.
        blocks: how many blocks to try at most.
        seconds: time after which no other block, and beyond four turns no other turn, is begun.
        anchor_baseline_ms: what the anchor takes when nothing else runs, as far as is known.
        clock: where the time comes from.
    """
    began = clock()
    best: InterleavedTiming | None = None
    for number in range(1, blocks + 1):
        samples: dict[str, list[float]] = {name: [] for name in samplers}
        for turn in range(rounds):
            if turn >= 4 and clock() - began > seconds:
                break
            for name, sample in samplers.items():
                samples[name].append(sample())
        kept = {name: tuple(values) for name, values in samples.items()}
        block = InterleavedTiming(kept, _drift(kept[ANCHOR]), number, anchor_baseline_ms)
        if best is None or block.doubt < best.doubt:
            best = block
        if best.steady or clock() - began > seconds:
            break
    assert best is not None
    return replace(best, blocks=number)


def _drift(values: tuple[float, ...]) -> float:
    half = len(values) // 2
    if not half:
        return 0.0
    return abs(median(values[:half]) - median(values[-half:])) / median(values)
