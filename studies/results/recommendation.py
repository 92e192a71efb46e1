"""Which network of a front to take, so that a search with another seed would say the same.

A front picks the luckiest of many noisy trainings, and its last thousandths of a decibel are luck.
So members whose gains the seed noise can explain are ties, and of those the fastest is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from studies.core.noise import DEVIATIONS, Noise
from studies.results.front import Member, front, knee

_AS_FAST = 1.02
"""Runtimes within this factor are alike: a measured one is called steady if it moves by no more."""

_MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A member of the front to take, with those that are as good for all one knows.

    Attributes:
        member: The one to take.
        tied: The other members of the front whose gains the noise does not tell apart from its
            own, nor from each other; fastest first.
        noise: The study's.
    """

    member: Member
    tied: tuple[Member, ...]
    noise: Noise

    @property
    def tie(self) -> str:
        """One sentence on those that it ties with; empty without any."""
        if not self.tied:
            return ""
        numbers = [str(member.trial) for member in self.tied[:_MOST_NAMED]]
        if more := len(self.tied) - len(numbers):
            numbers.append(f"{more} more")
        *first, last = numbers
        others = f"trials {', '.join(first)} and {last}" if first else f"trial {last}"
        fastest = all(self.member.runtime_ms <= other.runtime_ms for other in self.tied)
        reason = "fastest" if fastest else "smallest of the fastest"
        return (
            f"Trial {self.member.trial} ties with {others}: their gains differ by no more than "
            f"chance may ({self.noise}); trial {self.member.trial} is the {reason}."
        )


def best_compromise(members: Sequence[Member], noise: Noise) -> Recommendation | None:
    """Return the front's best compromise; None when the front is empty.

    It is the `knee` of those that are to be taken of each group of ties: where ties counted one by
    one, luck at the ends of the front would move the knee.
    """
    groups = _groups(members, noise)
    taken = [_taken(group) for group in groups]
    best = knee(taken)
    return None if best is None else _recommended(groups[taken.index(best)], noise)


def highest_gain(
    members: Sequence[Member], noise: Noise, runtime_ms: float = math.inf
) -> Recommendation | None:
    """Return the member of the highest gain, or what ties with it; None when there is none.

    Args:
        members: Trained candidates.
        noise: The study's.
        runtime_ms: Slower ones are left out.
    """
    groups = _groups([m for m in members if m.runtime_ms <= runtime_ms], noise)
    return _recommended(groups[-1], noise) if groups else None


def _groups(members: Sequence[Member], noise: Noise) -> list[list[Member]]:
    """The front in groups of ties, fastest first: each is all that ties with its highest gain."""
    rest = list(front(members))
    groups: list[list[Member]] = []
    while rest:
        top = rest[-1]

        def ties(member: Member, top: Member = top) -> bool:
            least_db = DEVIATIONS * noise.error_db(member.trainings, top.trainings)
            return top.gain_db - member.gain_db <= least_db

        size = sum(1 for _ in takewhile(ties, reversed(rest)))
        groups.insert(0, rest[-size:])
        del rest[-size:]
    return groups


def _taken(group: Sequence[Member]) -> Member:
    """The fastest of a group; of those as fast the smallest."""
    as_fast = [m for m in group if m.runtime_ms <= _AS_FAST * group[0].runtime_ms]
    return min(as_fast, key=lambda m: (m.params, m.macs_g, m.runtime_ms))


def _recommended(group: Sequence[Member], noise: Noise) -> Recommendation:
    member = _taken(group)
    return Recommendation(member, tuple(m for m in group if m is not member), noise)
