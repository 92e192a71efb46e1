"""Selection of trained candidates for full training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.common.errors import InputError
from nas.measure.colour import db_cell
from studies.core.budget import Budget
from studies.core.outcome import Broken, Rejected
from studies.core.record import Record
from studies.results.front import (
    Member,
    Reference,
    contributions,
    eligible,
    front,
    left_out_note,
    reference_of,
)
from studies.results.recommendation import highest_gain
from studies.results.snapshot import StudySnapshot

DEFAULT_TOP = 3


@dataclass(frozen=True, slots=True)
class Selection:
    """Which candidates to promote: at most one of the first three may be given.

    Attributes:
        top: Number of front members; None for `DEFAULT_TOP`, if nothing else is given.
        trials: Trials by number, on the front or not.
        under_ms: The member of the highest gain that is not slower; the fastest of ties.
        force: Allow named trials that gain nothing over Lanczos.
    """

    top: int | None = None
    trials: tuple[int, ...] = ()
    under_ms: float | None = None
    force: bool = False


def select(study: StudySnapshot, selection: Selection) -> tuple[Member, ...]:
    """Return the candidates to promote, the most valuable first.

    By default these are the members of the front that contribute most to its hypervolume. A member
    that tints must be named; one without a gain over Lanczos must also be forced.

    Raises:
        InputError: Nothing was trained, or not what is asked for, or nothing above Lanczos.
    """
    members, noise, name = study.trained, study.noise, study.name
    if sum((selection.top is not None, bool(selection.trials), selection.under_ms is not None)) > 1:
        raise InputError("give one of --top, --trial and --under, not several")
    if selection.trials:
        numbers = dict.fromkeys(_original(study, trial) for trial in selection.trials)
        by_trial = {member.trial: member for member in members}
        for number in numbers:
            gain_db = by_trial[number].gain_db
            if gain_db <= 0.0 and not selection.force:
                raise InputError(
                    f"trial {number} of {name!r} is no better than Lanczos "
                    f"({db_cell(gain_db, noise.digits)} dB): "
                    "choose another one, or give --force"
                )
        return tuple(by_trial[number] for number in numbers)
    if not members:
        raise InputError(f"the study {name!r} has no trained candidate yet: run nas search")
    if not eligible(members):
        raise InputError(
            f"no trained candidate of {name!r} is above Lanczos within its limits "
            f"({left_out_note(members, noise)}): name one with --trial, or search on"
        )
    if selection.under_ms is not None:
        best = highest_gain(members, noise, selection.under_ms)
        if best is None:
            fastest = min(eligible(members), key=lambda m: m.runtime_ms)
            raise InputError(
                f"no trained candidate of {name!r} is under {selection.under_ms:g} ms: "
                f"the fastest is trial {fastest.trial} with {fastest.runtime_ms:.3f} ms"
            )
        return (best.member,)
    top = DEFAULT_TOP if selection.top is None else selection.top
    return by_contribution(members, study.budget, top)


def by_contribution(members: Sequence[Member], budget: Budget, top: int) -> tuple[Member, ...]:
    """Return the ``top`` members of the front that are worth most together, best first.

    The member that contributes least hypervolume is dropped repeatedly until ``top`` are left. So
    one of two similar members stays, although each alone contributes little. Without a runtime
    limit the reference is one octave beyond the slowest member, which has the highest gain and
    would contribute nothing otherwise.
    """
    line = list(front(members))
    reference = reference_of(members, budget)
    if budget.runtime_ms is None:
        reference = Reference(2 * reference.runtime_ms, reference.least_ms)
    while True:
        worth = contributions(line, reference)
        line.sort(key=lambda m: (-worth[m.trial], -m.gain_db, m.runtime_ms))
        if len(line) <= top:
            return tuple(line)
        line.pop()


def trained_record(study: StudySnapshot, trial: int) -> Record:
    """Return the record of a trial that was trained.

    Raises:
        InputError: There is no such trial, or it was not trained; lists trained ones.
    """
    done = {member.trial for member in study.trained}
    record = study.by_trial.get(trial)
    if record is not None and (trial in done or record.duplicate_of in done):
        return record
    numbers = [str(number) for number in sorted(done)]
    shown = ", ".join(numbers[:12]) + (", ..." if len(numbers) > 12 else "")
    known = f"trained were {shown}" if numbers else "none was trained yet"
    if record is None:
        raise InputError(f"the study {study.name!r} has no trial {trial}: {known}")
    outcome = record.outcome
    why = outcome.reason if isinstance(outcome, Rejected | Broken) else "still running"
    raise InputError(f"trial {trial} of {study.name!r} was not trained ({why}): {known}")


def _original(study: StudySnapshot, trial: int) -> int:
    """Return the trial that was evaluated: this one, or the one that it duplicates."""
    record = trained_record(study, trial)
    return trial if record.duplicate_of is None else record.duplicate_of
