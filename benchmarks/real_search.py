"""Searches with real trainings for several samplers: `benchmarks.samplers --real`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from search_spaces import published
from studies.core.budget import parse_budget
from studies.core.outcome import Trained
from studies.core.record import Record
from studies.evaluation import evaluate
from studies.events import Event, Finished
from studies.results.front import eligible, front, hypervolume_history, reference_of, trained
from studies.runners.inline import InlineRunner
from studies.search import conduct
from studies.settings import SearchSettings
from studies.setup import prepare, teach
from studies.storage.store import Store


@dataclass(frozen=True, slots=True)
class RealSearch:
    """One search to make; the same one is continued where its storage has a part of it.

    Attributes:
        space: A preset or a YAML file.
        budget: As ``--budget`` takes it.
        sampler: As ``--sampler`` takes it.
        seed: Of the sampler and the trainings.
        trials: Trainings.
        steps: Of each.
        data: A prepared set; None for the sample set.
    """

    space: str
    budget: str
    sampler: str
    seed: int
    trials: int
    steps: int
    data: Path | None

    @property
    def name(self) -> str:
        """Of its study."""
        place = "sample" if self.data is None else self.data.name
        parts = (Path(self.space).stem, self.budget, place, self.sampler, str(self.seed))
        return "-".join(part.replace("..", "to") for part in parts)


def run_real(wanted: RealSearch, folder: Path) -> Sequence[Record]:
    """Search with one training at a time, on one core; print a line for each."""
    asked = SearchSettings(
        space=wanted.space,
        budget=parse_budget(wanted.budget),
        trials=wanted.trials,
        steps=wanted.steps,
        seed=wanted.seed,
        sampler=wanted.sampler,
        data=wanted.data,
        study=wanted.name,
        store=Store(f"sqlite:///{folder}/studies.db"),
        tracking_uri=None,
        concurrency=1,
    )
    prepared = teach(prepare(asked))
    summary = conduct(
        prepared.study,
        partial(evaluate, settings=prepared.evaluation),
        InlineRunner(1),
        on_event=partial(_print, wanted.name),
    )
    return summary.records


def _print(name: str, event: Event) -> None:
    if isinstance(event, Finished) and isinstance(event.record.outcome, Trained):
        outcome, candidate = event.record.outcome, event.record.candidate
        figures = f"{outcome.gain_db:+.3f} dB, {outcome.runtime.ms:.3f} ms"
        print(f"{name}: trial {event.record.trial}, {figures}, {candidate.name}", flush=True)


def real_table(found: Sequence[tuple[RealSearch, Sequence[Record]]]) -> Iterator[str]:
    """What each search came to, as lines of Markdown: hypervolumes in dB x octaves."""
    marks = sorted({mark for each, _ in found for mark in (10, 20, 40, 80) if mark <= each.trials})
    yield "| search |" + "".join(f" {mark} |" for mark in marks) + " chosen | low | front | found |"
    yield "|---|" + "---|" * (len(marks) + 4)
    for search, records in found:
        members = trained(records)
        history = _history(search, records)
        chosen = [member for member in members if member.name not in published]
        line = front(members)
        cells = [f"{history[m - 1]:.4f}" if m <= len(history) else "" for m in marks]
        cells += [
            str(len(chosen)),
            str(len(chosen) - len(eligible(chosen))),
            str(len(line)),
            str(sum(member.name not in published for member in line)),
        ]
        yield f"| {search.name} | " + " | ".join(cells) + " |"


def _history(search: RealSearch, records: Sequence[Record]) -> list[float]:
    reference = reference_of(trained(records), parse_budget(search.budget))
    return hypervolume_history(records, reference)
