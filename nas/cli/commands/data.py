"""``nas data``: prepare a dataset and describe one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import AsJson, open_data

app = typer.Typer(no_args_is_help=True, help="Prepare datasets and describe them.")


@app.command()
def prepare(
    hr_dir: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of HR images, searched recursively.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the prepared dataset.")],
    qps: Annotated[str, typer.Option(help="QPs, separated by commas.")] = "31,39,47,55,63",
    validation: Annotated[float, typer.Option(help="Share of the images to hold out.")] = 0.2,
    workers: Annotated[
        int | None, typer.Option(help="Number of parallel encoders; default one a core.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail at the first unusable image.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make AVIF-compressed LR images with the survey's ffmpeg command.

    The command can be stopped at any time: run again, it continues.
    """
    from nas.cli.terminal import print_json, progress_bar, say
    from nas.data.prepare import prepare as prepare_set

    with progress_bar("preparing") as progress:
        report = prepare_set(
            hr_dir,
            out,
            qps=_qps(qps),
            workers=workers,
            validation=validation,
            strict=strict,
            progress=progress,
        )
    for path, reason in report.skipped:
        say(f"{path}: {reason}", mark="skipped")
    for path, same in report.duplicates:
        say(f"{path}: the same image as {same}", mark="duplicate")
    if as_json:
        skipped = [{"path": str(path), "reason": reason} for path, reason in report.skipped]
        copies = [{"path": str(path), "same_as": str(other)} for path, other in report.duplicates]
        print_json(
            {
                "made": report.made,
                "reused": report.reused,
                "skipped": skipped,
                "duplicates": copies,
            }
        )
    else:
        print(
            f"{out}: {report.made} images prepared, {report.reused} already there, "
            f"{len(report.skipped)} skipped, {len(report.duplicates)} duplicates"
        )


@app.command()
def info(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="SET", help="Prepared dataset; default the sample dataset."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Describe a dataset: images, sizes, bits per pixel and PSNR-Y of Lanczos at each QP."""
    from nas.cli.terminal import print_json, say, show
    from nas.common.tables import Column, Table
    from nas.measure.evaluation.dataset import describe

    pair_set = open_data(path)
    facts = describe(pair_set)
    if as_json:
        print_json(facts)
        return
    if pair_set.is_sample:
        say("The sample dataset: a few small photos to try the tool with, not for real training.")
    columns = [
        Column("level", "LR"),
        Column("bits_per_lr_pixel", "bits per pixel", ".2f"),
        Column("lanczos_psnr_y_db", "Lanczos PSNR-Y dB", ".2f"),
    ]
    rows = [
        {**figures, "level": level if level == "clean" else f"QP {level}"}
        for level, figures in facts["per_qp"].items()
    ]
    show(Table(columns, rows), f"{pair_set.path}  ({', '.join(facts['encoders'])})")
    for split in ("train", "validation"):
        part = facts[split]
        print(f"{split}: {part['pictures']} images, {part['megapixels']:.1f} HR megapixels")
    notes = Counter(note for picture in facts["pictures"] for note in picture["notes"])
    for note, images in notes.items():
        print(f"note: {note} in {images} images")


def _qps(text: str) -> tuple[int, ...]:
    from nas.common.errors import InputError

    try:
        qps = tuple(int(part) for part in text.split(","))
    except ValueError:
        qps = ()
    if not qps or any(not 1 <= qp <= 63 for qp in qps):
        raise InputError(f"--qps '{text}': give whole numbers from 1 to 63, such as 31,47,63")
    return tuple(sorted(set(qps)))
