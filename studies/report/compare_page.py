"""Studies beside each other as a page and as a figure for paper."""

from __future__ import annotations

from collections.abc import Sequence

from studies.report.page import LIMIT, Column, Section, colours, page, paragraph, plot, table
from studies.report.plots import overlay_plot
from studies.report.static import by_octaves, png
from studies.results.compare import Comparison, Lead


def told(lead: Lead, digits: int) -> str:
    """One sentence on who leads in a range of runtimes, and by how much, to so many decimals."""
    where = f"{lead.from_ms:.3f} to {lead.to_ms:.3f} ms"
    if lead.study is None:
        return f"{where}: equal"
    if lead.least_db is None or lead.most_db is None:
        return f"{where}: {lead.study} alone"
    least, most = f"{lead.least_db:.{digits}f}", f"{lead.most_db:.{digits}f}"
    return f"{where}: {lead.study} by {least if least == most else f'{least} to {most}'} dB"


def comparison_page(found: Comparison, limits_ms: Sequence[float]) -> str:
    """Return a comparison as one self-contained HTML page.

    Args:
        found: The comparison.
        limits_ms: Budgets of the studies, drawn into the figure.
    """
    first = max(found.entries, key=lambda entry: entry.hypervolume)
    covered = f"{first.hypervolume:.{found.noise.digits}f}"
    lead = paragraph(
        f"The front of {first.study} covers most: {covered} dB x octaves above "
        f"Lanczos and faster than {found.reference_ms:g} ms. Gains are of proxy runs; runtimes "
        f"are {found.runtime_kind} for {found.target}; {found.noise}."
    )
    lead += "".join(paragraph(f"Mind: {note}.", "note") for note in found.notes)
    fronts = {entry.study: entry.members for entry in found.entries}
    figures = {"fronts": overlay_plot(fronts, _runtime_label(found), limits_ms, found.noise)}
    return page(
        f"Comparison of {', '.join(fronts)}",
        lead,
        [
            Section("fronts", "Fronts", plot("fronts", "Fronts over each other", 520)),
            Section("studies", "Studies", _studies(found)),
            Section("leads", "Who leads where", _leads(found)),
        ],
        figures,
    )


def overlay_png(found: Comparison, limits_ms: Sequence[float]) -> bytes:
    """Return the fronts over each other as a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    for colour, entry in zip(colours(len(found.entries)), found.entries, strict=True):
        xs = [member.runtime_ms for member in entry.members]
        ys = [member.gain_db for member in entry.members]
        axes.step(xs, ys, where="post", color=colour, linewidth=1.2)
        axes.scatter(xs, ys, s=36, color=colour, label=entry.study, zorder=3)
    for limit in sorted(set(limits_ms)):
        axes.axvline(limit, color=LIMIT, linewidth=1, linestyle=":")
    axes.axhline(0, color="black", linewidth=0.6)
    by_octaves(axes)
    axes.set_xlabel(_runtime_label(found))
    axes.set_ylabel("PSNR-Y gain over Lanczos, mean over QPs [dB]")
    axes.grid(True, which="major", linewidth=0.3)
    axes.legend(fontsize=8, loc="lower right")
    return png(figure)


def _studies(found: Comparison) -> str:
    columns = [
        Column("study"),
        Column("trained", "d"),
        Column("front", "d"),
        Column("hypervolume", f".{found.noise.digits}f"),
        Column("leads in", ".0%"),
        Column("beaten", "d"),
        Column("best dB", f"+.{found.noise.digits}f"),
        Column("colour dB", f"+.{found.noise.digits}f"),
        Column("fastest ms", ".3f"),
    ]
    rows = [
        [
            entry.study,
            entry.trained,
            len(entry.members),
            entry.hypervolume,
            entry.leads,
            entry.beaten,
            entry.members[-1].gain_db,
            entry.colour_gain_db,
            entry.members[0].runtime_ms,
        ]
        for entry in found.entries
    ]
    return table(columns, rows) + paragraph(
        f"The hypervolume is counted from 0 dB at {found.reference_ms:g} ms for all of them. A "
        "front leads in a share of the octaves of runtime; beaten are those of its members that "
        "another front dominates. Colour is the least gain of Cb or Cr over Lanczos on the front.",
        "note",
    )


def _leads(found: Comparison) -> str:
    columns = [
        Column("from ms", ".3f"),
        Column("to ms", ".3f"),
        Column("study"),
        Column("by at least dB", f".{found.noise.digits}f"),
        Column("at most dB", f".{found.noise.digits}f"),
    ]
    rows = [
        [lead.from_ms, lead.to_ms, lead.study or "equal", lead.least_db, lead.most_db]
        for lead in found.leads
    ]
    body = table(columns, rows)
    body += "<h3>Highest gain within a runtime</h3>"
    names = [entry.study for entry in found.entries]
    columns = [Column("ms", ".3f"), *(Column(n, f"+.{found.noise.digits}f") for n in names)]
    reached = [[row["runtime_ms"], *(row[name] for name in names)] for row in found.attainment]
    return body + table(columns, reached)


def _runtime_label(found: Comparison) -> str:
    return f"runtime at 540x960 [ms], {found.runtime_kind} for {found.target}"
