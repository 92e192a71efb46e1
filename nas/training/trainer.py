"""Full training: the stages of a recipe in order, for hours or days, whatever interrupts it.

A killed training goes on where its last checkpoint was and ends with the weights that it would have
had anyway, bit for bit on a CPU: what a step sees depends on the seed and the step alone, and all
that the next step depends on is in the checkpoint.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from nas.data.store import PairSet
from nas.measure.exclusive import Turns
from nas.training import interrupts
from nas.training.checkpoint import load_checkpoint, save_checkpoint
from nas.training.conclusion import Ending, conclude, finished
from nas.training.distributed import ALONE, World
from nas.training.events import (
    Event,
    Looked,
    Saved,
    StageStarted,
    Started,
    Stepped,
    WentBack,
)
from nas.training.folder import BEST, LAST, TrainingFolder
from nas.training.look import Look
from nas.training.precision import Precision, parse_precision
from nas.training.recipe import Recipe
from nas.training.sources import Sources
from nas.training.stage_run import StageRun
from nas.training.student import (
    Student,
    described,
    enter,
    first_form,
    start_at_baseline,
    start_from,
)
from search_spaces.architecture import Architecture
from search_spaces.errors import InputError
from search_spaces.model import Model
from search_spaces.progress import Progress, silent
from teachers.loading import Teacher

CHECKPOINT_SECONDS = 60.0
LOOKS = 20
LEAST_BETWEEN_LOOKS = 50
GUARDED = 50
"""Steps between looks at the loss, each of which is a place to go back to."""
DETOURS = 3


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
    the end it only tells the result again. With several processes the first one alone tells,
    measures and writes.

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
        InputError: something given cannot be used, ``out`` holds another training or cannot be
            written, or the training diverges again and again.
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
    training = _Training(recipe, folder, sources, look, settings, seed, device, world)
    training.precision = precision
    training.begin(architecture, start, saved)
    if world.first and saved is None:
        folder.describe(settings, None)
    with ExitStack() as stack:
        wish = stack.enter_context(interrupts.kept())
        training.turns = stack.enter_context(Turns(device))
        stack.callback(training.close)
        try:
            if world.first:
                yield Started(settings, recipe.steps, training.step, sources.notes)
            for event in training.run(checkpoint_seconds, wish):
                if world.first:
                    yield event
        except GeneratorExit:
            training.save()
            raise
    if world.first:
        end = Ending(training.best_step, recipe.steps, training.seconds)
        yield from conclude(folder, pair_set, settings, end, device)


class _Training:
    """A training under way."""

    def __init__(
        self,
        recipe: Recipe,
        folder: TrainingFolder,
        sources: Sources,
        look: Look,
        settings: Mapping[str, str],
        seed: int,
        device: str,
        world: World,
    ) -> None:
        self.recipe, self.folder, self.sources, self.look = recipe, folder, sources, look
        self.settings, self.seed, self.device, self.world = settings, seed, device, world
        self.precision: Precision | None = None
        self.turns: Turns
        self.stage_run: StageRun
        self.index = 0
        self.best_step, self.best_gain = 0, -math.inf
        self.seconds = 0.0
        between = max(LEAST_BETWEEN_LOOKS, recipe.steps // LOOKS)
        self._looks = {*range(0, recipe.steps, between), recipe.steps}
        self._loss: list[float] = []
        self._looked = -1

    @property
    def step(self) -> int:
        """Steps done in all stages."""
        return sum(s.steps for s in self.recipe.stages[: self.index]) + self.stage_run.step

    def begin(
        self, architecture: Architecture, start: Model | None, saved: dict[str, Any] | None
    ) -> None:
        """Make the student as it is at the beginning, or as it was when it was saved."""
        student = first_form(described(architecture, self.recipe), self.seed).to(self.device)
        if saved is not None:
            self._looked = saved["looked"]
        if self.world.first:
            self.folder.shorten_curve(self._looked)  # later looks are taken again
        if saved is None:
            if start is None:
                start_at_baseline(student, *self.sources.calibration(self.seed), self.seed)
            else:
                start_from(student, start)
            self.world.share(student.parameters())
            self._enter(student)
            return
        for stage in self.recipe.stages[: saved["stage"]]:
            student = enter(student, stage, self.seed)
        self.index = saved["stage"]
        self.precision = parse_precision(saved["precision"])
        self._enter(student)
        self.stage_run.load_state_dict(saved["run"])
        torch.set_rng_state(saved["torch_rng"])
        self.best_step, self.best_gain = saved["best_step"], saved["best_gain"]
        self.seconds = saved["seconds"]
        self._loss = saved["losses"]

    def run(self, checkpoint_seconds: float, wish: interrupts.Interrupts) -> Iterator[Event]:
        """Do all steps that are left."""
        last_saved = time.monotonic()
        while True:
            yield StageStarted(self.index, self.step, self._note())
            if self.step in self._looks and self.step > self._looked:
                yield from self._look()
            for event in self._stage():
                if event is not None:
                    yield event
                if wish.wanted:
                    self.save()
                    raise KeyboardInterrupt
                if time.monotonic() - last_saved >= checkpoint_seconds:
                    if self.save():
                        yield Saved(self.step)
                    last_saved = time.monotonic()
            if self.index + 1 == len(self.recipe.stages):
                break
            self._next_stage()
            self.save()
        self.save()

    def save(self) -> bool:
        """Write the checkpoint and the last model, if the weights are sound; say whether."""
        run = self.stage_run
        if not (self.world.first and run.sound()):
            return False
        self.folder.keep(LAST, run.ema.network, {"at_step": str(self.step)})
        state = {
            "stage": self.index,
            "step": self.step,
            "run": run.state_dict(),
            "precision": str(run.precision),
            "torch_rng": torch.get_rng_state(),
            "best_step": self.best_step,
            "best_gain": self.best_gain,
            "looked": self._looked,
            "losses": self._loss,
            "seconds": self.seconds,
        }
        save_checkpoint(self.folder.checkpoint, self.settings, state)
        return True

    def close(self) -> None:
        """Stop the thread that cuts ahead."""
        self.stage_run.close()

    def _stage(self) -> Iterator[Event | None]:
        """Do the steps that are left of a stage; None is told after a step of no note."""
        run = self.stage_run
        sound = copy.deepcopy(run.state_dict())
        shown, since = run.step, time.monotonic()
        while run.step < run.stage.steps:
            began = time.monotonic()
            self.turns.next()
            rate = run.rate
            run.advance()
            event: Event | None = None
            if run.step % GUARDED == 0 or run.step == run.stage.steps:
                loss = run.mean_loss()
                if math.isfinite(loss) and run.sound():
                    self._loss.append(loss)
                    sound = copy.deepcopy(run.state_dict())
                else:
                    event = self._go_back(sound, loss)
                    shown = run.step
            self.seconds += time.monotonic() - began
            passed = time.monotonic() - since
            if event is None and passed >= 1:
                speed = (run.step - shown) / passed
                steps = self.recipe.steps
                loss = run.latest_loss()
                event = Stepped(self.step, steps, self.index, loss, rate, speed)
                shown, since = run.step, time.monotonic()
            yield event
            if self.step in self._looks and self.step > self._looked:
                yield from self._look()
                shown, since = run.step, time.monotonic()

    def _look(self) -> Iterator[Event]:
        """Measure the average, keep it if it is the best, and tell."""
        if not self.stage_run.sound():
            return  # the guard goes back, and then the look is due again
        self._looked = self.step
        if not self.world.first:
            return
        self.turns.next()
        network = self.stage_run.ema.network
        quality = self.look.quality(network, self.device)
        best = quality.gain_db > self.best_gain
        if best:
            self.best_step, self.best_gain = self.step, quality.gain_db
            facts = {"at_step": str(self.step), "gain_db": f"{quality.gain_db:.4f}"}
            self.folder.keep(BEST, network, facts)
        losses, self._loss = self._loss, []
        looked = Looked(
            self.step,
            self.index,
            sum(losses) / len(losses) if losses else None,
            quality.gain_db,
            _whole_qps(quality.gain_db_per_qp),
            _whole_qps(quality.psnr_y_db),
            best,
            self.look.samples(network),
            self.seconds,
        )
        self.folder.add_to_curve(_point(looked))
        yield looked
        self.turns.release()

    def _go_back(self, sound: dict[str, Any], loss: float) -> WentBack:
        run = self.stage_run
        failed, detours = self.step, run.detours + 1
        why = "the loss" if not math.isfinite(loss) else "a weight"
        if detours > DETOURS:
            raise InputError(
                f"the training diverged again and again in stage {self.index + 1} ({why} is no "
                f"number at step {failed}): lower its lr ({run.stage.lr:g}) or clip harder "
                f"({run.stage.clip:g})"
            )
        run.load_state_dict(copy.deepcopy(sound))
        run.detours = detours
        sound["detours"] = detours
        return WentBack(failed, self.step, f"{why} was no number")

    def _next_stage(self) -> None:
        """Go on from the averaged weights in the form of the next stage."""
        run = self.stage_run
        run.close()
        run.student.network.load_state_dict(run.ema.network.state_dict())
        had_bias = run.student.network.architecture.bias
        self.index += 1
        self._enter(run.student)
        if had_bias and not self.stage_run.student.network.architecture.bias:
            self.best_gain = -math.inf  # what was best is another network than the one to deliver

    def _enter(self, student: Student) -> None:
        stage = self.recipe.stages[self.index]
        student = enter(student, stage, self.seed)
        material = self.sources.material(self.index)
        key = (self.seed, self.index)

        def run(precision: Precision) -> StageRun:
            return StageRun(stage, student, material, key, self.device, self.world, precision)

        if self.precision is None and self.device.startswith("cuda"):
            probe = run(Precision())
            self.precision = probe.choose_precision()
            probe.close()
        self.stage_run = run(self.precision or Precision())

    def _note(self) -> str:
        stage = self.recipe.stages[self.index]
        words = [f"{stage.steps} steps of {stage.batch} crops of {self.sources.patch(self.index)}"]
        words += [" + ".join(stage.losses), f"{stage.optimiser} {stage.lr:g}"]
        words += ["folded"] if stage.fold else []
        words += ["without biases"] if stage.remove_bias else []
        words += [str(self.stage_run.precision)] if self.device.startswith("cuda") else []
        return ", ".join(words)


def _whole_qps(values: Mapping[int | None, float]) -> dict[int, float]:
    return {qp: value for qp, value in values.items() if qp is not None}


def _point(looked: Looked) -> dict[str, Any]:
    return {
        "step": looked.step,
        "stage": looked.stage,
        "loss": looked.loss,
        "gain_db": looked.gain_db,
        "gain_db_per_qp": dict(looked.gain_db_per_qp),
        "psnr_y_db": dict(looked.psnr_y_db),
        "best": looked.best,
        "seconds": looked.seconds,
    }
