"""The pictures of a study for paper, front and hypervolume; and its files for the eye."""

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
from studies.report.axes import Sight, runtime_label, study_sight, survey_points
from studies.report.summary import Places
from studies.results.front import (
    Member,
    eligible,
    front,
    hypervolume_history,
    reference_of,
    trained,
)

if TYPE_CHECKING:
    from types import ModuleType

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from studies.core.info import StudyInfo
    from studies.report.data import Evidence

_COLOURS = {1: "#1f6feb", 2: "#d1242f", 3: "#2da44e", 4: "#8250df"}
"""By working resolution: LR sides are divided by this."""


def scatter(found: Mapping[str, Any]) -> bytes:
    """Draw the document of `nas.training.proxy.check.document`; returns a PNG."""
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
        told = f"{steps} steps" if steps else "before any training"
        panel.set_title(
            f"{told}: Kendall {guess['kendall']:+.2f} "
            f"({guess['kendall_low']:+.2f} to {guess['kendall_high']:+.2f})",
            loc="left",
            fontsize=10,
        )
        panel.set_xlabel(f"gain by the reference ({found['reference']}) [dB]", fontsize=8)
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
    return png(figure)


_FRONT, _OTHER, _SURVEY, _LIMIT = "#1f6feb", "#8fb8f5", "#8a8f98", "#d1242f"
_TITLE = "PSNR-Y gain over Lanczos against runtime"


def front_figure(records: Sequence[Record], budget: Budget, title: str = _TITLE) -> Figure:
    """Matplotlib figure: trained candidates, the front, those too slow, and the survey's entries.

    Candidates that tint are crosses: no front has them. Those over another limit were never
    trained: they stand as ticks on the runtime axis. The survey's entries are its own figures
    (other pictures, full training): a reference of shape, which does not decide what is in sight.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    done = trained(records)
    seen = study_sight(done, records, budget)
    _draw_survey(axes, seen)
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
    _draw_band(axes, front(done), seed_noise(records), budget.runtime_ms or seen.runtimes_ms[1])
    _draw_front(axes, front(done))
    if slow := _infeasible_ms(records):
        transform = axes.get_xaxis_transform()
        axes.plot(slow, [0.015] * len(slow), "|", color=_SURVEY, transform=transform, markersize=9)
    if budget.runtime_ms:
        _draw_budget(axes, budget.runtime_ms)
    axes.axhline(0, color="black", linewidth=0.6)
    by_octaves(axes)
    axes.set_xlim(seen.runtimes_ms)
    axes.set_ylim(seen.gains_db)
    _tell_hidden(axes, sum(not seen.holds(m.runtime_ms, m.gain_db) for m in done))
    axes.set_xlabel(runtime_label(records))
    axes.set_ylabel("PSNR-Y gain over Lanczos, mean over QPs [dB]")
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(True, which="major", linewidth=0.3)
    # Below the axes, where it covers no candidate.
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
    return figure


def write(
    info: StudyInfo, records: Sequence[Record], folder: Path, places: Places
) -> dict[str, Path]:
    """Draw a study's figures and pages into its folder and return their paths by name.

    A figure that cannot be drawn or written is left out: results never hang on one.
    """
    drawings = {
        "front.png": lambda: png(front_figure(records, info.budget, f"{info.name}: {_TITLE}")),
        "hypervolume.png": lambda: png(hypervolume_figure(records, info.budget)),
        "front.html": lambda: _pages().front_page(info, records).encode(),
        "report.html": lambda: _pages().report(info, records, places, _promoted(folder)).encode(),
    }
    for file, drawing in drawings.items():
        with suppress(Exception):
            write_atomic(folder / file, drawing())
    return written(folder)


def written(folder: Path) -> dict[str, Path]:
    """Return the figures and pages that lie in a study's folder, by name."""
    names = ("front.png", "front.html", "hypervolume.png", "report.html")
    return {name: folder / name for name in names if (folder / name).is_file()}


def png(figure: Figure) -> bytes:
    """A matplotlib figure as a PNG file's bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def by_octaves(axes: Axes) -> None:
    """Have runtimes by their logarithm, with plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def hypervolume_figure(records: Sequence[Record], budget: Budget) -> Figure:
    """Matplotlib figure: dominated hypervolume after each trained candidate."""
    from matplotlib.figure import Figure

    reference = reference_of(trained(records), budget)
    curve = hypervolume_history(records, reference)
    figure = Figure(figsize=(8, 3.2), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    axes.step(range(1, len(curve) + 1), curve, where="post", color=_FRONT)
    axes.set_xlabel("trained candidates")
    axes.set_ylabel("hypervolume [dB x octaves]")
    axes.set_title(f"reference: 0 dB at {reference.runtime_ms:g} ms", loc="left", fontsize=9)
    axes.grid(True, linewidth=0.3)
    return figure


def _pages() -> ModuleType:
    """The pages' module: here, because it imports Plotly and what upscales pictures."""
    from studies.report import report

    return report


def _promoted(folder: Path) -> Evidence:
    from studies.report.data import Evidence
    from studies.results.promotions import ended

    return Evidence(promoted=tuple(ended(folder).values()))


def _draw_survey(axes: Axes, seen: Sight) -> None:
    survey = survey_points()
    beyond = sum(not seen.holds(runtime_ms, gain_db) for _, runtime_ms, gain_db in survey)
    axes.scatter(
        [runtime_ms for _, runtime_ms, _ in survey],
        [gain_db for *_, gain_db in survey],
        marker="x",
        s=24,
        linewidths=1,
        color=_SURVEY,
        label="survey, Table 1: other pictures, full training"
        + (f" ({beyond} of {len(survey)} beyond the axes)" if beyond else ""),
    )


def _draw_band(axes: Axes, members: Sequence[Member], noise: Noise, end_ms: float) -> None:
    """The seed noise of single trainings around the front, on to a runtime."""
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
    """The front as stairs, each member by its trial, with error bars where seeds were repeated."""
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
            capsize=4,  # beyond the marker, which would hide a short one
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


def _tell_hidden(axes: Axes, hidden: int) -> None:
    """Say how many are cut off, far below the others."""
    if hidden:
        told = f"{hidden} trained far below the others are not shown"
        axes.annotate(told, (0.01, 0.02), xycoords="axes fraction", fontsize=8, color=_SURVEY)


def _infeasible_ms(records: Sequence[Record]) -> list[float]:
    return [
        record.outcome.runtime.ms
        for record in records
        if record.outcome is not None
        and not isinstance(record.outcome, Trained)
        and record.outcome.runtime is not None
        and record.duplicate_of is None
    ]
