"""The Pareto front of a study and its hypervolume, as pure functions.

A front is the set of trained candidates that no other one dominates in PSNR-Y gain over Lanczos and
runtime. Candidates without a gain and those that tint beyond the study's limit are not eligible;
all other limits are gates before the training.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, stdev
from typing import Any

from nas.measure.colour import colour_cell, colour_gain_db, db_cell
from studies.core.budget import SPAN, Budget
from studies.core.candidate import network_title, title_of
from studies.core.noise import Noise
from studies.core.outcome import Trained
from studies.core.record import Record

_DRAWS = 4000
"""Samples: probabilities are accurate to 0.02."""


@dataclass(frozen=True, slots=True)
class Member:
    """One trained candidate, as tables and JSON show it.

    Attributes:
        trial: Number of its trial.
        name: Of a published network, else the label of the architecture.
        architecture: As JSON.
        gain_db: PSNR-Y over Lanczos, mean over QPs and trainings.
        runtime_ms: For one 540x960 image.
        runtime_kind: ``measured`` or ``predicted``.
        macs_g: Multiply-accumulates in units of 1e9.
        params: Parameters of the deploy form.
        memory_mb: Peak memory of an eager pass in units of 1e6 bytes; None in older studies.
        trainings: Number of trainings, each with another seed.
        gain_sd_db: Standard deviation of the gain over them; None for a single one.
        front_probability: Probability to be on the front given the seed noise; None if it is not
            eligible or not computed, see `with_probabilities`.
        gain_cb_db: PSNR of Cb over Lanczos in its first training, mean over QPs; None in older
            studies.
        gain_cr_db: The same of Cr.
        tints: Whether the lower of both is below the study's limit.
    """

    trial: int
    name: str
    architecture: dict[str, Any]
    gain_db: float
    runtime_ms: float
    runtime_kind: str
    macs_g: float
    params: int
    memory_mb: float | None = None
    trainings: int = 1
    gain_sd_db: float | None = None
    front_probability: float | None = None
    gain_cb_db: float | None = None
    gain_cr_db: float | None = None
    tints: bool = False

    @property
    def is_eligible(self) -> bool:
        """Whether it may be on a front: it is above Lanczos, and does not tint."""
        return self.gain_db > 0.0 and not self.tints

    @property
    def colour_gain_db(self) -> float | None:
        """The lower gain of Cb and Cr."""
        return colour_gain_db(self.gain_cb_db, self.gain_cr_db)

    @property
    def network(self) -> str:
        """The name as tables show it; see `studies.core.candidate.network_title`."""
        return network_title(self.name)

    @property
    def title(self) -> str:
        """Trial and network in a sentence, such as ``trial 9 (PixelArtAI layout)``."""
        return title_of(self.trial, self.name)

    def colour_shown(self, digits: int) -> str:
        """The lower gain of Cb and Cr as a table cell with this many decimals."""
        return colour_cell(self.gain_cb_db, self.gain_cr_db, self.tints, digits)

    def to_dict(self) -> dict[str, Any]:
        """Return the member as JSON."""
        return asdict(self)


def trained(records: Iterable[Record]) -> tuple[Member, ...]:
    """Return all trained candidates in the order of trials, without duplicates."""
    members = []
    for record in records:
        outcome = record.outcome
        if isinstance(outcome, Trained) and record.duplicate_of is None:
            gains = (outcome.gain_db, *record.repeats)
            members.append(
                Member(
                    record.trial,
                    record.candidate.name,
                    record.candidate.architecture.to_dict(),
                    fmean(gains),
                    outcome.runtime.ms,
                    outcome.runtime.kind,
                    outcome.size.macs / 1e9,
                    outcome.size.params,
                    outcome.size.memory_mb,
                    len(gains),
                    stdev(gains) if len(gains) > 1 else None,
                    gain_cb_db=outcome.gain_cb_db,
                    gain_cr_db=outcome.gain_cr_db,
                    tints=record.tints,
                )
            )
    return tuple(members)


def eligible(members: Iterable[Member]) -> tuple[Member, ...]:
    """Return the members that may be on a front."""
    return tuple(member for member in members if member.is_eligible)


def left_out_note(members: Iterable[Member], noise: Noise, most: int = 6) -> str:
    """Return a sentence on members that are not eligible, and why; empty without any."""
    members = tuple(members)
    below = [(m.trial, m.gain_db) for m in members if m.gain_db <= 0.0]
    tinted = [(m.trial, m.colour_gain_db) for m in members if m.tints and m.gain_db > 0.0]
    reasons = ((below, "no better than Lanczos"), (tinted, "Cb or Cr too far below Lanczos"))
    notes = []
    for found, reason in reasons:
        shown = [
            f"trial {trial} ({db_cell(gain_db, noise.digits)} dB)"
            for trial, gain_db in found[:most]
        ]
        more = f" and {len(found) - most} more" if len(found) > most else ""
        if found:
            notes.append(f"{len(found)} left out, {reason}: {', '.join(shown)}{more}")
    return "; ".join(notes)


def with_probabilities(members: Sequence[Member], noise: Noise) -> tuple[Member, ...]:
    """Return the members with their probabilities to be on the front; slow, only for display.

    Args:
        members: All trained candidates; those that are not eligible are returned unchanged.
        noise: The study's seed noise.
    """
    rivals = eligible(members)
    if not rivals:
        return tuple(members)
    found = front_probabilities(
        [member.runtime_ms for member in rivals],
        [member.gain_db for member in rivals],
        [member.trainings for member in rivals],
        noise.sd_db,
    )
    of = {member.trial: probability for member, probability in zip(rivals, found, strict=True)}
    return tuple(replace(member, front_probability=of.get(member.trial)) for member in members)


def front_probabilities(
    runtimes_ms: Sequence[float],
    gains_db: Sequence[float],
    trainings: Sequence[int],
    sd_db: float,
) -> list[float]:
    """Return the probability of each candidate to be on the front of true mean gains.

    By sampling with a fixed seed: a candidate's true mean is normal around the measured one, with
    the standard deviation over the root of its number of trainings. Runtimes are taken as exact.

    Args:
        runtimes_ms: Runtime of each candidate.
        gains_db: Mean gain over the trainings of each.
        trainings: Number of trainings of each.
        sd_db: Standard deviation of a gain over seeds.
    """
    import numpy as np  # slow to import, and most commands do not need it

    means, errors = np.array(gains_db), sd_db / np.sqrt(trainings)
    drawn = means + errors * np.random.default_rng(0).standard_normal((_DRAWS, len(means)))
    order = np.argsort(runtimes_ms, kind="stable")
    times, gains = np.array(runtimes_ms)[order], drawn[:, order]
    highest = np.maximum.accumulate(gains, axis=1)
    of_faster = np.pad(highest, ((0, 0), (1, 0)), constant_values=-np.inf)
    # None that is faster is as good, and none that is as fast is better.
    above_faster = gains > of_faster[:, np.searchsorted(times, times, "left")]
    on_front = above_faster & (gains >= highest[:, np.searchsorted(times, times, "right") - 1])
    probabilities = np.empty(len(means))
    probabilities[order] = on_front.mean(axis=0)
    return [float(probability) for probability in probabilities]


def front(members: Iterable[Member]) -> tuple[Member, ...]:
    """Return the eligible members that no other one dominates, fastest first.

    Of members with equal gain and runtime the first trial is kept.
    """
    best = -math.inf
    line = []
    for member in sorted(eligible(members), key=lambda m: (m.runtime_ms, -m.gain_db, m.trial)):
        if member.gain_db > best:
            line.append(member)
            best = member.gain_db
    return tuple(line)


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference point of hypervolumes: 0 dB at a runtime.

    Attributes:
        runtime_ms: The budget, else the runtime of the slowest candidate.
        least_ms: Faster candidates count as if they took this long.
    """

    runtime_ms: float
    least_ms: float

    def octaves(self, runtime_ms: float) -> float:
        """Halvings from the reference to a runtime; 0 for a slower one."""
        counted = max(runtime_ms, self.least_ms)
        return max(math.log2(self.runtime_ms / counted), 0.0)


