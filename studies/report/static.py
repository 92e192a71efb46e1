"""Figures as PNG files by matplotlib, and the figures and pages in a study's folder."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.common.files import write_atomic
from studies.core.budget import Budget
from studies.core.noise import Noise, seed_noise
from studies.core.outcome import Trained
from studies.core.record import Record
from studies.report.axes import AxisLimits, runtime_label, study_limits, survey_points
from studies.report.cli_hints import CommandHints
from studies.report.page import LIMIT, colours
from studies.results.front import (
    Member,
    eligible,
    front,
    trained,
)

if TYPE_CHECKING:
    from types import ModuleType

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from studies.core.info import StudyInfo
    from studies.report.data import ReportData
    from studies.results.compare import Comparison

_COLOURS = {1: "#1f6feb", 2: "#d1242f", 3: "#2da44e", 4: "#8250df"}
"""By working resolution: the divisor of the LR sides."""


def proxy_check_png(found: Mapping[str, Any]) -> bytes:
    """Plot the gains of proxy runs against the reference, from the document of the check."""
    from matplotlib.figure import Figure

    networks = found["networks"]
    references = [network["reference_gain_db"] for network in networks]
    middle = (min(references) + max(references)) / 2
    budgets = sorted(int(steps) for steps in networks[0]["runs"])
    judged = {guess["steps"]: guess for guess in found["guesses"] if "gain" in guess["name"]}
    figure = Figure(figsize=(4.6 * len(budgets), 4.8), dpi=120, layout="constrained")
    axes = figure.subplots(1, len(budgets), squeeze=False)[0]
    for panel, steps in zip(axes, budgets, strict=True):
        for network in networks:
            gains = [run["gain_db"] for run in network["runs"][str(steps)]]
            mean = sum(gains) / len(gains)
            spread = [[mean - min(gains)], [max(gains) - mean]]
            colour = _COLOURS[network["working_factor"]]
            panel.errorbar(
                network["reference_gain_db"], mean, spread, fmt="o", color=colour, capsize=2, ms=5
            )
            right = network["reference_gain_db"] > middle
            panel.annotate(
                network["name"],
                (network["reference_gain_db"], mean),
                xytext=(-5, 4) if right else (5, 4),
                ha="right" if right else "left",
                textcoords="offset points",
                fontsize=7,
                color="#57606a",
            )
        guess = judged[steps]
        title = f"{steps} steps" if steps else "before any training"
        panel.set_title(
            f"{title}: Kendall {guess['kendall']:+.2f} "
            f"({guess['kendall_low']:+.2f} to {guess['kendall_high']:+.2f})",
            loc="left",
            fontsize=10,
        )
        panel.set_xlabel(f"gain of the reference ({found['reference']}) [dB]", fontsize=8)
        panel.set_ylabel("gain of the proxy run [dB], bars: all seeds", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.margins(x=0.15, y=0.1)
        panel.grid(True, linewidth=0.3)
    present = sorted({network["working_factor"] for network in networks})
    names = {1: "full LR", 2: "half", 3: "third", 4: "quarter"}
    handles = [
        axes[0].plot([], [], "o", color=_COLOURS[factor], label=names[factor])[0]
        for factor in present
    ]
    axes[0].legend(handles=handles, title="working resolution", fontsize=7, title_fontsize=7)
    return _png(figure)


_FRONT, _OTHER, _SURVEY, _LIMIT = "#1f6feb", "#8fb8f5", "#8a8f98", "#d1242f"
_TITLE = "PSNR-Y gain over Lanczos against runtime"


def front_figure(records: Sequence[Record], budget: Budget, title: str = _TITLE) -> Figure:
    """Plot trained candidates, the front, rejected candidates, and the survey's networks.

    Candidates that tint are crosses. Candidates without training are ticks on the runtime axis. The
    survey's figures (other images, full training) are a reference of the shape only, and do not
    decide the axes.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    done = trained(records)
    limits = study_limits(done, records, budget)
    _draw_survey(axes, limits)
    within = eligible(done)
    axes.scatter(
        [member.runtime_ms for member in within],
        [member.gain_db for member in within],
        s=22,
        color=_OTHER,
        label="trained",
    )
    if tinted := [member for member in done if member.tints]:
        axes.scatter(
            [member.runtime_ms for member in tinted],
            [member.gain_db for member in tinted],
            marker="+",
            s=40,
            linewidths=1.2,
            color=_LIMIT,
            label="trained, but it tints",
        )
    _draw_band(axes, front(done), seed_noise(records), budget.runtime_ms or limits.runtimes_ms[1])
    _draw_front(axes, front(done))
    if slow := _untrained_ms(records):
        transform = axes.get_xaxis_transform()
        axes.plot(slow, [0.015] * len(slow), "|", color=_SURVEY, transform=transform, markersize=9)
    if budget.runtime_ms:
        _draw_budget(axes, budget.runtime_ms)
    _label_axes(axes, runtime_label(records))
    axes.set_xlim(limits.runtimes_ms)
    axes.set_ylim(limits.gains_db)
    if hidden := sum(not limits.contains(m.runtime_ms, m.gain_db) for m in done):
        note = f"{hidden} trained far below the others are not shown"
        axes.annotate(note, (0.01, 0.02), xycoords="axes fraction", fontsize=8, color=_SURVEY)
    axes.set_title(title, loc="left", fontsize=11)
    # Below the axes, where it covers no candidate.
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
    return figure


