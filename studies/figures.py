"""The pictures of a study, front and hypervolume: PNG for paper, HTML for the eye."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from search_spaces.files import write_atomic
from studies.front import Member, front, hypervolume_history, reference_of, trained
from studies.limits import Budget
from studies.outcome import Outcome, Trained
from studies.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOWEST_DB = -0.5
_FRONT, _OTHER, _SURVEY, _LIMIT = "#1f6feb", "#8fb8f5", "#8a8f98", "#d1242f"
_TITLE = "PSNR-Y gain over Lanczos against runtime"


def front_figure(records: Sequence[Record], budget: Budget, title: str = _TITLE) -> Figure:
    """Matplotlib figure: trained candidates, the front, those too slow, and the survey's entries.

    Candidates over a limit were never trained: they stand as ticks on the runtime axis. The
    survey's entries are its own figures (other pictures, full training): a reference of shape.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(8, 5), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    done = trained(records)
    members = front(done)
    survey = _survey()
    axes.scatter(
        [ms for _, ms, _ in survey],
        [gain for _, _, gain in survey],
        marker="x",
        s=24,
        linewidths=1,
        color=_SURVEY,
        label="survey, Table 1 (other pictures, full training)",
    )
    axes.scatter(
        [member.runtime_ms for member in done],
        [member.gain_db for member in done],
        s=22,
        color=_OTHER,
        label="trained",
    )
    xs = [member.runtime_ms for member in members]
    ys = [member.gain_db for member in members]
    axes.step(xs, ys, where="post", color=_FRONT, linewidth=1.2)
    axes.scatter(xs, ys, s=40, color=_FRONT, zorder=3, label="front")
    for member in members:
        axes.annotate(
            str(member.trial),
            (member.runtime_ms, member.gain_db),
            textcoords="offset points",
            xytext=(4, 5),
            fontsize=8,
        )
    slow = _infeasible_ms(records)
    if slow:
        transform = axes.get_xaxis_transform()
        axes.plot(slow, [0.015] * len(slow), "|", color=_SURVEY, transform=transform, markersize=9)
    if budget.runtime_ms:
        axes.axvline(budget.runtime_ms, color=_LIMIT, linewidth=1)
        axes.annotate(
            f" budget {budget.runtime_ms:g} ms",
            (budget.runtime_ms, 0.98),
            xycoords=("data", "axes fraction"),
            color=_LIMIT,
            fontsize=8,
            ha="right",
            va="top",
            rotation=90,
        )
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    _keep_in_sight(axes, [member.gain_db for member in done])
    axes.set_xlabel(_runtime_label(records))
    axes.set_ylabel("PSNR-Y gain over Lanczos, mean over QPs [dB]")
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(True, which="major", linewidth=0.3)
    axes.legend(fontsize=8, loc="lower right")
    return figure


def write(name: str, budget: Budget, records: Sequence[Record], folder: Path) -> dict[str, Path]:
    """Draw a study's figures into its folder and return their paths by name.

    A figure that cannot be drawn or written is left out: results never hang on one.
    """
    title = f"{name}: {_TITLE}"
    drawings = {
        "front.png": lambda: png(front_figure(records, budget, title)),
        "front.html": lambda: front_html(records, budget, title).encode(),
        "hypervolume.png": lambda: png(hypervolume_figure(records, budget)),
    }
    for file, drawing in drawings.items():
        with suppress(Exception):
            write_atomic(folder / file, drawing())
    return written(folder)


def written(folder: Path) -> dict[str, Path]:
    """Return the figures that lie in a study's folder, by name."""
    paths = [folder / name for name in ("front.png", "front.html", "hypervolume.png")]
    return {path.name: path for path in paths if path.is_file()}


