"""The interactive figures of how a search went, and of what its dimensions decide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from studies.core.budget import Budget
from studies.core.noise import seed_noise
from studies.core.outcome import Trained
from studies.core.record import Record
from studies.report.page import FRONT, GREY, LABEL, LEGEND, LOW_TO_HIGH, TICKS_MS, shade
from studies.results.front import Member, front, hypervolume_history, reference_of, trained

if TYPE_CHECKING:
    from search_spaces.space import Dimension


def hypervolume_plot(records: Sequence[Record], budget: Budget) -> go.Figure:
    """The hypervolume after each trained candidate, in the order of their ends."""
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


def curves_plot(records: Sequence[Record]) -> go.Figure | None:
    """How the front's members learned; None where their training was not watched on the way."""
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
    if not figure.data:
        return None
    figure.update_xaxes(title="training steps")
    figure.update_yaxes(title="gain over Lanczos [dB]", tickformat="+.3~f")
    return figure.update_layout(legend=LEGEND)


def importance_plot(gain: Mapping[str, float], runtime: Mapping[str, float]) -> go.Figure:
    """How much of the differences in gain and in runtime each dimension explains."""
    shares_of = {name: (gain.get(name, 0.0), runtime.get(name, 0.0)) for name in (*gain, *runtime)}
    names = sorted(shares_of, key=shares_of.__getitem__)
    figure = go.Figure()
    sets = (("runtime (logarithm)", runtime, GREY), ("gain", gain, FRONT))
    for told, shares, colour in sets:
        if shares:
            figure.add_bar(
                x=[shares.get(name, 0.0) for name in names],
                y=names,
                orientation="h",
                name=told,
                marker={"color": colour},
                hovertemplate="%{y}: %{x:.0%} of " + told + "<extra></extra>",
            )
    figure.update_xaxes(title="share of the differences", tickformat=".0%", rangemode="tozero")
    return figure.update_layout(
        barmode="group", bargap=0.25, showlegend=True, legend={**LEGEND, "traceorder": "reversed"}
    )


def parallel_plot(
    dimensions: Sequence[Dimension],
    parameters: Mapping[int, Mapping[str, Any]],
    members: Sequence[Member],
    digits: int,
) -> go.Figure:
    """Every trained candidate as a line through its choices, its runtime and its gain.

    Args:
        dimensions: Of the space.
        parameters: Choices of each trial.
        members: Trained candidates, all of them with their choices.
        digits: Decimals of gains.
    """
    axes = []
    for dimension in dimensions:
        used = {parameters[member.trial][dimension.name] for member in members}
        if len(used) < 2:
            continue
        places = [dimension.choices.index(parameters[m.trial][dimension.name]) for m in members]
        axes.append(
            {
                "label": dimension.name,
                "values": places,
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
