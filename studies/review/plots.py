"""The interactive figures of a study. Their theme comes from the page (`page.js`)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from search_spaces.survey import published
from studies.front import Member, front, hypervolume_history, reference_of, trained
from studies.limits import Budget
from studies.outcome import Broken, Outcome, Rejected, Trained
from studies.record import Record
from studies.sight import Sight, sight, study_sight

if TYPE_CHECKING:
    from search_spaces.space import Dimension

FRONT, OTHER, GREY, LIMIT = "#1f6feb", "#6f9fe8", "#8a929e", "#d1343f"
STUDIES = ("#1f6feb", "#d98324", "#1a9c74", "#b0559f", "#8a6d3b", "#4a9fc9")
"""Colours of studies beside each other."""

_LOW_TO_HIGH = ((0.0, "#7256b8"), (0.5, "#c4517f"), (1.0, "#ef9a3a"))
"""Legible on white and on black."""

_TICKS = [m * 10.0**e for e in range(-4, 5) for m in (1, 2, 5)]
_LABEL = 0.025  # decades of runtime that a label needs
_RUG = 0.03  # height of the marks of those without a gain
_LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}


def front_plot(done: Sequence[Member], records: Sequence[Record], budget: Budget) -> go.Figure:
    """The front, all other candidates greyed by what became of them, and the survey's networks.

    The survey's points are its own figures (other pictures, full training): a reference of shape,
    which does not decide what is in sight. Candidates without a gain stand as marks on the runtime
    axis.

    Args:
        done: What was trained.
        records: All trials.
        budget: The limits, of which that of the runtime is drawn.
    """
    members = front(done)
    repeated = any(member.gain_sd_db for member in members)
    outcomes = {record.trial: record.outcome for record in records}
    figure = go.Figure()
    _points(figure, "survey, full training", survey_points(), GREY, "x-thin-open", 8)
    rest = [member for member in done if member not in members]
    _points(figure, "trained", [_point(m, outcomes[m.trial]) for m in rest], OTHER, "circle", 9)
    _points(figure, "stopped early", list(_stopped(records)), GREY, "circle-open", 8)
    figure.add_scatter(
        x=[member.runtime_ms for member in members],
        y=[member.gain_db for member in members],
        mode="lines+markers+text",
        text=_labels(members),
        textposition="top left",
        textfont={"size": 11},
        line={"shape": "hv", "width": 1.5, "color": FRONT},
        marker={"color": FRONT, "size": 8 if repeated else 11},
        error_y={
            "array": [member.gain_sd_db or 0.0 for member in members],
            "visible": repeated,
            "thickness": 1.5,
            "width": 7,  # beyond the marker, which would hide a short one
        },
        name="front (trial)",
        hovertext=[hover(member, outcomes[member.trial]) for member in members],
        hoverinfo="text",
    )
    _rug(figure, "not trained", list(_untrained(records)))
    if budget.runtime_ms:
        _limit(figure, budget.runtime_ms, f"budget {budget.runtime_ms:g} ms")
    seen = study_sight(done, records, budget)
    return _gain_over_runtime(figure, seen, runtime_title(records))


def hypervolume_plot(records: Sequence[Record], budget: Budget) -> go.Figure:
    """The hypervolume after each trained candidate, in the order of their ends."""
    reference = reference_of(trained(records), budget.runtime_ms)
    curve = hypervolume_history(records, reference)
    figure = go.Figure()
    figure.add_scatter(
        x=list(range(1, len(curve) + 1)),
        y=curve,
        mode="lines+markers",
        line={"shape": "hv", "color": FRONT},
        hovertemplate="%{y:.4f} dB x octaves after %{x} candidates<extra></extra>",
    )
    figure.update_xaxes(title="trained candidates", rangemode="tozero")
    figure.update_yaxes(title="hypervolume [dB x octaves]", rangemode="tozero")
    return figure.update_layout(showlegend=False)


def curves_plot(records: Sequence[Record]) -> go.Figure | None:
    """How the front's members learned; None where their training was not watched on the way."""
    outcomes = {record.trial: record.outcome for record in records}
    members = front(trained(records))
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
            hovertemplate=f"trial {member.trial}: {escape(member.name)}<br>"
            "%{y:+.3f} dB after %{x} steps<extra></extra>",
        )
    if not figure.data:
        return None
    figure.update_xaxes(title="training steps")
    figure.update_yaxes(title="gain over Lanczos [dB]", tickformat="+.3~f")
    return figure.update_layout(legend=_LEGEND)


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
        barmode="group", bargap=0.25, showlegend=True, legend={**_LEGEND, "traceorder": "reversed"}
    )


