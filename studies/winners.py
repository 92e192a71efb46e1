"""Which trained candidates of a study deserve a full training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search_spaces.errors import InputError
from studies.front import Member, best_within, contributions, front, trained, untinted
from studies.limits import Budget
from studies.outcome import Broken, Rejected
from studies.record import Record

DEFAULT_TOP = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """How to choose: at most one of the three may be given.

    Attributes:
        top: That many of the front; None for `DEFAULT_TOP`, if nothing else is given.
        trials: These, on the front or not.
        under_ms: The one of the highest gain that is not slower.
    """

    top: int | None = None
    trials: tuple[int, ...] = ()
    under_ms: float | None = None


def winners(
    study: str, records: Sequence[Record], budget: Budget, choice: Choice
) -> tuple[Member, ...]:
    """Return the candidates to promote, the most valuable first.

    By default these are the members of the front that contribute most to its hypervolume. One that
    tints has to be named.

    Raises:
        InputError: Nothing was trained, or not what is asked for, or all of it tints.
    """
    members = trained(records)
    if sum((choice.top is not None, bool(choice.trials), choice.under_ms is not None)) > 1:
        raise InputError("give one of --top, --trial and --under, not several")
    if choice.trials:
        numbers = dict.fromkeys(_original(study, records, trial) for trial in choice.trials)
        by_trial = {member.trial: member for member in members}
        return tuple(by_trial[number] for number in numbers)
    if not members:
        raise InputError(f"the study {study!r} has no trained candidate yet: run nas search")
    if not untinted(members):
        raise InputError(
            f"every trained candidate of {study!r} tints, beyond its limit of "
            f"{budget.colour_loss_db:g} dB: name one with --trial, or search with a higher "
            "--max-colour-loss"
        )
    if choice.under_ms is not None:
        best = best_within(members, choice.under_ms)
        if best is None:
            fastest = min(untinted(members), key=lambda m: m.runtime_ms)
            raise InputError(
                f"no trained candidate of {study!r} is under {choice.under_ms:g} ms: "
                f"the fastest is trial {fastest.trial} with {fastest.runtime_ms:.3f} ms"
            )
        return (best,)
    top = DEFAULT_TOP if choice.top is None else choice.top
    return by_contribution(members, budget.runtime_ms, top)


def by_contribution(
    members: Sequence[Member], budget_ms: float | None, top: int
) -> tuple[Member, ...]:
    """Return the members of the front that are worth most together, the worthiest first.

    The member whose loss would cost the front least hypervolume is dropped, again and again until
    ``top`` are left. So of two near twins one stays, although each alone would hardly be missed.
    Without a limit of the runtime the reference is one octave beyond the slowest member, so that
    this one, which has the highest gain, counts for something.
    """
    line = list(front(members))
    reference = budget_ms or 2 * max(member.runtime_ms for member in untinted(members))
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
