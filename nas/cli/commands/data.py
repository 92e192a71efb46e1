"""``nas data``: prepare a set of pictures and look at one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="Prepare sets of pictures and look at them.")


@app.command()
def prepare(
    hr_dir: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="HR pictures, also in folders below it.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the prepared set.")],
    qps: Annotated[str, typer.Option(help="Comma-separated QPs.")] = "31,39,47,55,63",
    validation: Annotated[float, typer.Option(help="Share of pictures held out.")] = 0.2,
    workers: Annotated[
        int | None, typer.Option(help="Parallel encoders; default all cores.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail on the first unusable picture.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the AVIF-compressed LR pictures by the survey's ffmpeg command.

    Can be stopped at any moment: the same command continues where it was.
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
        say(f"{path}: the same picture as {same}", mark="duplicate")
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
            f"{out}: {report.made} pictures prepared, {report.reused} already there, "
            f"{len(report.skipped)} skipped, {len(report.duplicates)} duplicates"
        )


@app.command()
def info(
    path: Annotated[
        Path | None, typer.Argument(metavar="SET", help="A prepared set; default the sample set.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Describe a prepared set: pictures, sizes, bits a pixel and Lanczos PSNR-Y for each QP."""
    from nas.cli.terminal import print_json, progress_bar, say, show, table
    from nas.data.sample import sample_set
    from nas.data.store import open_set
    from nas.measure.evaluation.dataset import describe

    with progress_bar("sample set") as progress:
        pair_set = open_set(path or sample_set(progress))
    facts = describe(pair_set)
    if as_json:
        print_json(facts)
    else:
        if pair_set.is_sample:
            say("The sample set: a few small photographs to try the tool with, no training set.")
        rows = [
            [
                level if level == "clean" else f"QP {level}",
                f"{found['bits_per_lr_pixel']:.2f}",
                "-" if found["lanczos_psnr_y_db"] is None else f"{found['lanczos_psnr_y_db']:.2f}",
            ]
            for level, found in facts["per_qp"].items()
        ]
        title = f"{pair_set.path}  ({', '.join(facts['encoders'])})"
        show(table(["LR", "bits a pixel", "Lanczos PSNR-Y dB"], rows, title))
        for split in ("train", "validation"):
            part = facts[split]
            print(f"{split}: {part['pictures']} pictures, {part['megapixels']:.1f} megapixels HR")
        notes = Counter(note for picture in facts["pictures"] for note in picture["notes"])
        for note, pictures in notes.items():
            print(f"note: {note} in {pictures} pictures")


def _qps(text: str) -> tuple[int, ...]:
    from nas.common.errors import InputError

    try:
        qps = tuple(int(part) for part in text.split(","))
    except ValueError:
        qps = ()
    if not qps or any(not 1 <= qp <= 63 for qp in qps):
        raise InputError(f"--qps '{text}': give whole numbers from 1 to 63, such as 31,47,63")
    return tuple(sorted(set(qps)))
