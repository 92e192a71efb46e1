"""Limits that exclude nothing, found by the costs of candidates drawn at random."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from statistics import median

from nas.common.errors import InputError
from search_spaces.space import Space
from studies.core.budget import Budget
from studies.core.parameters import draws
from studies.sampling.pool import Costs, CostsOf

DRAWN = 200
"""Candidates whose costs are looked at; those that the sampler would look at first anyway."""

_WRITTEN = {
    # limit: option, unit, what one unit is
    "runtime_ms": ("--budget", "ms", 1.0),
    "macs": ("--max-macs", "G", 1e9),
    "params": ("--max-params", "k", 1e3),
    "memory_mb": ("--max-memory", "M", 1.0),
}


def drawn_costs(space: Space, costs_of: CostsOf, seed: int) -> tuple[Costs, ...]:
    """Return the costs of candidates drawn at random, `DRAWN` or fewer: some choices contradict."""

    def costs() -> Iterator[Costs]:
        for parameters in islice(draws(space, seed), DRAWN):
            try:
                yield costs_of(space.architecture(parameters))
            except InputError:
                continue

    return tuple(costs())


def slack(
    space: Space, budget: Budget, costs_of: CostsOf, seed: int, *, predicted: bool
) -> tuple[str, ...]:
    """Return a sentence on each limit that excludes nothing, with a value that would.

    Args:
        space: What may be built.
        budget: The limits.
        costs_of: Computes what is known of a network.
        seed: Of the draws.
        predicted: Whether these runtimes are those that the budget is about; predictions for
            another device say nothing of it.
    """
    costs, told = drawn_costs(space, costs_of, seed), []
    for limit, (option, unit, one) in _WRITTEN.items():
        allowed = budget.limits.get(limit)
        if allowed is None or not costs or (limit == "runtime_ms" and not predicted):
            continue
        values = [asdict(each)[limit] for each in costs]
        if max(values) <= allowed:
            given, most, half = (
                f"{v / one:.3g}{unit}" for v in (allowed, max(values), median(values))
            )
            told.append(
                f"{option} {given} excludes none of {len(values)} candidates drawn: they have "
                f"{most} at most. {option} {half} would exclude half of them."
            )
    return tuple(told)
