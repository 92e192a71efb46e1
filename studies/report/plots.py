"""The interactive figures of fronts: gain over runtime. Their theme comes from `page.js`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, TypeAlias

import plotly.graph_objects as go

from nas.measure.colour import colour_words, db_cell
from studies.core.budget import Budget
from studies.core.noise import Noise, seed_noise
from studies.core.outcome import Broken, Outcome, Rejected, Trained
from studies.core.record import Record
from studies.report.axes import Sight, runtime_label, sight, study_sight, survey_points
from studies.report.page import BAND, FRONT, GREY, LABEL, LEGEND, LIMIT, OTHER, TICKS_MS, colours
from studies.results.front import Member, eligible, front

_RUG = 0.03  # height of the marks of those without a gain

_Point: TypeAlias = tuple[float, float, str]
"""Runtime in ms, gain in dB, and what the pointer shows."""


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
    members, noise = front(done), seed_noise(records)
    repeated = any(member.gain_sd_db for member in members)
    outcomes = {record.trial: record.outcome for record in records}
    figure = go.Figure()
    _points(figure, "survey, full training", _survey(), GREY, "x-thin-open", 8)
    line = {member.trial for member in members}
    rest = [member for member in eligible(done) if member.trial not in line]
    _points(
        figure, "trained", [_point(m, outcomes[m.trial], noise) for m in rest], OTHER, "circle", 9
    )
    tinted = [_point(m, outcomes[m.trial], noise) for m in done if m.tints]
    _points(figure, "trained, but it tints", tinted, LIMIT, "cross-thin-open", 9)
    _points(figure, "stopped early", list(_stopped(records)), GREY, "circle-open", 8)
    seen = study_sight(done, records, budget)
    _band(figure, members, noise, budget.runtime_ms or seen.runtimes_ms[1])
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
        hovertext=[hover(member, outcomes[member.trial], noise) for member in members],
        hoverinfo="text",
    )
    _rug(figure, "not trained", list(_untrained(records)))
    if budget.runtime_ms:
        _limit(figure, budget.runtime_ms, f"budget {budget.runtime_ms:g} ms")
    return _gain_over_runtime(figure, seen, runtime_label(records))


def overlay_plot(
    fronts: Mapping[str, Sequence[Member]], label: str, budget_ms: Sequence[float], noise: Noise
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
            hovertext=[f"{escape(name)}<br>{hover(member, None, noise)}" for member in members],
            hoverinfo="text",
        )
    for limit in sorted(set(budget_ms)):
        _limit(figure, limit, f"budget {limit:g} ms")
    every = [member for members in fronts.values() for member in members]
    return _gain_over_runtime(figure, sight(every, runtimes_ms=budget_ms), label)


def hover(member: Member, outcome: Outcome | None, noise: Noise) -> str:
    """What the pointer shows of a trained candidate, in Plotly's markup."""
    digits = noise.digits
    lines = [
        f"<b>{escape(member.title)}</b>",
        f"{db_cell(member.gain_db, digits)} dB at {member.runtime_ms:.3f} ms {member.runtime_kind}",
        f"{member.params:,} parameters, {member.macs_g:.2f} G MACs",
    ]
    if member.colour_gain_db is not None:
        colour = colour_words(member.gain_cb_db, member.gain_cr_db, digits)
        lines.append(colour + (": it tints" if member.tints else ""))
    if member.gain_sd_db is not None:
        lines.append(f"±{member.gain_sd_db:.{digits}f} dB over {member.trainings} trainings")
    if member.front_probability is not None:
        lines.append(f"on the front with probability {member.front_probability:.0%} ({noise})")
    if member.memory_mb is not None:
        lines.append(f"{member.memory_mb:.1f} MB at the peak")
    if isinstance(outcome, Trained):
        per_qp = sorted(outcome.gain_db_per_qp.items())
        lines += [f"QP {qp}: {db_cell(gain, digits)} dB" for qp, gain in per_qp]
    return "<br>".join(lines)


def _survey() -> list[_Point]:
    return [
        (
            runtime_ms,
            gain_db,
            f"<b>{name}</b><br>{gain_db:+.2f} dB at {runtime_ms:g} ms<br>as published: other "
            "pictures, full training",
        )
        for name, runtime_ms, gain_db in survey_points()
    ]


def _labels(members: Sequence[Member]) -> list[str]:
    """Trials of the front's members, where they do not lie over each other."""
    labels: list[str] = []
    last = -math.inf
    for place in (math.log10(member.runtime_ms) for member in members):
        clear = place - last > LABEL
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
        tickvals=TICKS_MS,
        ticktext=[f"{tick:g}" for tick in TICKS_MS],
        tickangle=0,
        range=[math.log10(ms) for ms in seen.runtimes_ms],
    )
    figure.update_layout(legend=LEGEND, hovermode="closest")
    # Not `update_yaxes`: the axis of those without a gain keeps its own range.
    figure.layout.yaxis.update(
        title="PSNR-Y gain over Lanczos [dB]", tickformat="+.3~f", range=seen.gains_db
    )
    return figure


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


def _band(figure: go.Figure, members: Sequence[Member], noise: Noise, end_ms: float) -> None:
    """The seed noise of single trainings around the front, on to a runtime: an outline, filled."""
    starts = [member.runtime_ms for member in members]
    ends = [*starts, end_ms][1:]
    times = [ms for step in zip(starts, ends, strict=True) for ms in step]
    gains = [member.gain_db for member in members for _ in range(2)]
    line = list(zip(times, gains, strict=True))
    outline = [(ms, gain + noise.sd_db) for ms, gain in line]
    outline += [(ms, gain - noise.sd_db) for ms, gain in reversed(line)]
    figure.add_scatter(
        x=[ms for ms, _ in outline],
        y=[gain for _, gain in outline],
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=BAND,
        name=f"± {noise}",
        hoverinfo="skip",
    )


def _point(member: Member, outcome: Outcome | None, noise: Noise) -> _Point:
    return member.runtime_ms, member.gain_db, hover(member, outcome, noise)


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
            words = f"<b>{escape(record.candidate.title)}</b>"
            words += f"<br>{escape(outcome.reason)}"
            yield outcome.runtime.ms, outcome.curve[-1].gain_db, words


def _untrained(records: Iterable[Record]) -> Iterable[tuple[float, str]]:
    for record in records:
        outcome = record.outcome
        over = isinstance(outcome, Rejected) and outcome.limit != "rung"
        if (over or isinstance(outcome, Broken)) and record.duplicate_of is None:
            assert isinstance(outcome, Rejected | Broken)
            if outcome.runtime is not None:
                words = f"<b>{escape(record.candidate.title)}</b>"
                words += f"<br>{outcome.runtime.ms:.2f} ms, not trained: {escape(outcome.reason)}"
                yield outcome.runtime.ms, words
