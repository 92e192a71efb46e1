"""``nas teacher``: train one, and see what it gains over Lanczos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nas.cli.options import AsJson, Data, Device

app = typer.Typer(no_args_is_help=True, help="Train teachers and evaluate them.")


@app.command()
def train(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="The .safetensors file to write.")],
    data: Annotated[Path, typer.Option(help="A prepared set; its training pictures are used.")],
    preset: Annotated[str, typer.Option(help="hat-tiny, hat-s, hat or hat-l.")] = "hat-tiny",
    start: Annotated[str | None, typer.Option(help="A teacher to fine-tune instead.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Length of the training; default 20000.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="End after this time; default after --steps.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Crops a step; default 4.")] = None,
    patch: Annotated[
        int | None, typer.Option(min=16, help="LR side of a crop; default 32.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate; default 0.001.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of weights and crops; default 0.")
    ] = None,
    compressed: Annotated[
        bool, typer.Option("--compressed", help="Learn from compressed LR as well.")
    ] = False,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Train a HAT on a prepared set. Can be stopped: the same command continues."""
    from nas.cli.terminal import print_json, progress_bar
    from nas.common.text import duration
    from nas.data.store import open_set
    from nas.measure.device import usable_device
    from nas.training.teacher.run import train_teacher
    from nas.training.teacher.task import TeacherTraining

    given: dict[str, Any] = {"steps": steps, "minutes": minutes, "batch": batch, "patch": patch}
    given |= {"lr": lr, "seed": seed, "input": "compressed" if compressed else None}
    chosen = {name: value for name, value in given.items() if value is not None}
    with progress_bar("training teacher") as progress:
        trained = train_teacher(
            open_set(data),
            out,
            preset=preset,
            start=start,
            training=TeacherTraining(**chosen),
            device=usable_device(device),
            progress=progress,
        )
    if as_json:
        path = str(trained.path)
        print_json({"teacher": path, "steps": trained.steps, "seconds": trained.seconds})
    else:
        print(f"{trained.path}: {trained.steps} steps in {duration(trained.seconds)}")


@app.command()
def evaluate(
    teacher: Annotated[
        str, typer.Argument(metavar="TEACHER", help="hat-tiny or a weights file.")
    ] = "hat-tiny",
    data: Data = None,
    compressed: Annotated[
        bool, typer.Option("--compressed", help="Give it the compressed LR.")
    ] = False,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Measure a teacher's PSNR-Y gain over Lanczos on held-out pictures; refuse one without."""
    from nas.cli.terminal import print_json, progress_bar, show, table
    from nas.data.sample import sample_set
    from nas.data.store import open_set
    from nas.measure.device import usable_device
    from nas.training.data.teacher_quality import evaluate_teacher, require_gain
    from teachers.loading import load_teacher

    where = usable_device(device)
    loaded = load_teacher(f"{teacher}:compressed" if compressed else teacher)
    with progress_bar("evaluating teacher") as progress:
        pair_set = open_set(data or sample_set(progress))
        quality = evaluate_teacher(loaded, pair_set, device=where, progress=progress)
    if as_json:
        print_json(
            {
                "teacher": loaded.name,
                "input": quality.input,
                "psnr_y_db": quality.psnr_y_db,
                "lanczos_psnr_y_db": quality.lanczos_psnr_y_db,
                "gain_db": quality.gain_db,
                "gain_db_by_picture": quality.gain_db_by_picture,
            }
        )
    else:
        rows = [[name, f"{gain:+.3f}"] for name, gain in quality.gain_db_by_picture.items()]
        rows.append(["mean", f"{quality.gain_db:+.3f}"])
        show(table([f"{loaded.name} on {quality.input} LR", "gain over Lanczos dB"], rows))
    require_gain(loaded, quality)
