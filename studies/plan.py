"""What a search would do, without doing it: ``nas search --dry-run``."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from nas.measure.cost import cost
from search_spaces.architecture import Architecture
from search_spaces.errors import InputError
from search_spaces.network import build
from search_spaces.progress import Progress, silent
from search_spaces.space import Space
from search_spaces.survey import published
from studies.preparation import Prepared, SearchSettings, prepare

_SAMPLES = 8
_TIMED = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """One candidate that the search might ask for.

    Attributes:
        name: A published network's name, or the architecture's label.
        runtime_ms: Of the deploy form at 540x960.
        macs_g: Multiply-accumulates in units of 1e9.
        params: Parameters of the deploy form.
        within: Whether it would be trained.
        verdict: ``within the budget``, or which limit it is over.
    """

    name: str
    runtime_ms: float
    macs_g: float
    params: int
    within: bool
    verdict: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a search would do.

    Attributes:
        study: Name of the study.
        space: Name of the space.
        size: Parameter sets in it, an upper bound of its architectures.
        known: Published networks that are tried first.
        trials: Candidates to train.
        concurrency: Of them at once.
        runtime_kind: ``measured`` or ``predicted``.
        estimated_minutes: Of training, from a few timed steps; approximate.
        notes: What to know of target and data.
        samples: Some of the candidates.
    """

    study: str
    space: str
    size: int
    known: tuple[str, ...]
    trials: int
    concurrency: int
    runtime_kind: str
    estimated_minutes: float
    notes: tuple[str, ...]
    samples: tuple[Sample, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON."""
        return asdict(self)

    def lines(self) -> tuple[str, ...]:
        """The plan in sentences, the samples left out."""
        known = f"; first {', '.join(self.known)}" if self.known else ""
        return (
            f"study {self.study}: space {self.space}, {self.size:,} parameter sets{known}",
            f"{self.trials} candidates to train, {self.concurrency} at a time, "
            f"in about {max(self.estimated_minutes, 1):.0f} minutes (approximate)",
            *self.notes,
        )


def plan(settings: SearchSettings, progress: Progress = silent) -> Plan:
    """Say what ``search`` would do with the same settings; nothing is trained or stored.

    Raises:
        InputError: As ``search`` would.
    """
    prepared = prepare(settings, progress, teach=False)
    space = prepared.study.space
    inside = {
        name: network.architecture
        for name, network in published.items()
        if space.parameters(network.architecture) is not None
    }
    drawn = [(a.label, a) for a in _draw(space, _SAMPLES, settings.seed)]
    candidates = [*list(inside.items())[: _SAMPLES // 2], *drawn][:_SAMPLES]
    samples = []
    for done, (name, architecture) in enumerate(candidates):
        progress(done, len(candidates), name)
        samples.append(_sample(name, architecture, prepared))
    to_train = [a for (_, a), s in zip(candidates, samples, strict=True) if s.within]
    seconds = _seconds(to_train or [a for _, a in candidates], prepared)
    return Plan(
        study=prepared.study.name,
        space=space.name,
        size=space.size,
        known=tuple(inside),
        trials=settings.trials,
        concurrency=prepared.concurrency,
        runtime_kind=prepared.evaluation.target.kind,
        estimated_minutes=seconds * settings.trials / prepared.concurrency / 60,
        notes=prepared.notes,
        samples=tuple(samples),
    )


def _draw(space: Space, number: int, seed: int) -> list[Architecture]:
    chance = random.Random(seed)
    found: dict[str, Architecture] = {}
    for _ in range(50 * number):  # a space's corners may contradict, and small ones run out
        chosen = {d.name: chance.choice(d.choices) for d in space.dimensions}
        try:
            architecture = space.architecture(chosen)
        except InputError:
            continue
        found.setdefault(architecture.key, architecture)
        if len(found) == number:
            break
    return list(found.values())


def _sample(name: str, architecture: Architecture, prepared: Prepared) -> Sample:
    evaluation = prepared.evaluation
    counted = cost(architecture)
    latency = evaluation.target.latency(architecture)
    figures = {"runtime_ms": latency.ms, "macs": counted.macs, "params": counted.params}
    over = [n for n, by in evaluation.budget.violations(**figures).items() if by > 0]
    verdict = f"over {', '.join(over)}" if over else "within the budget"
    macs_g = counted.macs / 1e9
    return Sample(name, latency.ms, macs_g, counted.params, not over, verdict)


def _seconds(architectures: Sequence[Architecture], prepared: Prepared) -> float:
    """Mean training time of a few candidates, from a step of each on random pixels."""
    proxy = prepared.evaluation.proxy
    device = prepared.evaluation.device
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers do
    try:
        times = []
        for architecture in architectures[:: max(1, len(architectures) // _TIMED)]:
            network = build(architecture, 0).to(device)
            pixels = torch.rand(proxy.batch, 3, proxy.patch, proxy.patch, device=device)
            spent = []
            for _ in range(3):
                begin = time.perf_counter()
                network(pixels).square().mean().backward()
                if device == "cuda":
                    torch.cuda.synchronize()
                spent.append(time.perf_counter() - begin)
            times.append(min(spent) * proxy.steps)
    finally:
        torch.set_num_threads(threads)
    return sum(times) / len(times)
