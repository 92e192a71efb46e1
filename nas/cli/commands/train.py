"""``nas train``: one network, fully, by a recipe."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.model_arguments import NetworkArgument
from nas.cli.options import (
    AsJson,
    Data,
    Device,
    Licence,
    Plugins,
    RecipeName,
    Seed,
    Storage,
    TrackingUri,
    tracking,
)
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING

if TYPE_CHECKING:
    from nas.common.text import Progress
    from nas.training.core.precision import Precision
    from nas.training.engine.events import Event, Finished
    from teachers.loading import Teacher


def train(
    network: NetworkArgument,
    recipe: RecipeName = "standard",
    data: Data = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; default trainings/NETWORK-RECIPE.")
    ] = None,
    teacher: Annotated[
        str,
        typer.Option(
            help="hat-tiny, a teacher's or a model's file or folder, or none to learn without."
        ),
    ] = "hat-tiny",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Shorten or lengthen all stages to this many steps.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A trained model to start from.")
    ] = None,
    seed: Seed = 0,
    device: Device = None,
    precision: Annotated[
        str, typer.Option(help="On a GPU: auto measures; or fp32, bf16, fp16.")
    ] = "auto",
    licence: Licence = "",
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Train a network fully. Can be stopped or killed: the same command continues.

    On several GPUs: torchrun --nproc-per-node 4 -m nas.cli train NETWORK ...
    """
    from nas.cli import model_arguments
    from nas.cli.terminal import progress_bar, say, say_undelivered
    from nas.common.files import file_name
    from nas.data.sample import sample_set
    from nas.data.store import open_set
    from nas.measure.device import usable_device
    from nas.training.core.runtime import join_processes
    from nas.training.engine.trainer import train as run
    from nas.training.recipe.recipe import load_recipe
    from studies.tracking.training_run import tracked

    where: dict[str, Any] = {"storage": storage, "tracking_uri": tracking_uri, "plugins": plugin}
    name, architecture = model_arguments.network(network, **where)
    chosen = load_recipe(recipe)
    if steps is not None:
        chosen = chosen.scaled(steps)
    begin = None if start is None else model_arguments.model(start, **where)
    device = usable_device(device)
    folder = out or Path("trainings") / file_name(f"{name}-{chosen.name}")
    uri = tracking(tracking_uri)
    finished: Finished | None = None
    with join_processes(device) as (context, device):
        if data is None and context.is_main:
            say("no --data: training on the small sample set, to see it work")
        with progress_bar("preparing") as progress:
            events = run(
                name,
                architecture,
                chosen,
                open_set(data or sample_set(progress)),
                folder,
                teacher=_teacher(teacher, chosen.wants_teacher),
                start=begin,
                seed=seed,
                device=device,
                precision=_precision(precision),
                licence=licence,
                context=context,
                progress=progress,
            )
            if uri is not None and context.is_main:
                events = tracked(events, folder, name, uri, say_undelivered)
            first = next(events, None)
        with progress_bar(f"training {name}") as progress:
            drawn = _Drawn(progress)
            for event in chain([] if first is None else [first], events):
                finished = drawn.show(event) or finished
    if finished is not None:
        _tell(finished, name, chosen.name, as_json)


def _teacher(source: str, wanted: bool) -> Teacher | None:
    if source == "none" or not wanted:
        return None
    from nas.deploy.models import find_file, shipped
    from teachers.loading import load_teacher, named_input

    bare, _ = named_input(source)
    is_model = bare in shipped() or Path(bare).is_dir()
    return load_teacher(source.replace(bare, str(find_file(bare)), 1) if is_model else source)


def _precision(name: str) -> Precision | None:
    from nas.common.errors import InputError
    from nas.training.core.precision import CHOICES, Precision

    if name == "auto":
        return None
    if name not in CHOICES:
        raise InputError(f"--precision is '{name}'; choose auto, {', '.join(CHOICES)}")
    return Precision(name)


class _Drawn:
    """What a person sees of a training: a bar, and a line where something happens."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._best: float | None = None

    def show(self, event: Event) -> Finished | None:
        """Draw an event; return the last one."""
        from nas.cli.terminal import say
        from nas.measure.colour import colour_cell
        from nas.training.engine import events

        match event:
            case events.Started():
                for note in event.notes:
                    say(f"note: {note}")
                if event.step:
                    say(f"continuing at step {event.step} of {event.steps}")
            case events.StageStarted():
                say(f"stage {event.index + 1} at step {event.step}: {event.note}")
            case events.Stepped():
                speed = f"{event.steps_per_second:.3g} steps/s, loss {event.loss:.4g}"
                self._progress(event.step, event.steps, speed + self._best_note())
            case events.Validated():
                if event.best:
                    self._best = event.gain_db
                mark = " (best)" if event.best else ""
                colour = colour_cell(event.gain_cb_db, event.gain_cr_db)
                gain = f"{event.gain_db:+.3f} dB over Lanczos, colour {colour} dB"
                say(f"step {event.step}: {gain}{mark}")
            case events.RolledBack():
                say(f"step {event.step}: {event.why}; going on from {event.to} with other crops")
            case events.Measuring():
                self._progress(event.done, event.pictures, "measuring whole pictures")
            case events.Finished():
                return event
        return None

    def _best_note(self) -> str:
        return "" if self._best is None else f", best {self._best:+.3f} dB"


def _tell(finished: Finished, name: str, recipe: str, as_json: bool) -> None:
    from nas.cli.terminal import print_json, say, show, table
    from nas.common.text import duration
    from nas.measure.colour import colour_words

    if finished.already:
        say(f"this training is finished: {finished.out}")
    if as_json:
        print_json(
            {
                "name": name,
                "recipe": recipe,
                "out": str(finished.out),
                "model": str(finished.best),
                "last_model": str(finished.last),
                "steps": finished.steps,
                "best_step": finished.best_step,
                "gain_db": finished.gain_db,
                "gain_cb_db": finished.gain_cb_db,
                "gain_cr_db": finished.gain_cr_db,
                "last_gain_db": finished.last_gain_db,
                "gain_db_per_qp": {str(qp): v for qp, v in finished.gain_db_per_qp.items()},
                "psnr_y_db": {str(qp): v for qp, v in finished.psnr_y_db.items()},
                "seconds": finished.seconds,
            }
        )
        return
    rows = [
        [str(qp), f"{finished.psnr_y_db[qp]:.3f}", f"{gain:+.3f}"]
        for qp, gain in finished.gain_db_per_qp.items()
    ]
    rows.append(["mean", "", f"{finished.gain_db:+.3f}"])
    title = f"{name}, {recipe}, best at step {finished.best_step} of {finished.steps}"
    show(table(["QP", "PSNR-Y dB", "gain over Lanczos dB"], rows, title))
    print(f"colour over Lanczos: {colour_words(finished.gain_cb_db, finished.gain_cr_db)}")
    print(f"{finished.best} in {duration(finished.seconds)} of training")
