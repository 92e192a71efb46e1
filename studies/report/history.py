"""History and dimensions of a study: two sections of its report, with their Plotly figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, TypeAlias

import plotly.graph_objects as go

from nas.common.errors import InputError
from nas.common.tables import Column, Table
from nas.common.text import duration
from search_spaces.space import Dimension, Space
from studies.core.budget import Budget
from studies.core.info import StudyInfo
from studies.core.noise import seed_noise
from studies.core.outcome import Broken, Rejected, Trained
from studies.core.record import Record
from studies.report.page import (
    FRONT,
    GREY,
    LABEL,
    LEGEND,
    LOW_TO_HIGH,
    TICKS_MS,
    Section,
    paragraph,
    plot,
    shade,
)
from studies.results.analysis import (
    choices_of,
    gain_importance,
    least,
    runtime_importance,
    time_use,
)
from studies.results.front import Member, front, hypervolume_history, reference_of, trained

Figures: TypeAlias = dict[str, go.Figure]
"""Figures of a page by name."""

_LIMITS = {"runtime_ms": "runtime", "macs": "MACs", "params": "parameters", "memory_mb": "memory"}


def history(info: StudyInfo, records: Sequence[Record], figures: Figures) -> Section:
    """Show hypervolume, learning curves, time, and why candidates were not trained."""
    body = ""
    if trained(records):
        figures["hypervolume"] = _hypervolume_plot(records, info.budget)
        body += "<h3>Hypervolume</h3>" + plot("hypervolume", "Hypervolume over candidates", 300)
        body += "<h3>Learning curves of the front</h3>"
        curves = _curves_plot(records)
        if curves.data:
            figures["curves"] = curves
            body += plot("curves", "Gain over training steps of the front's networks", 400)
        else:
            body += paragraph("Their trainings have no intermediate results.", "note")
    body += "<h3>Time</h3>" + _time(records)
    if reasons := _reasons(records):
        columns = [
            Column("kind", "outcome"),
            Column("count", "count", "d"),
            Column("example", "example"),
        ]
        body += "<h3>Not trained</h3>" + Table(columns, reasons).html()
    return Section("course", "History", body)


def dimensions(info: StudyInfo, records: Sequence[Record], figures: Figures) -> Section | None:
    """Show the importance of each dimension, and all choices; None if nothing was trained."""
    members = trained(records)
    if not members:
        return None
    try:
        space = Space.from_dict(info.identity.get("space"), "the study's space")
        choices = choices_of(space, records)
    except InputError as fault:
        note = f"The space of the study cannot be read here ({fault}): give its --plugin."
        return Section("dimensions", "Dimensions", paragraph(note))
    gain = gain_importance(space, records, choices)
    runtime = runtime_importance(space, records, choices)
    body = "<h3>Importance</h3>"
    if gain or runtime:
        figures["importance"] = _importance_plot(gain, runtime)
        shown = sum(len(dimension.choices) > 1 for dimension in space.dimensions)
        body += plot("importance", "Share of each dimension in gain and runtime", 90 + 42 * shown)
        body += paragraph(
            "Share of the variance that each dimension explains alone (fANOVA over the evaluated "
            "candidates; choices that were not evaluated do not count).",
            "note",
        )
    if not gain:
        body += paragraph(
            f"Too few candidates to say what decides the gain: {len(members)} were trained, and "
            f"a space of so many dimensions needs {least(space)}."
        )
    known = [member for member in members if member.trial in choices]
    if len(known) > 1:
        digits = seed_noise(records).digits
        figures["parallel"] = _parallel_plot(space.dimensions, choices, known, digits)
        body += "<h3>All trained candidates</h3>"
        body += paragraph("Drag along an axis to keep only the candidates that pass there.", "note")
        drawn = plot("parallel", "Choices, runtime and gain of every trained candidate", 460)
        body += f'<div class="scroll">{drawn}</div>'
    return Section("dimensions", "Dimensions", body)


def _time(records: Sequence[Record]) -> str:
    time = time_use(records)
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
        f'<span><i class="key {kind}"></i>{name} {duration(seconds)} '
        f"({seconds / time.total_s:.0%})</span>"
        for kind, name, seconds in parts
    )
    total = (
        f"Candidates took {duration(time.total_s)} in total, in {duration(time.wall_s)} of "
        f"elapsed time: {time.at_once:.1f} in parallel."
    )
    return f'{paragraph(total)}<div class="bar">{bar}</div><p>{key}</p>'


def _reasons(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Count why candidates were rejected or broke, each with an example."""
    found: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for record in records:
        outcome = record.outcome
        if record.duplicate_of is not None or not isinstance(outcome, Rejected | Broken):
            continue
        if isinstance(outcome, Broken):
            kind = outcome.kind.replace("_", " ")
        elif outcome.limit == "rung":
            kind = "stopped early"
        else:
            kind = f"over the limit of {_LIMITS[outcome.limit]}"
        found[kind] += 1
        examples[kind] = f"trial {record.trial}: {outcome.reason}"
    return [
        {"kind": kind, "count": count, "example": examples[kind]}
        for kind, count in found.most_common()
    ]