def reference_of(members: Iterable[Member], budget: Budget) -> Reference:
    """Return the reference point: at the budget, else at the slowest eligible member."""
    high = budget.runtime_ms
    if high is None:
        high = max((member.runtime_ms for member in eligible(members)), default=1.0)
    return Reference(high, budget.floor_ms or high / SPAN)


def hypervolume(members: Iterable[Member], reference: Reference) -> float:
    """Return the area that the members' front covers from the reference, in dB x octaves.

    Runtime counts by its binary logarithm: the unit is one decibel for one halving of the runtime.
    """
    area, floor = 0.0, 0.0
    for member in front(members):
        if width := reference.octaves(member.runtime_ms):
            area += width * (member.gain_db - floor)
            floor = member.gain_db
    return area


def contributions(members: Iterable[Member], reference: Reference) -> dict[int, float]:
    """Return by trial the hypervolume that the front would lose without this member."""
    line = front(members)
    whole = hypervolume(line, reference)
    return {
        member.trial: max(whole - hypervolume([m for m in line if m != member], reference), 0.0)
        for member in line
    }


def hypervolume_history(records: Iterable[Record], reference: Reference) -> list[float]:
    """Return the hypervolume after each trained candidate, in the order in which they ended."""
    ended = sorted(records, key=lambda r: (r.finished or math.inf, r.trial))
    so_far: tuple[Member, ...] = ()
    history = []
    for member in trained(ended):
        so_far = front([*so_far, member])
        history.append(hypervolume(so_far, reference))
    return history


def best_within(members: Iterable[Member], runtime_ms: float) -> Member | None:
    """Return the eligible member with the highest gain that is not slower, or None."""
    fast_enough = [member for member in eligible(members) if member.runtime_ms <= runtime_ms]
    return max(fast_enough, key=lambda m: (m.gain_db, -m.runtime_ms), default=None)


def knee(members: Sequence[Member]) -> Member | None:
    """Return the member of the front farthest above the line between its two ends.

    Runtime counts by its logarithm, and both axes are scaled to their range on the front. If no
    member is above the line, the one with the highest gain is returned; None for an empty front.
    """
    line = front(members)
    if len(line) < 3:
        return line[-1] if line else None
    first, last = line[0], line[-1]
    span_ms = math.log(last.runtime_ms / first.runtime_ms)
    span_db = last.gain_db - first.gain_db

    def height(member: Member) -> float:
        along = math.log(member.runtime_ms / first.runtime_ms) / span_ms
        return (member.gain_db - first.gain_db) / span_db - along

    inner = max(line[1:-1], key=height)
    return inner if height(inner) > 0 else last
