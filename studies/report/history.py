"""How a search went, and what its space's dimensions decide: sections of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from nas.common.errors import InputError
from nas.common.text import duration
from search_spaces.space import Space
from studies.core.info import StudyInfo
from studies.core.noise import seed_noise
from studies.core.outcome import Broken, Rejected
from studies.core.record import Record
from studies.report.history_plots import (
    curves_plot,
    hypervolume_plot,
    importance_plot,
    parallel_plot,
)
from studies.report.page import Column, Section, paragraph, plot, table
from studies.results.analysis import choices_of, gain_importance, least, runtime_importance, spent
from studies.results.front import trained

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Figures: TypeAlias = "dict[str, Figure]"
"""Those of a page, by the names of their places."""

_LIMITS = {"runtime_ms": "runtime", "macs": "MACs", "params": "parameters", "memory_mb": "memory"}


def course(info: StudyInfo, records: Sequence[Record], figures: Figures) -> Section:
    """Hypervolume, learning curves, time, and why candidates were not trained."""
    body = ""
    if trained(records):
        figures["hypervolume"] = hypervolume_plot(records, info.budget)
        body += "<h3>Hypervolume</h3>" + plot("hypervolume", "Hypervolume over candidates", 300)
        curves = curves_plot(records)
        body += "<h3>Learning curves of the front</h3>"
        if curves is None:
            body += paragraph("Their trainings were not watched on the way.", "note")
        else:
            figures["curves"] = curves
            body += plot("curves", "Gain over training steps of the front's networks", 400)
    body += "<h3>Time</h3>" + _time(records)
    if reasons := _reasons(records):
        columns = [Column("what became of them"), Column("how many", "d"), Column("for instance")]
        body += "<h3>Not trained</h3>" + table(columns, reasons)
    return Section("course", "How it went", body)


def _time(records: Sequence[Record]) -> str:
    time = spent(records)
    if not time.total_s:
        return paragraph("No candidate has ended yet.")
    parts = (
        ("one", "training", time.training_s),
        ("two", "measuring", time.measuring_s),
        ("three", "waiting and writing", time.overhead_s),
    )
    bar = "".join(
        f'<span class="{kind}" style="width:{100 * seconds / time.total_s:.2f}%"></span>'
        for kind, _, seconds in parts
    )
    key = " &nbsp; ".join(
        f'<span><i class="key {kind}"></i>{told} {duration(seconds)} '
        f"({seconds / time.total_s:.0%})</span>"
        for kind, told, seconds in parts
    )
    told = (
        f"Candidates took {duration(time.total_s)} together, "
        f"in {duration(time.wall_s)} by the clock: {time.at_once:.1f} at once."
    )
    return f'{paragraph(told)}<div class="bar">{bar}</div><p>{key}</p>'


def _reasons(records: Sequence[Record]) -> list[list[Any]]:
    """How many were rejected or broke in which way, each with an example."""
    found: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for record in records:
        outcome = record.outcome
        if record.duplicate_of is not None or not isinstance(outcome, Rejected | Broken):
            continue
        if isinstance(outcome, Broken):
            kind = outcome.kind.replace("_", " ")
        else:
            kind = (
                "stopped early"
                if outcome.limit == "rung"
                else f"over the limit of {_LIMITS[outcome.limit]}"
            )
        found[kind] += 1
        examples[kind] = f"trial {record.trial}: {outcome.reason}"
    return [[kind, number, examples[kind]] for kind, number in found.most_common()]


def dimensions(info: StudyInfo, records: Sequence[Record], figures: Figures) -> Section | None:
    """Which dimensions decide, and all that was tried; None before anything was trained."""
    members = trained(records)
    if not members:
        return None
    try:
        space = Space.from_dict(info.identity.get("space"), "the study's space")
        choices = choices_of(space, records)
    except InputError as fault:
        told = f"The study's space cannot be read here ({fault}): give its --plugin."
        return Section("dimensions", "Dimensions", paragraph(told))
    gain = gain_importance(space, records, choices)
    runtime = runtime_importance(space, records, choices)
    body = "<h3>Importance</h3>"
    if gain or runtime:
        figures["importance"] = importance_plot(gain, runtime)
        shown = sum(len(dimension.choices) > 1 for dimension in space.dimensions)
        body += plot("importance", "Share of each dimension in gain and runtime", 90 + 42 * shown)
        body += paragraph(
            "The share of the differences that each dimension explains by itself (fANOVA over "
            "what was tried, so that it says nothing of choices that were not).",
            "note",
        )
    if not gain:
        body += paragraph(
            f"Too few candidates to say what decides the gain: {len(members)} were trained, and "
            f"a space of so many dimensions needs {least(space)}."
        )
    known = [member for member in members if member.trial in choices]
    if len(known) > 1:
        figures["parallel"] = parallel_plot(
            space.dimensions, choices, known, seed_noise(records).digits
        )
        body += "<h3>All trained candidates</h3>"
        body += paragraph("Drag along an axis to keep only the candidates that pass there.", "note")
        drawn = plot("parallel", "Choices, runtime and gain of every trained candidate", 460)
        body += f'<div class="scroll">{drawn}</div>'
    return Section("dimensions", "Dimensions", body)
