"""``nas evaluate``: models on held-out images, in the form of the survey's Table 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.models import ModelSources, takes_models
from nas.cli.options import AsJson, Data, Device, TargetName, open_data

if TYPE_CHECKING:
    from nas.data.store import PairSet
    from nas.measure.evaluation.report import Entry
    from nas.measure.latency.target import Target
    from search_spaces.model_file import Model
    from teachers.loading import Teacher


@takes_models
def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Shipped models, .safetensors files, folders of trainings, STUDY/TRIAL, "
            "or MLflow models such as models:/avif4x@champion.",
        ),
    ],
    sources: ModelSources,
    data: Data = None,
    target: TargetName = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the report; default evaluations/NAME.")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Teacher to show beside the models: hat-tiny or a file.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full/--quick", help="--quick skips SSIM: a quarter of the time.")
    ] = True,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Measure PSNR and SSIM on held-out images at every QP, beside Lanczos and the survey.

    Writes Markdown, JSON, CSV with the figures of every image, and the best and the worst image
    side by side with the original. The command can be stopped: run again, it continues.
    """
    from nas.cli.terminal import print_json, say
    from nas.common.errors import InputError
    from nas.common.files import file_name
    from nas.measure.device import usable_device
    from nas.measure.evaluation.report import document, write
    from nas.measure.latency.target import resolve_target
    from teachers.loading import load_teacher

    found = [sources.model(source) for source in models]
    runtimes = resolve_target(target, mode="challenge")
    beside = None if teacher is None else load_teacher(teacher)
    device = usable_device(device)
    pair_set = open_data(data)
    if not pair_set.validation:
        raise InputError(
            f"{pair_set.path} holds out no images to evaluate on: prepare it again with "
            "--validation 1, or a smaller share"
        )
    named = _by_unique_name(found)
    folder = out or Path("evaluations") / file_name("+".join(named))
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder} is a file: give a folder")
    entries = _measure(named, pair_set, runtimes, device, full)
    result = document(entries, pair_set, runtimes.note)
    _draw(result, entries, pair_set, beside, device, folder)
    written = write(result, folder)
    if as_json:
        print_json(result)
    else:
        _print(result)
    say(f"report: {written['evaluation.md']}, with JSON, CSV and images in {folder}")


def _measure(
    models: dict[str, Model], pair_set: PairSet, target: Target, device: str, full: bool
) -> list[Entry]:
    """Measure quality, cost and runtime of models, given by name."""
    from dataclasses import replace

    from nas.cli.terminal import progress_bar
    from nas.measure.cost.cost import cost
    from nas.measure.evaluation.evaluate import evaluate_all, upscaler_of
    from nas.measure.evaluation.report import Entry

    costs = [cost(model.network) for model in models.values()]
    runtimes = [target.latency(model.network) for model in models.values()]
    upscalers = [replace(upscaler_of(model, device), name=name) for name, model in models.items()]
    with progress_bar("evaluating") as progress:
        evaluations = evaluate_all(
            upscalers,
            pair_set.validation,
            pair_set.qps,
            device=device,
            with_ssim=full,
            progress=progress,
        )
    rows = zip(models.values(), evaluations, costs, runtimes, strict=True)
    return [Entry(*row) for row in rows]


def _draw(
    result: dict[str, Any],
    entries: Sequence[Entry],
    pair_set: PairSet,
    teacher: Teacher | None,
    device: str,
    folder: Path,
) -> None:
    """Draw the best and the worst image of each model, and add the files to the document."""
    from dataclasses import replace

    from nas.cli.terminal import progress_bar
    from nas.common.files import atomic_path, file_name
    from nas.measure.evaluation.evaluate import upscaler_of
    from nas.measure.evaluation.images import draw, extremes

    pictures = {picture.name: picture for picture in pair_set.validation}
    with progress_bar("drawing") as progress:
        for done, (entry, model) in enumerate(zip(entries, result["models"], strict=True), 1):
            name = entry.evaluation.name
            upscaler = replace(upscaler_of(entry.model, device), name=name)
            model["side_by_side"] = {}
            for which, figures in extremes(entry.evaluation).items():
                file = f"{which}-{file_name(name)}.png"
                image = draw(which, figures, pictures[figures.picture], upscaler, teacher, device)
                with atomic_path(folder / file) as aside:
                    image.save(aside)
                model["side_by_side"][which] = {
                    "file": file,
                    "picture": figures.picture,
                    "qp": figures.qp,
                    "gain_db": figures.gain_db,
                    "gain_cb_db": figures.gain_cb_db,
                    "gain_cr_db": figures.gain_cr_db,
                }
            progress(done, len(entries), name)


def _print(result: dict[str, Any]) -> None:
    from nas.cli.terminal import show
    from nas.measure.evaluation.views import SURVEY_NOTE, quality_table, table1, table1_survey

    data = result["data"]
    where = f"{data['name']}: {data['pictures']} held-out images"
    show(quality_table(result), f"Quality on {where}, mean over images")
    print()
    if (ours := table1(result)) is not None:
        kinds = " or ".join(sorted({model["runtime_kind"] for model in result["models"]}))
        show(ours, f"In the form of Table 1, on {where}; ms {kinds}")
        print()
    show(table1_survey(result), "Rows of the survey, on its 110 test images")
    print()
    for note in (SURVEY_NOTE, *result["notes"]):
        print(note)


def _by_unique_name(models: Sequence[Model]) -> dict[str, Model]:
    """Give each model a name that no other has; one that was given twice is there once."""
    named: dict[str, Model] = {}
    for model in {model.digest: model for model in models}.values():
        name = model.name if model.name not in named else f"{model.name} {model.digest[:6]}"
        named[name] = model
    return named
