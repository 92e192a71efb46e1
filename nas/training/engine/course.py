"""The course of a training: its stages in order, with looks, checkpoints and ways back."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from nas.common.errors import InputError
from nas.measure.device_lock import DeviceLock
from nas.training.data.training_data import Sources
from nas.training.engine import runtime
from nas.training.engine.checkpoint import save_checkpoint
from nas.training.engine.events import Event, Looked, Saved, StageStarted, Stepped, WentBack
from nas.training.engine.folder import BEST, LAST, Point, TrainingFolder
from nas.training.engine.runtime import World
from nas.training.engine.stage import StageRun
from nas.training.engine.student import (
    Student,
    described,
    enter,
    first_form,
    start_at_baseline,
    start_from,
)
from nas.training.engine.validation import Look
from nas.training.proxy.precision import Precision, parse_precision
from nas.training.recipe.recipe import Recipe
from search_spaces.architecture import Architecture
from search_spaces.model_file import Model

LOOKS = 20
LEAST_BETWEEN_LOOKS = 50
GUARDED = 50
"""Steps between looks at the loss, each of which is a place to go back to."""
DETOURS = 3


class Course:
    """A training under way.

    Attributes:
        best_step: where the averaged weights did best.
        seconds: of training, over all resumptions.

    Args:
        recipe: its stages.
        folder: what is written.
        sources: what the stages learn from.
        look: how the averaged weights are measured on the way.
        settings: what the training depends on, for its checkpoint.
        seed: of weights and crops.
        device: where to train.
        world: the processes that train together.
    """

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
        self._recipe, self._folder, self._sources, self._look = recipe, folder, sources, look
        self._settings, self._seed, self._device, self._world = settings, seed, device, world
        self._precision: Precision | None = None
        self._turns: DeviceLock
        self._run: StageRun
        self._index = 0
        self.best_step, self._best_gain = 0, -math.inf
        self.seconds = 0.0
        between = max(LEAST_BETWEEN_LOOKS, recipe.steps // LOOKS)
        self._looks = {*range(0, recipe.steps, between), recipe.steps}
        self._loss: list[float] = []
        self._looked = -1

    @property
    def step(self) -> int:
        """Steps done in all stages."""
        return sum(s.steps for s in self._recipe.stages[: self._index]) + self._run.step

    def begin(
        self,
        architecture: Architecture,
        start: Model | None,
        precision: Precision | None,
        saved: dict[str, Any] | None,
    ) -> None:
        """Make the student as it is at the beginning, or as it was when it was saved.

        Args:
            architecture: the network.
            start: a trained model to start from; None starts at the interpolation baseline.
            precision: number format on a GPU; None measures which is fastest.
            saved: state of a checkpoint, which goes before ``start`` and ``precision``.

        Raises:
            InputError: the best model was damaged since, and cannot be made again.
        """
        self._precision = precision
        student = first_form(described(architecture, self._recipe), self._seed).to(self._device)
        if saved is not None:
            self._looked = saved["looked"]
        if self._world.first:
            self._folder.shorten_curve(self._looked)  # later looks are taken again
        if saved is None:
            if start is None:
                start_at_baseline(student, *self._sources.calibration(self._seed), self._seed)
            else:
                start_from(student, start)
            self._world.share(student.parameters())
            self._enter(student)
            return
        for stage in self._recipe.stages[: saved["stage"]]:
            student = enter(student, stage, self._seed)
        self._index = saved["stage"]
        self._precision = parse_precision(saved["precision"])
        self._enter(student)
        self._run.load_state_dict(saved["run"])
        torch.set_rng_state(saved["torch_rng"])
        self.best_step, self._best_gain = saved["best_step"], saved["best_gain"]
        self.seconds = saved["seconds"]
        self._loss = saved["losses"]
        if self._world.first and math.isfinite(self._best_gain):
            self._require_best()

    def run(
        self, turns: DeviceLock, wish: runtime.Interrupts, checkpoint_seconds: float
    ) -> Iterator[Event]:
        """Do all steps that are left.

        Args:
            turns: whoever measures on this device has it alone meanwhile.
            wish: whether the person wants it to end; then it is saved.
            checkpoint_seconds: time between checkpoints.

        Raises:
            InputError: the folder cannot be written, or it diverges again and again.
            KeyboardInterrupt: somebody wished it to end.
        """
        self._turns = turns
        last_saved = time.monotonic()
        while True:
            yield StageStarted(self._index, self.step, self._note())
            if self.step in self._looks and self.step > self._looked:
                yield from self._measured()
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
            if self._index + 1 == len(self._recipe.stages):
                break
            self._next_stage()
            self.save()
        self.save()

    def save(self) -> bool:
        """Write the checkpoint and the last model, if the weights are sound; say whether."""
        run = self._run
        if not (self._world.first and run.sound()):
            return False
        self._folder.keep(LAST, run.ema.network, {"at_step": str(self.step)})
        state = {
            "stage": self._index,
            "step": self.step,
            "run": run.state_dict(),
            "precision": str(run.precision),
            "torch_rng": torch.get_rng_state(),
            "best_step": self.best_step,
            "best_gain": self._best_gain,
            "looked": self._looked,
            "losses": self._loss,
            "seconds": self.seconds,
        }
        save_checkpoint(self._folder.checkpoint, self._settings, state)
        return True

    def close(self) -> None:
        """Stop the thread that cuts ahead."""
        self._run.close()

    def _stage(self) -> Iterator[Event | None]:
        """Do the steps that are left of a stage; yield None after a step of no note."""
        run = self._run
        sound = copy.deepcopy(run.state_dict())
        shown, since = run.step, time.monotonic()
        while run.step < run.stage.steps:
            began = time.monotonic()
            self._turns.yield_device()
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
                steps = self._recipe.steps
                loss = run.latest_loss()
                event = Stepped(self.step, steps, self._index, loss, rate, speed)
                shown, since = run.step, time.monotonic()
            yield event
            if self.step in self._looks and self.step > self._looked:
                yield from self._measured()
                shown, since = run.step, time.monotonic()

    def _measured(self) -> Iterator[Event]:
        """Measure the average, keep it if it is the best, and tell."""
        if not self._run.sound():
            return  # the guard goes back, and then the look is due again
        self._looked = self.step
        if not self._world.first:
            return
        self._turns.yield_device()
        network = self._run.ema.network
        quality = self._look.quality(network, self._device)
        best = quality.gain_db > self._best_gain
        if best:
            self.best_step, self._best_gain = self.step, quality.gain_db
            self._keep_best()
        losses, self._loss = self._loss, []
        looked = Looked(
            self.step,
            self._index,
            sum(losses) / len(losses) if losses else None,
            quality.gain_db,
            _whole_qps(quality.gain_db_per_qp),
            _whole_qps(quality.psnr_y_db),
            best,
            self._look.samples(network),
            self.seconds,
            quality.gain_cb_db,
            quality.gain_cr_db,
        )
        self._folder.add_to_curve(_point(looked))
        yield looked
        self._turns.release()

    def _keep_best(self) -> None:
        facts = {"at_step": str(self.best_step), "gain_db": f"{self._best_gain:.4f}"}
        self._folder.keep(BEST, self._run.ema.network, facts)

    def _require_best(self) -> None:
        """See that the best model is whole: no checkpoint holds it, unless it is the newest."""
        try:
            self._folder.kept(BEST)
        except InputError as fault:
            if self.best_step == self.step:
                self._keep_best()
                return
            best, checkpoint = self._folder.path / BEST, self._folder.checkpoint
            raise InputError(
                f"{best} is damaged or gone, and only the whole training makes it again: remove "
                f"{checkpoint} to begin again, or take {LAST} beside it"
            ) from fault

    def _go_back(self, sound: dict[str, Any], loss: float) -> WentBack:
        run = self._run
        failed, detours = self.step, run.detours + 1
        why = "the loss" if not math.isfinite(loss) else "a weight"
        if detours > DETOURS:
            raise InputError(
                f"the training diverged again and again in stage {self._index + 1} ({why} is no "
                f"number at step {failed}): lower its lr ({run.stage.lr:g}) or clip harder "
                f"({run.stage.clip:g})"
            )
        run.load_state_dict(copy.deepcopy(sound))
        run.detours = detours
        sound["detours"] = detours
        return WentBack(failed, self.step, f"{why} was no number")

    def _next_stage(self) -> None:
        """Go on from the averaged weights in the form of the next stage."""
        run = self._run
        run.close()
        run.student.network.load_state_dict(run.ema.network.state_dict())
        had_bias = run.student.network.architecture.bias
        self._index += 1
        self._enter(run.student)
        if had_bias and not self._run.student.network.architecture.bias:
            self._best_gain = -math.inf  # what was best is another network than the one to deliver

    def _enter(self, student: Student) -> None:
        stage = self._recipe.stages[self._index]
        student = enter(student, stage, self._seed)
        material = self._sources.material(self._index)
        key = (self._seed, self._index)

        def run(precision: Precision) -> StageRun:
            return StageRun(stage, student, material, key, self._device, self._world, precision)

        if self._precision is None and self._device.startswith("cuda"):
            probe = run(Precision())
            self._precision = probe.choose_precision()
            probe.close()
        self._run = run(self._precision or Precision())

    def _note(self) -> str:
        stage = self._recipe.stages[self._index]
        patch = self._sources.patch(self._index)
        words = [f"{stage.steps} steps of {stage.batch} crops of {patch}"]
        words += [" + ".join(stage.losses), f"{stage.optimiser} {stage.lr:g}"]
        words += ["folded"] if stage.fold else []
        words += ["without biases"] if stage.remove_bias else []
        words += [str(self._run.precision)] if self._device.startswith("cuda") else []
        return ", ".join(words)


def _whole_qps(values: Mapping[int | None, float]) -> dict[int, float]:
    return {qp: value for qp, value in values.items() if qp is not None}


def _point(looked: Looked) -> Point:
    return Point(
        step=looked.step,
        stage=looked.stage,
        loss=looked.loss,
        gain_db=looked.gain_db,
        gain_cb_db=looked.gain_cb_db,
        gain_cr_db=looked.gain_cr_db,
        gain_db_per_qp=dict(looked.gain_db_per_qp),
        psnr_y_db=dict(looked.psnr_y_db),
        best=looked.best,
        seconds=looked.seconds,
    )
