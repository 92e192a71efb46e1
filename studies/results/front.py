"""The front of a study and how much it covers. Pure functions over records.

A front is the set of trained candidates that no other one beats in both PSNR-Y gain over Lanczos
and runtime. Left out are those at or below Lanczos, which are no result, and those that tint, by
the study's limit; all other limits are gates before the training.
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
"""Probabilities are right within two hundredths."""


@dataclass(frozen=True, slots=True)
class Member:
    """One trained candidate, as tables and JSON show it.

    Attributes:
        trial: The number of its trial.
        name: Of a published network, else the label of the architecture.
        architecture: As JSON.
        gain_db: PSNR-Y over Lanczos, mean over QPs, and over trainings where there are several.
        runtime_ms: For one 540x960 picture.
        runtime_kind: ``measured`` or ``predicted``.
        macs_g: Multiply-accumulates in units of 1e9.
        params: Parameters of the deploy form.
        memory_mb: Peak memory of an eager pass in units of 1e6 bytes; None in older studies.
        trainings: How often it was trained, each time with another seed.
        gain_sd_db: Standard deviation of the gain over these; None for a single one.
        front_probability: How probable it is that it is on the front, by the noise of seeds; None
            where no front may have it, and where it was not asked for: see `with_probabilities`.
        gain_cb_db: PSNR of Cb over Lanczos in its first training, mean over QPs; None in studies
            from before it was measured.
        gain_cr_db: The same of Cr.
        tints: Whether the lower of both is below the study's limit, so that no front has it.
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
        """Whether a front may have it: it is above Lanczos, and does not tint."""
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
        """The lower gain of Cb and Cr as a cell of a table, with so many decimals."""
        return colour_cell(self.gain_cb_db, self.gain_cr_db, self.tints, digits)

    def to_dict(self) -> dict[str, Any]:
        """Return the member as JSON."""
        return asdict(self)


def trained(records: Iterable[Record]) -> tuple[Member, ...]:
    """Return everything trained to the end, duplicates left out, in the order of the trials.

    Those that no front may have are among them: see `eligible`.
    """
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
    """Return a sentence on the members that no front may have, and why; empty without any."""
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
    """Return the members with how probable each is on their front; for those who show it.

    Args:
        members: All trained candidates. Those that no front may have come back as they are.
        noise: The study's.
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
    """Return how probable it is that each candidate is on the front of true mean gains.

    By drawing: every candidate's mean is normal about the one found, with the pooled standard
    deviation over the root of how often it was trained. Runtimes are taken as exact. Draws are the
    same every time.

    Args:
        runtimes_ms: Of each candidate.
        gains_db: Mean over the trainings of each.
        trainings: How often each was trained.
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


def memory_shown(member: Member) -> str:
    """The member's memory as a cell of a table, in MB."""
    return "-" if member.memory_mb is None else f"{member.memory_mb:.1f}"


def spread_shown(member: Member, digits: int) -> str:
    """The member's spread over seeds in dB and its number of trainings, as a cell."""
    sd_db = member.gain_sd_db
    return "-" if sd_db is None else f"{sd_db:.{digits}f} ({member.trainings})"


def probability_shown(member: Member) -> str:
    """The member's probability to be on the front, as a cell."""
    probability = member.front_probability
    return "-" if probability is None else f"{probability:.0%}"


def front(members: Iterable[Member]) -> tuple[Member, ...]:
    """Return the eligible members that no other one dominates, fastest first.

    Of members equal in gain and runtime the earliest stays.
    """
    best = -math.inf
    kept = []
    for member in sorted(eligible(members), key=lambda m: (m.runtime_ms, -m.gain_db, m.trial)):
        if member.gain_db > best:
            kept.append(member)
            best = member.gain_db
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class Reference:
    """The point that hypervolumes are counted from: 0 dB at a runtime.

    Attributes:
        runtime_ms: The slowest that counts: the budget, else the slowest candidate.
        least_ms: Faster candidates count as if they took this long.
    """

    runtime_ms: float
    least_ms: float

    def octaves(self, runtime_ms: float) -> float:
        """Halvings from the reference to a runtime; 0 for a slower one."""
        counted = max(runtime_ms, self.least_ms)
        return max(math.log2(self.runtime_ms / counted), 0.0)


def reference_of(members: Iterable[Member], budget: Budget) -> Reference:
    """Return what hypervolumes refer to: the budget, else the slowest eligible member."""
    high = budget.runtime_ms
    if high is None:
        high = max((member.runtime_ms for member in eligible(members)), default=1.0)
    return Reference(high, budget.floor_ms or high / SPAN)


def hypervolume(members: Iterable[Member], reference: Reference) -> float:
    """Return the area that the members cover above Lanczos and below a runtime.

    Runtime counts by its binary logarithm, so the unit is one decibel for one halving of the
    runtime. What is below Lanczos or slower than the reference covers nothing.
    """
    area, floor = 0.0, 0.0
    for member in front(members):
        if width := reference.octaves(member.runtime_ms):
            area += width * (member.gain_db - floor)
            floor = member.gain_db
    return area


def contributions(members: Iterable[Member], reference: Reference) -> dict[int, float]:
    """Return by trial what the front would lose in hypervolume without each of its members.

    It is 0 for one not faster than the reference.
    """
    line = front(members)
    whole = hypervolume(line, reference)
    return {
        member.trial: max(whole - hypervolume([m for m in line if m != member], reference), 0.0)
        for member in line
    }


def hypervolume_history(records: Iterable[Record], reference: Reference) -> list[float]:
    """Return the hypervolume after each trained candidate, in the order of their ends."""
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
    """Return the front's best compromise: farthest above the line between its two ends.

    Runtime counts by its logarithm, and both axes from end to end. A front with nothing above the
    line has no compromise; its member with the highest gain is returned, None when it is empty.
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