def parallel_plot(
    dimensions: Sequence[Dimension],
    parameters: Mapping[int, Mapping[str, Any]],
    members: Sequence[Member],
) -> go.Figure:
    """Every trained candidate as a line through its choices, its runtime and its gain.

    Args:
        dimensions: Of the space.
        parameters: Choices of each trial.
        members: Trained candidates, all of them with their choices.
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
    between = (t for t in map(math.log10, _TICKS) if ends[0] + _LABEL < t < ends[1] - _LABEL)
    ticks = sorted({*ends, *between})
    gains = [member.gain_db for member in members]
    axes += [
        {
            "label": "runtime [ms]",
            "values": logs,
            "tickvals": ticks,
            "ticktext": [f"{10**tick:.3g}" for tick in ticks],
        },
        {"label": "gain [dB]", "values": gains, "tickformat": "+.3f"},
    ]
    line = {"color": gains, "colorscale": _LOW_TO_HIGH, "cmin": min(gains), "cmax": max(gains)}
    figure = go.Figure(go.Parcoords(dimensions=axes, line=line, labelside="top"))
    return figure.update_layout(margin={"l": 90, "r": 50, "t": 60, "b": 24})


def overlay_plot(
    fronts: Mapping[str, Sequence[Member]], label: str, budget_ms: Sequence[float]
) -> go.Figure:
    """Fronts of several studies over each other, with their limits of the runtime."""
    figure = go.Figure()
    for colour, (name, members) in zip(colours(len(fronts)), fronts.items(), strict=True):
        figure.add_scatter(
            x=[member.runtime_ms for member in members],
            y=[member.gain_db for member in members],
            mode="lines+markers",
            line={"shape": "hv", "width": 1.5, "color": colour},
            marker={"color": colour, "size": 10},
            name=escape(name),
            hovertext=[f"{escape(name)}<br>{hover(member, None)}" for member in members],
            hoverinfo="text",
        )
    for limit in sorted(set(budget_ms)):
        _limit(figure, limit, f"budget {limit:g} ms")
    every = [member for members in fronts.values() for member in members]
    return _gain_over_runtime(figure, sight(every, runtimes_ms=budget_ms), label)


def hover(member: Member, outcome: Outcome | None) -> str:
    """What the pointer shows of a trained candidate, in Plotly's markup."""
    lines = [
        f"<b>trial {member.trial}: {escape(member.name)}</b>",
        f"{member.gain_db:+.3f} dB at {member.runtime_ms:.3f} ms {member.runtime_kind}",
        f"{member.params:,} parameters, {member.macs_g:.2f} G MACs",
    ]
    if member.gain_sd_db is not None:
        lines.append(f"±{member.gain_sd_db:.3f} dB over {member.trainings} trainings")
    if member.front_probability is not None:
        lines.append(f"on the front with probability {member.front_probability:.0%}")
    if member.memory_mb is not None:
        lines.append(f"{member.memory_mb:.1f} MB at the peak")
    if isinstance(outcome, Trained):
        per_qp = sorted(outcome.gain_db_per_qp.items())
        lines += [f"QP {qp}: {gain:+.3f} dB" for qp, gain in per_qp]
    return "<br>".join(lines)


def runtime_title(records: Iterable[Record]) -> str:
    """What a runtime axis shows: measured or predicted, for which device."""
    for record in records:
        if record.outcome is not None and record.outcome.runtime is not None:
            runtime = record.outcome.runtime
            return f"runtime [ms], {runtime.kind} for {runtime.target}"
    return "runtime [ms]"


def survey_points() -> list[tuple[float, float, str]]:
    """Runtime in ms, gain in dB and words of the survey's entries that have both."""
    return [
        (
            network.table1.runtime_ms,
            network.table1.gain_db,
            f"<b>{name}</b><br>{network.table1.gain_db:+.2f} dB at "
            f"{network.table1.runtime_ms:g} ms<br>as published: other pictures, full training",
        )
        for name, network in published.items()
        if network.table1.gain_db is not None
    ]


def shade(share: float) -> str:
    """The colour at a place between 0 and 1 of the scale that serves light and dark pages."""
    for (low, first), (high, second) in itertools.pairwise(_LOW_TO_HIGH):
        if share <= high:
            part = (share - low) / (high - low)
            ends = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (first, second)]
            mixed = [round(a + (b - a) * part) for a, b in zip(*ends, strict=True)]
            return "#" + "".join(f"{value:02x}" for value in mixed)
    return _LOW_TO_HIGH[-1][1]