def png(figure: Figure) -> bytes:
    """A matplotlib figure as a PNG file's bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def front_html(records: Sequence[Record], budget: Budget, title: str = _TITLE) -> str:
    """The front as one self-contained interactive page: hover names the network and its figures."""
    import plotly.graph_objects as go

    done = trained(records)
    members = front(done)
    outcomes = {record.trial: record.outcome for record in records}
    survey = _survey()
    figure = go.Figure()
    figure.add_scatter(
        x=[ms for _, ms, _ in survey],
        y=[gain for _, _, gain in survey],
        mode="markers",
        marker={"symbol": "x-thin-open", "color": _SURVEY, "size": 8},
        name="survey, Table 1",
        hovertext=[f"{name} (survey: other pictures, full training)" for name, _, _ in survey],
        hoverinfo="text",
    )
    rest = tuple(member for member in done if member not in members)
    for name, chosen, colour, mode in (
        ("trained", rest, _OTHER, "markers"),
        ("front", members, _FRONT, "lines+markers"),
    ):
        figure.add_scatter(
            x=[member.runtime_ms for member in chosen],
            y=[member.gain_db for member in chosen],
            mode=mode,
            line={"shape": "hv", "width": 1.5},
            marker={"color": colour, "size": 10},
            name=name,
            hovertext=[_hover(member, outcomes[member.trial]) for member in chosen],
            hoverinfo="text",
        )
    slow = _infeasible_ms(records)
    if slow:
        figure.add_scatter(
            x=slow,
            y=[0.0] * len(slow),
            mode="markers",
            marker={"symbol": "line-ns-open", "color": _SURVEY, "size": 10},
            name="over a limit, not trained",
            hovertemplate="%{x:.2f} ms, not trained<extra></extra>",
        )
    if budget.runtime_ms:
        figure.add_vline(
            x=budget.runtime_ms,
            line={"color": _LIMIT, "width": 1},
            annotation_text=f"budget {budget.runtime_ms:g} ms",
        )
    figure.add_hline(y=0, line={"color": "black", "width": 0.6}, annotation_text="Lanczos")
    figure.update_layout(
        title=title,
        template="plotly_white",
        xaxis={"type": "log", "title": _runtime_label(records)},
        yaxis={"title": "PSNR-Y gain over Lanczos [dB]"},
        legend={"orientation": "h", "y": -0.2},
    )
    html: str = figure.to_html(include_plotlyjs=True, full_html=True, config={"responsive": True})
    return html


def hypervolume_figure(records: Sequence[Record], budget: Budget) -> Figure:
    """Matplotlib figure: dominated hypervolume after each trained candidate."""
    from matplotlib.figure import Figure

    reference = reference_of(trained(records), budget.runtime_ms)
    curve = hypervolume_history(records, reference)
    figure = Figure(figsize=(8, 3.2), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    axes.step(range(1, len(curve) + 1), curve, where="post", color=_FRONT)
    axes.set_xlabel("trained candidates")
    axes.set_ylabel("hypervolume [dB x octaves]")
    axes.set_title(f"reference: 0 dB at {reference:g} ms", loc="left", fontsize=9)
    axes.grid(True, linewidth=0.3)
    return figure


def _keep_in_sight(axes: Axes, gains: Sequence[float]) -> None:
    """Cut off what is far below Lanczos, and say how much: it would flatten the rest."""
    hidden = sum(gain < _LOWEST_DB for gain in gains)
    if hidden:
        axes.set_ylim(bottom=_LOWEST_DB)
        told = f"{hidden} trained below {_LOWEST_DB:g} dB are not shown"
        axes.annotate(told, (0.01, 0.02), xycoords="axes fraction", fontsize=8, color=_SURVEY)


def _survey() -> list[tuple[str, float, float]]:
    """Name, runtime in ms and gain in dB of the survey's entries that have both."""
    from search_spaces.survey import published

    rows = ((name, network.table1) for name, network in published.items())
    return [(name, row.runtime_ms, row.gain_db) for name, row in rows if row.gain_db is not None]


def _infeasible_ms(records: Sequence[Record]) -> list[float]:
    return [
        record.outcome.runtime.ms
        for record in records
        if record.outcome is not None
        and not isinstance(record.outcome, Trained)
        and record.outcome.runtime is not None
        and record.duplicate_of is None
    ]


def _runtime_label(records: Sequence[Record]) -> str:
    for record in records:
        if record.outcome is not None and record.outcome.runtime is not None:
            runtime = record.outcome.runtime
            return f"runtime at 540x960 [ms], {runtime.kind} for {runtime.target}"
    return "runtime [ms]"


def _hover(member: Member, outcome: Outcome | None) -> str:
    lines = [
        f"<b>trial {member.trial}: {member.name}</b>",
        f"{member.gain_db:+.3f} dB at {member.runtime_ms:.3f} ms {member.runtime_kind}",
        f"{member.params:,} parameters, {member.macs_g:.2f} G MACs",
    ]
    if member.memory_mb is not None:
        lines.append(f"{member.memory_mb:.1f} MB at the peak")
    if isinstance(outcome, Trained):
        per_qp = sorted(outcome.gain_db_per_qp.items())
        lines += [f"QP {qp}: {gain:+.3f} dB" for qp, gain in per_qp]
    return "<br>".join(lines)
