"""``nas report`` and ``nas compare``: pages on which a person decides."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import AsJson, Plugins, Storage


def report(
    study: Annotated[str, typer.Argument(help="Name of a study; see 'nas studies'.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The page to write; it needs nothing else.")
    ] = Path("report.html"),
    data: Annotated[
        Path | None,
        typer.Option(help="The study's prepared set, if it is not where it was any more."),
    ] = None,
    storage: Storage = "sqlite:///studies.db",
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Write what a study found as one HTML page: front, pictures, importance, what to do next."""
    from nas.cli.terminal import print_json, progress_bar, say
    from search_spaces.errors import InputError
    from search_spaces.files import write_atomic
    from search_spaces.plugins import load_all
    from studies.review.evidence import gather
    from studies.review.report import report as report_of
    from studies.storage import masked, study_folder
    from studies.study import read_study

    load_all(plugin or ())
    info, records = read_study(storage, study)
    with progress_bar("looking") as progress:
        evidence = gather(info, records, study_folder(storage, study), data, progress)
    page = report_of(info, records, evidence, masked(storage)).encode()
    try:
        write_atomic(output, page)
    except OSError as fault:
        raise InputError(f"--output {output} cannot be written: {fault.strerror}") from fault
    if evidence.pictures is None:
        say(f"no pictures: {evidence.why_no_pictures}")
    if as_json:
        print_json({"report": str(output), "bytes": len(page)})
    else:
        print(f"report: {output}")