def overlay_png(comparison: Comparison, limits_ms: Sequence[float]) -> bytes:
    """Plot the fronts of studies that are compared, with their runtime budgets."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    entries = comparison.entries
    for colour, entry in zip(colours(len(entries)), entries, strict=True):
        xs = [member.runtime_ms for member in entry.members]
        ys = [member.gain_db for member in entry.members]
        axes.step(xs, ys, where="post", color=colour, linewidth=1.2)
        axes.scatter(xs, ys, s=36, color=colour, label=entry.study, zorder=3)
    for limit in sorted(set(limits_ms)):
        axes.axvline(limit, color=LIMIT, linewidth=1, linestyle=":")
    _label_axes(axes, comparison.runtime_label)
    axes.legend(fontsize=8, loc="lower right")
    return _png(figure)


def write(
    info: StudyInfo, records: Sequence[Record], folder: Path, hints: CommandHints
) -> dict[str, Path]:
    """Write a study's figures and pages into its folder, best-effort; return paths by name."""
    drawings = {
        "front.png": lambda: _png(front_figure(records, info.budget, f"{info.name}: {_TITLE}")),
        "front.html": lambda: _pages().front_page(info, records).encode(),
        "report.html": lambda: _pages().report(info, records, hints, _promoted(folder)).encode(),
    }
    for file, drawing in drawings.items():
        with suppress(Exception):
            write_atomic(folder / file, drawing())
    return written(folder)


def written(folder: Path) -> dict[str, Path]:
    """Return the figures and pages in a study's folder, by name."""
    names = ("front.png", "front.html", "report.html")
    return {name: folder / name for name in names if (folder / name).is_file()}


def _png(figure: Figure) -> bytes:
    """Return a figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _label_axes(axes: Axes, runtimes: str) -> None:
    """Label the axes of a front; the runtime axis is logarithmic, with plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_xlabel(runtimes)
    axes.set_ylabel("PSNR-Y gain over Lanczos, mean over QPs [dB]")
    axes.grid(True, which="major", linewidth=0.3)


def _pages() -> ModuleType:
    """Import the pages late: they need Plotly and PyTorch."""
    from studies.report import report

    return report


def _promoted(folder: Path) -> ReportData:
    from studies.report.data import ReportData
    from studies.results.promotions import ended

    return ReportData(promoted=tuple(ended(folder).values()))


def _draw_survey(axes: Axes, limits: AxisLimits) -> None:
    survey = survey_points()
    beyond = sum(not limits.contains(runtime_ms, gain_db) for _, runtime_ms, gain_db in survey)
    axes.scatter(
        [runtime_ms for _, runtime_ms, _ in survey],
        [gain_db for *_, gain_db in survey],
        marker="x",
        s=24,
        linewidths=1,
        color=_SURVEY,
        label="survey, Table 1: other images, full training"
        + (f" ({beyond} of {len(survey)} beyond the axes)" if beyond else ""),
    )


def _draw_band(axes: Axes, members: Sequence[Member], noise: Noise, end_ms: float) -> None:
    """Fill the seed noise of single trainings around the front, up to a runtime."""
    if members:
        gains = [member.gain_db for member in (*members, members[-1])]
        axes.fill_between(
            [*(member.runtime_ms for member in members), end_ms],
            [gain - noise.sd_db for gain in gains],
            [gain + noise.sd_db for gain in gains],
            step="post",
            color=_FRONT,
            alpha=0.14,
            linewidth=0,
            label=f"± {noise}",
        )


def _draw_front(axes: Axes, members: Sequence[Member]) -> None:
    """Draw the front as steps, labelled by trial, with error bars of repeated trainings."""
    xs = [member.runtime_ms for member in members]
    ys = [member.gain_db for member in members]
    repeated = any(member.gain_sd_db for member in members)
    axes.step(xs, ys, where="post", color=_FRONT, linewidth=1.2)
    axes.scatter(xs, ys, s=20 if repeated else 40, color=_FRONT, zorder=3, label="front")
    if repeated:
        axes.errorbar(
            xs,
            ys,
            yerr=[member.gain_sd_db or 0.0 for member in members],
            fmt="none",
            ecolor=_FRONT,
            elinewidth=1,
            capsize=4,  # wider than the marker, which would hide a short bar
            label="standard deviation over seeds",
        )
    for member in members:
        axes.annotate(
            str(member.trial),
            (member.runtime_ms, member.gain_db),
            textcoords="offset points",
            xytext=(4, 5),
            fontsize=8,
        )


def _draw_budget(axes: Axes, runtime_ms: float) -> None:
    axes.axvline(runtime_ms, color=_LIMIT, linewidth=1)
    axes.annotate(
        f" budget {runtime_ms:g} ms",
        (runtime_ms, 0.98),
        xycoords=("data", "axes fraction"),
        color=_LIMIT,
        fontsize=8,
        ha="right",
        va="top",
        rotation=90,
    )


def _untrained_ms(records: Sequence[Record]) -> list[float]:
    return [
        record.outcome.runtime.ms
        for record in records
        if record.outcome is not None
        and not isinstance(record.outcome, Trained)
        and record.outcome.runtime is not None
        and record.duplicate_of is None
    ]
