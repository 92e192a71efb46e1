"""Comparison of studies as an HTML page."""

from __future__ import annotations

from collections.abc import Sequence

from studies.report.page import Section, page, paragraph, plot
from studies.report.plots import overlay_plot
from studies.report.tables import attainment_table, comparison_table, leads_table
from studies.results.compare import Comparison, Lead


def describe_lead(lead: Lead, digits: int) -> str:
    """Say which study leads in a range of runtimes, and by how many dB, to so many decimals."""
    where = f"{lead.from_ms:.3f} to {lead.to_ms:.3f} ms"
    if lead.study is None:
        return f"{where}: equal"
    if lead.least_db is None or lead.most_db is None:
        return f"{where}: only {lead.study}"
    least, most = f"{lead.least_db:.{digits}f}", f"{lead.most_db:.{digits}f}"
    return f"{where}: {lead.study} by {least if least == most else f'{least} to {most}'} dB"


def comparison_page(comparison: Comparison, limits_ms: Sequence[float]) -> str:
    """Return a comparison as one self-contained HTML page.

    Args:
        comparison: The comparison.
        limits_ms: Runtime budgets of the studies, drawn into the figure.
    """
    noise = comparison.noise
    first = max(comparison.entries, key=lambda entry: entry.hypervolume)
    lead = paragraph(
        f"The front of {first.study} has the largest hypervolume: "
        f"{first.hypervolume:.{noise.digits}f} dB x octaves above Lanczos and faster than "
        f"{comparison.reference_ms:g} ms. Gains are of proxy runs; runtimes are "
        f"{comparison.runtime_kind} for {comparison.target}; {noise}."
    )
    lead += "".join(paragraph(f"Note: {note}.", "note") for note in comparison.notes)
    fronts = {entry.study: entry.members for entry in comparison.entries}
    studies = comparison_table(comparison).html() + paragraph(
        f"All hypervolumes count from 0 dB at {comparison.reference_ms:g} ms. A front leads in a "
        "share of the octaves of runtime; beaten are those of its members that another front "
        "dominates. Colour is the lowest gain of Cb or Cr over Lanczos on the front.",
        "note",
    )
    leads = leads_table(comparison).html()
    leads += "<h3>Highest gain within a runtime</h3>" + attainment_table(comparison).html()
    return page(
        f"Comparison of {', '.join(fronts)}",
        lead,
        [
            Section("fronts", "Fronts", plot("fronts", "Fronts of all studies", 520)),
            Section("studies", "Studies", studies),
            Section("leads", "Who leads where", leads),
        ],
        {"fronts": overlay_plot(fronts, comparison.runtime_label, limits_ms, noise)},
    )
