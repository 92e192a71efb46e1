"""``nas evaluate``: models on held-out pictures, in the shape of the survey's Table 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import AsJson, Data, Device, Plugins, Storage, TargetName, TrackingUri
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING

if TYPE_CHECKING:
    from nas.data.store import PairSet
    from nas.measure.evaluation.report import Entry
    from nas.measure.latency.target import Target
    from search_spaces.model_file import Model
    from teachers.loading import Teacher


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Shipped models, .safetensors files, folders of trainings, STUDY/TRIAL, "
            "or MLflow models such as models:/avif4x@champion.",
        ),
    ],
    data: Data = None,
    target: TargetName = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the report; default evaluations/NAME.")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Shown beside the models: hat-tiny or a weights file.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full/--quick", help="Quick leaves SSIM out: a quarter of the time.")
    ] = True,
    device: Device = None,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Measure PSNR and SSIM on held-out pictures at every QP, beside Lanczos and the survey.

    Writes Markdown, JSON, CSV with the figures of every picture, and the best and the worst
    picture side by side with the original. Can be stopped: the same command continues.
    """
    from nas.cli.model_arguments import model
    from nas.cli.terminal import print_json, progress_bar, say
    from nas.common.errors import InputError
    from nas.common.files import file_name
    from nas.data.sample import sample_set
    from nas.data.store import open_set
    from nas.measure.device import usable_device
    from nas.measure.evaluation.report import document, write
    from nas.measure.latency.target import resolve_target
    from teachers.loading import load_teacher

    found = [
        model(source, storage=storage, tracking_uri=tracking_uri, plugins=plugin)
        for source in models
    ]
    chosen = resolve_target(target, mode="challenge")
    taught = None if teacher is None else load_teacher(teacher)
    where = usable_device(device)
    with progress_bar("sample set") as progress:
        pair_set = open_set(data or sample_set(progress))
    if not pair_set.validation:
        raise InputError(
            f"{pair_set.path} holds out no pictures to evaluate on: prepare it again with "
            "--validation 1, or a smaller share"
        )
    named = _distinct(found)
    folder = out or Path("evaluations") / file_name("+".join(named))
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder} is a file: give a folder")
    entries = _measure(named, pair_set, chosen, where, full)
    result = document(entries, pair_set, chosen.note)
    _draw(result, entries, pair_set, taught, where, folder)
    written = write(result, folder)
    if as_json:
        print_json(result)
    else:
        _show(result)
    say(f"{written['evaluation.md']} has the report, {folder} also its JSON, CSV and pictures")


def _measure(
    named: dict[str, Model], pair_set: PairSet, target: Target, device: str, full: bool
) -> list[Entry]:
    """Everything about each model, by name."""
    from dataclasses import replace

    from nas.cli.terminal import progress_bar
    from nas.measure.cost.cost import cost
    from nas.measure.evaluation.evaluate import evaluate_all, upscaler_of
    from nas.measure.evaluation.report import Entry

    costs = [cost(model.network) for model in named.values()]
    runtimes = [target.latency(model.network) for model in named.values()]
    upscalers = [replace(upscaler_of(model, device), name=name) for name, model in named.items()]
    with progress_bar("evaluating") as progress:
        evaluations = evaluate_all(
            upscalers,
            pair_set.validation,
            pair_set.qps,
            device=device,
            with_ssim=full,
            progress=progress,
        )
    rows = zip(named.values(), evaluations, costs, runtimes, strict=True)
    return [Entry(*row) for row in rows]


def _draw(
    result: dict[str, Any],
    entries: Sequence[Entry],
    pair_set: PairSet,
    teacher: Teacher | None,
    device: str,
    folder: Path,
) -> None:
    """Draw the best and the worst picture of each model, and name the files in the document."""
    from dataclasses import replace

    from nas.cli.terminal import progress_bar
    from nas.common.files import atomic_path, file_name
    from nas.measure.evaluation.evaluate import upscaler_of
    from nas.measure.evaluation.images import draw, extremes

    pictures = {picture.name: picture for picture in pair_set.validation}
    with progress_bar("drawing") as progress:
        for done, (entry, told) in enumerate(zip(entries, result["models"], strict=True), 1):
            name = entry.evaluation.name
            upscaler = replace(upscaler_of(entry.model, device), name=name)
            told["side_by_side"] = {}
            for which, figures in extremes(entry.evaluation).items():
                file = f"{which}-{file_name(name)}.png"
                image = draw(which, figures, pictures[figures.picture], upscaler, teacher, device)
                with atomic_path(folder / file) as aside:
                    image.save(aside)
                told["side_by_side"][which] = {
                    "file": file,
                    "picture": figures.picture,
                    "qp": figures.qp,
                    "gain_db": figures.gain_db,
                    "gain_cb_db": figures.gain_cb_db,
                    "gain_cr_db": figures.gain_cr_db,
                }
            progress(done, len(entries), name)


def _show(result: dict[str, Any]) -> None:
    from nas.cli.terminal import show, table
    from nas.measure.evaluation.views import (
        QUALITY_COLUMNS,
        SURVEY_NOTE,
        TABLE1_COLUMNS,
        quality_rows,
        table1_rows,
        without_empty,
    )

    data = result["data"]
    where = f"{data['name']}: {data['pictures']} held-out pictures"
    # Those of the organisers, which stand last, are left to the report: lines have 80 columns.
    shown = [column for column in QUALITY_COLUMNS if "organiser" not in column]
    rows = [row[: len(shown)] for row in quality_rows(result)]
    quality = without_empty(shown, rows)
    show(table(*quality, f"Quality on {where}, mean over pictures"))
    ours, survey = table1_rows(result)
    kinds = " or ".join(sorted({model["runtime_kind"] for model in result["models"]}))
    print()
    if ours:
        title = f"In the shape of Table 1, on {where}; ms {kinds}"
        show(table(TABLE1_COLUMNS, ours, title))
        print()
    title = "The survey's own rows, on its own 110 pictures"
    show(table(*without_empty(TABLE1_COLUMNS, survey), title))
    print()
    for note in (SURVEY_NOTE, *result["notes"]):
        print(note)


def _distinct(models: Sequence[Model]) -> dict[str, Model]:
    """Models by a name that no other has; one that was given twice is there once."""
    named: dict[str, Model] = {}
    for model in {model.digest: model for model in models}.values():
        name = model.name if model.name not in named else f"{model.name} {model.digest[:6]}"
        named[name] = model
    return named
