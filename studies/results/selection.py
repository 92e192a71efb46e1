"""Which trained candidates of a study deserve a full training."""

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
    trained,
)
from studies.results.recommendation import highest_gain
from studies.results.uncertainty import seed_noise

DEFAULT_TOP = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """How to choose: at most one of the three may be given.

    Attributes:
        top: That many of the front; None for `DEFAULT_TOP`, if nothing else is given.
        trials: These, on the front or not.
        under_ms: The one of the highest gain that is not slower; the fastest of those that tie.
        force: Whether trials that gain nothing over Lanczos may be named.
    """

    top: int | None = None
    trials: tuple[int, ...] = ()
    under_ms: float | None = None
    force: bool = False


def winners(
    study: str, records: Sequence[Record], budget: Budget, choice: Choice
) -> tuple[Member, ...]:
    """Return the candidates to promote, the most valuable first.

    By default these are the members of the front that contribute most to its hypervolume. One that
    tints has to be named; one that gains nothing over Lanczos has to be forced, too.

    Raises:
        InputError: Nothing was trained, or not what is asked for, or nothing above Lanczos.
    """
    members, noise = trained(records), seed_noise(records)
    if sum((choice.top is not None, bool(choice.trials), choice.under_ms is not None)) > 1:
        raise InputError("give one of --top, --trial and --under, not several")
    if choice.trials:
        numbers = dict.fromkeys(_original(study, records, trial) for trial in choice.trials)
        by_trial = {member.trial: member for member in members}
        for number in numbers:
            gain_db = by_trial[number].gain_db
            if gain_db <= 0.0 and not choice.force:
                raise InputError(
                    f"trial {number} of {study!r} is no better than Lanczos "
                    f"({db_cell(gain_db, noise.digits)} dB): "
                    "choose another one, or give --force"
                )
        return tuple(by_trial[number] for number in numbers)
    if not members:
        raise InputError(f"the study {study!r} has no trained candidate yet: run nas search")
    if not eligible(members):
        raise InputError(
            f"no trained candidate of {study!r} is above Lanczos within its limits "
            f"({left_out_note(members, noise)}): name one with --trial, or search on"
        )
    if choice.under_ms is not None:
        best = highest_gain(members, noise, choice.under_ms)
        if best is None:
            fastest = min(eligible(members), key=lambda m: m.runtime_ms)
            raise InputError(
                f"no trained candidate of {study!r} is under {choice.under_ms:g} ms: "
                f"the fastest is trial {fastest.trial} with {fastest.runtime_ms:.3f} ms"
            )
        return (best.member,)
    top = DEFAULT_TOP if choice.top is None else choice.top
    return by_contribution(members, budget, top)


def by_contribution(members: Sequence[Member], budget: Budget, top: int) -> tuple[Member, ...]:
    """Return the members of the front that are worth most together, the worthiest first.

    The member whose loss would cost the front least hypervolume is dropped, again and again until
    ``top`` are left. So of two near twins one stays, although each alone would hardly be missed.
    Without a limit of the runtime the reference is one octave beyond the slowest member, so that
    this one, which has the highest gain, counts for something.
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


def trained_record(study: str, records: Sequence[Record], trial: int) -> Record:
    """Return the record of a trial that was trained.

    Raises:
        InputError: There is no such trial, or it was not trained; says which were.
    """
    done = {member.trial for member in trained(records)}
    found = next((record for record in records if record.trial == trial), None)
    if found is not None and (trial in done or found.duplicate_of in done):
        return found
    numbers = [str(number) for number in sorted(done)]
    shown = ", ".join(numbers[:12]) + (", ..." if len(numbers) > 12 else "")
    known = f"trained were {shown}" if numbers else "none was trained yet"
    if found is None:
        raise InputError(f"the study {study!r} has no trial {trial}: {known}")
    why = found.outcome.reason if isinstance(found.outcome, Rejected | Broken) else "still running"
    raise InputError(f"trial {trial} of {study!r} was not trained ({why}): {known}")


def _original(study: str, records: Sequence[Record], trial: int) -> int:
    """The trial that was evaluated: itself, or the one that it is a duplicate of."""
    record = trained_record(study, records, trial)
    return trial if record.duplicate_of is None else record.duplicate_of
