"""Full training: the stages of a recipe in order, for hours or days, whatever interrupts it.

A killed training goes on where its last checkpoint was and ends with the weights that it would have
had anyway, bit for bit on a CPU: what a step sees depends on the seed and the step alone, and all
that the next step depends on is in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from nas.common.errors import InputError
from nas.common.text import Progress, silent
from nas.data.store import PairSet
from nas.measure.device_lock import DeviceLock
from nas.training.data.training_data import Sources
from nas.training.engine import runtime
from nas.training.engine.checkpoint import load_checkpoint
from nas.training.engine.course import Course
from nas.training.engine.events import Event, Started
from nas.training.engine.finish import Ending, conclude, finished
from nas.training.engine.folder import TrainingFolder
from nas.training.engine.runtime import ALONE, World
from nas.training.engine.validation import Look
from nas.training.proxy.precision import Precision
from nas.training.recipe.recipe import Recipe
from search_spaces.architecture import Architecture
from search_spaces.model_file import Model
from teachers.loading import Teacher

CHECKPOINT_SECONDS = 60.0


def train(
    name: str,
    architecture: Architecture,
    recipe: Recipe,
    pair_set: PairSet,
    out: Path,
    *,
    teacher: Teacher | None = None,
    start: Model | None = None,
    seed: int = 0,
    device: str = "cpu",
    precision: Precision | None = None,
    licence: str = "",
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    world: World = ALONE,
    progress: Progress = silent,
) -> Iterator[Event]:
    """Train a network by a recipe; tell what happens.

    ``out`` gets ``best.safetensors`` (the average of the weights where it did best on held-out
    windows), ``last.safetensors``, ``curve.jsonl``, ``training.json`` and, about every minute and
    when the training is interrupted or closed, ``checkpoint.pt``. The same call continues; after
    the end it only tells the result again, or makes again what has been damaged since. With several
    processes the first one alone tells, measures and writes.

    Args:
        name: of the models that are written.
        architecture: the network; a recipe that removes biases trains with them until then.
        recipe: how to train.
        pair_set: its training pictures are learned from, its held-out ones measured on.
        out: the folder to write.
        teacher: whom to learn from as the recipe says; None leaves those parts out.
        start: a trained model of the same layers to start from; None starts at the
            interpolation baseline.
        seed: of weights and crops.
        device: where to train.
        precision: number format on a GPU; None measures which is fastest.
        licence: of the models, if they shall say one.
        checkpoint_seconds: time between checkpoints.
        world: the processes that train together.
        progress: called while the teacher upscales and pictures are searched for detail.

    Raises:
        InputError: something given cannot be used, ``out`` holds another training, has lost its
            best model or cannot be written, or the training diverges again and again.
        KeyboardInterrupt: it was interrupted, after the checkpoint was written.
    """
    settings = {
        "network": architecture.to_json(),
        "data set": pair_set.digest,
        "number of steps": str(recipe.steps),
        "recipe": recipe.model_dump_json(),
        "teacher": "none" if teacher is None else teacher.digest,
        "start": "baseline" if start is None else start.digest,
        "seed": str(seed),
    }
    facts = {
        "data": pair_set.digest,
        "recipe": recipe.name,
        "steps": str(recipe.steps),
        "teacher": "none" if teacher is None else teacher.name,
        **({} if start is None else {"start": start.name}),
        **({"licence": licence} if licence else {}),
    }
    folder = TrainingFolder(Path(out), name, facts)
    if folder.path.exists() and not folder.path.is_dir():
        raise InputError(f"{out} is a file: give a folder for the training")
    saved = load_checkpoint(folder.checkpoint, settings)
    if saved is not None and saved["step"] >= recipe.steps and (result := folder.result()):
        if world.first:
            yield finished(folder, result, already=True)
        return
    look = Look(pair_set)
    sources = Sources(recipe, architecture.factor, pair_set, teacher, look, world, device, progress)
    course = Course(recipe, folder, sources, look, settings, seed, device, world)
    course.begin(architecture, start, precision, saved)
    if world.first:
        folder.describe(settings, None)
    with ExitStack() as stack:
        wish = stack.enter_context(runtime.kept())
        turns = stack.enter_context(DeviceLock(device))
        stack.callback(course.close)
        try:
            if world.first:
                yield Started(settings, recipe.steps, course.step, sources.notes)
            for event in course.run(turns, wish, checkpoint_seconds):
                if world.first:
                    yield event
        except GeneratorExit:
            course.save()
            raise
    if world.first:
        end = Ending(course.best_step, recipe.steps, course.seconds)
        yield from conclude(folder, pair_set, settings, end, device)
