"""``nas report`` and ``nas compare``: HTML pages on one study and on several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import AsJson, Plugins, Storage, StudyName
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING, Store


def report(
    study: StudyName = "latest",
    output: Annotated[
        Path, typer.Option("-o", "--output", help="HTML file to write; it is self-contained.")
    ] = Path("report.html"),
    data: Annotated[
        Path | None,
        typer.Option(help="Prepared dataset of the study; default where the study found it."),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Write the results of a study as one HTML page: front, images, importance, next steps."""
    from nas.cli.terminal import print_json, progress_bar, say
    from nas.common.files import write_atomic
    from search_spaces.plugins import load_all
    from studies.report.cli_hints import CommandHints
    from studies.report.data import collect
    from studies.report.report import report as report_of
    from studies.results.snapshot import load

    load_all(plugin or ())
    store = Store.parse(storage)
    snapshot = load(store, study)
    info, records = snapshot.info, snapshot.records
    with progress_bar("upscaling") as progress:
        report_data = collect(info, records, store.folder(info.name), data, progress)
    hints = CommandHints(storage, info.sources.get("tracking_uri") or DEFAULT_TRACKING)
    page = report_of(info, records, hints, report_data).encode()
    write_atomic(output, page)
    if report_data.images is None:
        say(f"no images: {report_data.why_no_images}")
    if as_json:
        print_json({"report": str(output), "bytes": len(page)})
    else:
        print(f"report: {output}")


def compare(
    study: Annotated[
        list[str], typer.Argument(metavar="STUDY...", help="Two or more studies of the storage.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="HTML file to write, with a .png beside it.")
    ] = Path("comparison.html"),
    storage: Storage = DEFAULT_STORAGE,
    as_json: AsJson = False,
) -> None:
    """Compare the fronts of studies: hypervolumes, and which leads at which runtime."""
    from nas.cli.terminal import print_json, say, show
    from nas.common.errors import InputError
    from nas.common.files import write_atomic
    from studies.report.compare_page import comparison_page, describe_lead
    from studies.report.static import overlay_png
    from studies.report.tables import comparison_table
    from studies.results.compare import compare as compared
    from studies.results.snapshot import load

    image = output.with_suffix(".png")
    if image == output:
        raise InputError(f"--output {output} names an image: give an HTML file, as in both.html")
    store = Store.parse(storage)
    snapshots = [load(store, name) for name in study]
    found = compared(snapshots)
    for note in found.notes:
        say(f"note: {note}")
    budgets = [snapshot.budget.runtime_ms for snapshot in snapshots]
    limits = [ms for ms in budgets if ms is not None]
    write_atomic(output, comparison_page(found, limits).encode())
    write_atomic(image, overlay_png(found, limits))
    if as_json:
        print_json(found.to_dict())
        return
    title = (
        f"hypervolume in dB x octaves from 0 dB at {found.reference_ms:g} ms; leads in: share of "
        "the octaves; colour: lowest gain of Cb or Cr on the front; "
        f"runtimes {found.runtime_kind} for {found.target}; {found.noise}"
    )
    show(comparison_table(found), title)
    print()
    for lead in found.leads:
        print(describe_lead(lead, found.noise.digits))
    print(f"all fronts in one figure: {output}, {image}")