def _hypervolume_plot(records: Sequence[Record], budget: Budget) -> go.Figure:
    """Plot the hypervolume after each trained candidate, in the order in which they ended."""
    reference = reference_of(trained(records), budget)
    curve, digits = hypervolume_history(records, reference), seed_noise(records).digits
    figure = go.Figure()
    figure.add_scatter(
        x=list(range(1, len(curve) + 1)),
        y=curve,
        mode="lines+markers",
        line={"shape": "hv", "color": FRONT},
        hovertemplate=f"%{{y:.{digits}f}} dB x octaves after %{{x}} candidates<extra></extra>",
    )
    figure.update_xaxes(title="trained candidates", rangemode="tozero")
    figure.update_yaxes(title="hypervolume [dB x octaves]", rangemode="tozero")
    return figure.update_layout(showlegend=False)


def _curves_plot(records: Sequence[Record]) -> go.Figure:
    """Plot the gain of the front's members over training steps, where it was measured."""
    outcomes = {record.trial: record.outcome for record in records}
    members, digits = front(trained(records)), seed_noise(records).digits
    figure = go.Figure()
    for index, member in enumerate(members):
        outcome = outcomes[member.trial]
        if not isinstance(outcome, Trained) or len(outcome.curve) < 2:
            continue
        figure.add_scatter(
            x=[rung.step for rung in outcome.curve],
            y=[rung.gain_db for rung in outcome.curve],
            mode="lines+markers",
            line={"color": shade(index / max(1, len(members) - 1)), "width": 2},
            name=f"{member.trial} ({member.runtime_ms:.2f} ms)",
            hovertemplate=f"{escape(member.title)}<br>"
            f"%{{y:+.{digits}f}} dB after %{{x}} steps<extra></extra>",
        )
    figure.update_xaxes(title="training steps")
    figure.update_yaxes(title="gain over Lanczos [dB]", tickformat="+.3~f")
    return figure.update_layout(legend=LEGEND)


def _importance_plot(gain: Mapping[str, float], runtime: Mapping[str, float]) -> go.Figure:
    """Plot the share of the variance in gain and in runtime that each dimension explains."""
    shares_of = {name: (gain.get(name, 0.0), runtime.get(name, 0.0)) for name in (*gain, *runtime)}
    names = sorted(shares_of, key=shares_of.__getitem__)
    figure = go.Figure()
    for title, shares, colour in (("runtime (logarithm)", runtime, GREY), ("gain", gain, FRONT)):
        if shares:
            figure.add_bar(
                x=[shares.get(name, 0.0) for name in names],
                y=names,
                orientation="h",
                name=title,
                marker={"color": colour},
                hovertemplate="%{y}: %{x:.0%} of " + title + "<extra></extra>",
            )
    figure.update_xaxes(title="share of the variance", tickformat=".0%", rangemode="tozero")
    return figure.update_layout(
        barmode="group", bargap=0.25, showlegend=True, legend={**LEGEND, "traceorder": "reversed"}
    )


def _parallel_plot(
    dimensions: Sequence[Dimension],
    parameters: Mapping[int, Mapping[str, Any]],
    members: Sequence[Member],
    digits: int,
) -> go.Figure:
    """Plot every trained candidate as a line through its choices, runtime and gain.

    Args:
        dimensions: Of the space.
        parameters: Choices of each trial; every member has some.
        members: Trained candidates.
        digits: Decimals of gains.
    """
    axes = []
    for dimension in dimensions:
        chosen = [parameters[member.trial][dimension.name] for member in members]
        if len(set(chosen)) > 1:
            axes.append(
                {
                    "label": dimension.name,
                    "values": [dimension.choices.index(choice) for choice in chosen],
                    "range": [0, len(dimension.choices) - 1],
                    "tickvals": list(range(len(dimension.choices))),
                    "ticktext": [str(choice) for choice in dimension.choices],
                }
            )
    logs = [math.log10(member.runtime_ms) for member in members]
    ends = (min(logs), max(logs))
    between = (t for t in map(math.log10, TICKS_MS) if ends[0] + LABEL < t < ends[1] - LABEL)
    ticks = sorted({*ends, *between})
    gains = [member.gain_db for member in members]
    axes += [
        {
            "label": "runtime [ms]",
            "values": logs,
            "tickvals": ticks,
            "ticktext": [f"{10**tick:.3g}" for tick in ticks],
        },
        {"label": "gain [dB]", "values": gains, "tickformat": f"+.{digits}f"},
    ]
    line = {"color": gains, "colorscale": LOW_TO_HIGH, "cmin": min(gains), "cmax": max(gains)}
    figure = go.Figure(go.Parcoords(dimensions=axes, line=line, labelside="top"))
    return figure.update_layout(margin={"l": 90, "r": 50, "t": 60, "b": 24})