def colours(count: int) -> list[str]:
    """Colours for that many studies beside each other."""
    return [STUDIES[index % len(STUDIES)] for index in range(count)]


def _labels(members: Sequence[Member]) -> list[str]:
    """Trials of the front's members, where they do not lie over each other."""
    labels: list[str] = []
    last = -math.inf
    for place in (math.log10(member.runtime_ms) for member in members):
        clear = place - last > _LABEL
        labels.append(str(members[len(labels)].trial) if clear else "")
        last = place if clear else last
    return labels


def _limit(figure: go.Figure, ms: float, words: str) -> None:
    figure.add_vline(x=ms, line={"color": LIMIT, "width": 1.5})
    figure.add_annotation(
        x=math.log10(ms),  # on a logarithmic axis notes stand at logarithms, lines at values
        y=1,
        yref="paper",
        text=words,
        textangle=-90,
        showarrow=False,
        xanchor="right",
        yanchor="top",
        font={"color": LIMIT},
    )


def _gain_over_runtime(figure: go.Figure, seen: Sight, label: str) -> go.Figure:
    figure.add_hline(
        y=0,
        line={"color": GREY, "width": 1},
        annotation={"text": "Lanczos", "font": {"color": GREY}},
        annotation_position="bottom left",
    )
    figure.update_xaxes(
        type="log",
        title=label,
        tickvals=_TICKS,
        ticktext=[f"{tick:g}" for tick in _TICKS],
        tickangle=0,
        range=[math.log10(ms) for ms in seen.runtimes_ms],
    )
    figure.update_layout(legend=_LEGEND, hovermode="closest")
    # Not `update_yaxes`: the axis of those without a gain keeps its own range.
    figure.layout.yaxis.update(
        title="PSNR-Y gain over Lanczos [dB]", tickformat="+.3~f", range=seen.gains_db
    )
    return figure


_Point = tuple[float, float, str]


def _points(
    figure: go.Figure, name: str, points: Sequence[_Point], colour: str, symbol: str, size: int
) -> None:
    if points:
        figure.add_scatter(
            x=[ms for ms, _, _ in points],
            y=[gain for _, gain, _ in points],
            mode="markers",
            marker={"symbol": symbol, "color": colour, "size": size, **_outline(colour)},
            opacity=0.6 if colour == OTHER else 1.0,
            name=name,
            hovertext=[words for _, _, words in points],
            hoverinfo="text",
        )


def _outline(colour: str) -> dict[str, Any]:
    return {"line": {"width": 1.3, "color": colour}}


def _rug(figure: go.Figure, name: str, points: Sequence[tuple[float, str]]) -> None:
    if points:
        figure.add_scatter(
            x=[ms for ms, _ in points],
            y=[_RUG] * len(points),
            yaxis="y2",
            mode="markers",
            marker={"symbol": "line-ns-open", "color": GREY, "size": 10, **_outline(GREY)},
            name=name,
            hovertext=[words for _, words in points],
            hoverinfo="text",
        )
        figure.update_layout(
            yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
        )


def _point(member: Member, outcome: Outcome | None) -> _Point:
    return member.runtime_ms, member.gain_db, hover(member, outcome)


def _stopped(records: Iterable[Record]) -> Iterable[_Point]:
    for record in records:
        outcome = record.outcome
        if (
            isinstance(outcome, Rejected)
            and outcome.limit == "rung"
            and outcome.runtime is not None
            and outcome.curve
            and record.duplicate_of is None
        ):
            words = f"<b>trial {record.trial}: {escape(record.candidate.name)}</b>"
            words += f"<br>{escape(outcome.reason)}"
            yield outcome.runtime.ms, outcome.curve[-1].gain_db, words


def _untrained(records: Iterable[Record]) -> Iterable[tuple[float, str]]:
    for record in records:
        outcome = record.outcome
        over = isinstance(outcome, Rejected) and outcome.limit != "rung"
        if (over or isinstance(outcome, Broken)) and record.duplicate_of is None:
            assert isinstance(outcome, Rejected | Broken)
            if outcome.runtime is not None:
                words = f"<b>trial {record.trial}: {escape(record.candidate.name)}</b>"
                words += f"<br>{outcome.runtime.ms:.2f} ms, not trained: {escape(outcome.reason)}"
                yield outcome.runtime.ms, words
