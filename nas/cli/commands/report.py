"""``nas report`` and ``nas compare``: pages on which a person decides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import AsJson, Plugins, Storage, StudyName
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING, Store

if TYPE_CHECKING:
    from studies.results.compare import Comparison


def report(
    study: StudyName = "latest",
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The page to write; it needs nothing else.")
    ] = Path("report.html"),
    data: Annotated[
        Path | None,
        typer.Option(help="The study's prepared set, if it is not where it was any more."),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Write what a study found as one HTML page: front, pictures, importance, what to do next."""
    from nas.cli.terminal import print_json, progress_bar, say
    from nas.common.files import write_atomic
    from search_spaces.plugins import load_all
    from studies.report.data import gather
    from studies.report.report import report as report_of
    from studies.report.summary import Places
    from studies.results.snapshot import load

    load_all(plugin or ())
    store = Store.parse(storage)
    snapshot = load(store, study)
    info, records = snapshot.info, snapshot.records
    with progress_bar("looking") as progress:
        evidence = gather(info, records, store.folder(info.name), data, progress)
    places = Places(storage, info.sources.get("tracking_uri") or DEFAULT_TRACKING)
    page = report_of(info, records, places, evidence).encode()
    write_atomic(output, page)
    if evidence.pictures is None:
        say(f"no pictures: {evidence.why_no_pictures}")
    if as_json:
        print_json({"report": str(output), "bytes": len(page)})
    else:
        print(f"report: {output}")


def compare(
    study: Annotated[
        list[str], typer.Argument(metavar="STUDY...", help="Two or more studies of the storage.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The page to write; a .png goes beside it.")
    ] = Path("comparison.html"),
    storage: Storage = DEFAULT_STORAGE,
    as_json: AsJson = False,
) -> None:
    """Compare studies: whose front covers more, and whose leads at which runtime."""
    from nas.cli.terminal import print_json, say
    from nas.common.errors import InputError
    from nas.common.files import write_atomic
    from studies.report.compare_page import comparison_page, overlay_png
    from studies.results.compare import compare as compared
    from studies.results.snapshot import load

    picture = output.with_suffix(".png")
    if picture == output:
        raise InputError(f"--output {output} is a picture's name: give the page's, as in both.html")
    store = Store.parse(storage)
    snapshots = [load(store, name) for name in study]
    found = compared(snapshots)
    for note in found.notes:
        say(f"note: {note}")
    budgets = [snapshot.budget.runtime_ms for snapshot in snapshots]
    limits = [ms for ms in budgets if ms is not None]
    write_atomic(output, comparison_page(found, limits).encode())
    write_atomic(picture, overlay_png(found, limits))
    if as_json:
        print_json(found.to_dict())
    else:
        _show(found)
        print(f"fronts over each other: {output}, {picture}")


def _show(found: Comparison) -> None:
    from nas.cli.terminal import show, table
    from nas.measure.colour import db_cell
    from studies.report.compare_page import told

    digits = found.noise.digits
    columns = ["study", "trained", "front", "hypervolume", "leads in", "beaten", "best dB"]
    columns += ["colour dB", "ms"]
    rows = [
        [
            entry.study,
            str(entry.trained),
            str(len(entry.members)),
            f"{entry.hypervolume:.{digits}f}",
            f"{entry.leads:.0%}",
            str(entry.beaten),
            db_cell(entry.members[-1].gain_db, digits),
            db_cell(entry.colour_gain_db, digits),
            f"{entry.members[0].runtime_ms:.3f} to {entry.members[-1].runtime_ms:.3f}",
        ]
        for entry in found.entries
    ]
    title = (
        f"hypervolume in dB x octaves from 0 dB at {found.reference_ms:g} ms; leads in a share of "
        "the octaves; colour is the least gain of Cb or Cr on the front; "
        f"runtimes {found.runtime_kind} for {found.target}; {found.noise}"
    )
    show(table(columns, rows, title))
    print()
    for lead in found.leads:
        print(told(lead, digits))
