"""Full training: the stages of a recipe in order, for hours or days, through interruptions.

A killed training resumes from its last checkpoint and ends with the weights that it would have had
without the interruption, bit for bit on a CPU: crops depend on the seed and the step alone, and the
checkpoint holds everything else that the next step depends on.
"""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from nas.common.errors import InputError
from nas.common.text import Progress, silent
from nas.data.store import PairSet
from nas.measure.device_lock import Turns
from nas.training.core.precision import Precision, parse_precision
from nas.training.core.runtime import SINGLE, DistContext, defer_signals
from nas.training.data.training_data import TrainingData
from nas.training.engine.checkpoint import load_checkpoint, save_checkpoint
from nas.training.engine.events import (
    Event,
    RolledBack,
    Saved,
    StageStarted,
    Started,
    Stepped,
    Validated,
)
from nas.training.engine.folder import BEST, LAST, Point, TrainingFolder
from nas.training.engine.objective import StudentTask
from nas.training.engine.stage import StageTrainer
from nas.training.engine.student import (
    enter_stage,
    initial_student,
    start_at_baseline,
    start_from,
    with_bias_if_removed_later,
)
from nas.training.engine.validation import Validator, evaluate_final, finished
from nas.training.recipe.recipe import Recipe
from search_spaces.architecture import Architecture
from search_spaces.model_file import Model
from teachers.loading import Teacher

CHECKPOINT_SECONDS = 60.0
VALIDATIONS = 20
MIN_VALIDATION_STEPS = 50
GUARD_STEPS = 50
"""Steps between checks of the loss; each good one is a state to roll back to."""
MAX_ROLLBACKS = 3


@dataclass(slots=True)
class TrainState:
    """What a training remembers beside the state of its stage.

    Attributes:
        stage: index of the stage.
        best_step: step of the best validation.
        best_gain: its gain in dB.
        validated_at: step of the last validation, -1 before the first.
        losses: means since then, one for each guard window.
    """

    stage: int = 0
    best_step: int = 0
    best_gain: float = -math.inf
    validated_at: int = -1
    losses: list[float] = field(default_factory=list)


class Trainer(ABC):
    """Trains stages in order, with validation, checkpoints and rollbacks.

    Attributes:
        state: where it is.
        current: trains the current stage; set by `start` or `resume`.

    Args:
        stage_steps: length of each stage.
        validations: steps at which to validate.
        device: where to train.
        context: the processes that train together.
    """

    def __init__(
        self,
        stage_steps: Sequence[int],
        validations: Collection[int],
        device: str,
        context: DistContext = SINGLE,
    ) -> None:
        self._stage_steps, self._validations = stage_steps, validations
        self.device, self.context = device, context
        self.steps = sum(stage_steps)
        self.state = TrainState()
        self.current: StageTrainer
        self._good: dict[str, Any]
        self._turns: Turns

    @abstractmethod
    def open_stage(self, index: int) -> StageTrainer:
        """A trainer of a stage that starts from the weights of the stage before."""

    @abstractmethod
    def write(self, state: dict[str, Any]) -> None:
        """Write a checkpoint."""

    @abstractmethod
    def advice(self) -> str:
        """What the user can change if the stage diverges."""

    def describe_stage(self) -> str:
        """What the stage does, in a few words."""
        return ""

    def validate(self) -> Iterator[Event]:
        """Measure the averaged weights."""
        yield from ()

    @property
    def step(self) -> int:
        """Steps done in all stages."""
        return sum(self._stage_steps[: self.state.stage]) + self.current.step

    def start(self) -> None:
        """Begin the first stage."""
        self.current = self.open_stage(0)

    def resume(self, saved: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.current = self.open_stage(saved["stage"])
        self.current.load_state_dict(saved["run"])
        self.current.seconds = saved["seconds"]
        torch.set_rng_state(saved["torch_rng"])
        self.state = TrainState(
            saved["stage"],
            saved["best_step"],
            saved["best_gain"],
            saved["looked"],
            saved["losses"],
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on."""
        state = self.state
        return {
            "stage": state.stage,
            "step": self.step,
            "run": self.current.state_dict(),
            "precision": str(self.current.precision),
            "torch_rng": torch.get_rng_state(),
            "best_step": state.best_step,
            "best_gain": state.best_gain,
            "looked": state.validated_at,
            "losses": state.losses,
            "seconds": self.current.seconds,
        }

    def save(self) -> bool:
        """Write a checkpoint if all weights are finite; return whether it was written."""
        if not (self.context.is_main and self.current.is_finite()):
            return False
        self.write(self.state_dict())
        return True

    def run(self, checkpoint_seconds: float) -> Generator[Event, None, None]:
        """Do the remaining steps; a checkpoint is written at the end and if this is closed.

        Raises:
            InputError: the checkpoint cannot be written, or a stage diverges repeatedly.
            KeyboardInterrupt: a signal asked to stop, after the checkpoint was written.
        """
        with ExitStack() as stack:
            signals = stack.enter_context(defer_signals())
            self._turns = stack.enter_context(Turns(self.device))
            stack.callback(lambda: self.current.close())
            last_saved = time.monotonic()
            try:
                while True:
                    yield StageStarted(self.state.stage, self.step, self.describe_stage())
                    yield from self._validate_if_due()
                    for event in self._train_stage():
                        if event is not None:
                            yield event
                        if signals.stop_requested:
                            self.save()
                            raise KeyboardInterrupt
                        if time.monotonic() - last_saved >= checkpoint_seconds:
                            if self.save():
                                yield Saved(self.step)
                            last_saved = time.monotonic()
                    if self.state.stage + 1 == len(self._stage_steps):
                        break
                    self._next_stage()
                    self.save()
                self.save()
            except GeneratorExit:
                self.save()
                raise

    def _train_stage(self) -> Iterator[Event | None]:
        """Do the remaining steps of the stage; yields None after a step without an event."""
        stage = self.current
        self._good = copy.deepcopy(stage.state_dict())
        shown, since = stage.step, time.monotonic()
        while stage.progress < 1:
            began = time.monotonic()
            self._turns.next()
            rate = stage.rate
            stage.advance()
            event: Event | None = None
            if stage.step % GUARD_STEPS == 0 or stage.progress >= 1:
                event = self._guard()
            stage.seconds += time.monotonic() - began
            passed = time.monotonic() - since
            if event is None and passed >= 1:
                speed, loss = (stage.step - shown) / passed, stage.latest_loss()
                event = Stepped(self.step, self.steps, self.state.stage, loss, rate, speed)
            yield event
            validations = list(self._validate_if_due())
            yield from validations
            if event is not None or validations:
                shown, since = stage.step, time.monotonic()

    def _guard(self) -> RolledBack | None:
        """Remember a good state, or return to the last one and continue with other crops."""
        stage = self.current
        loss = stage.mean_loss()
        if math.isfinite(loss) and stage.is_finite():
            self.state.losses.append(loss)
            self._good = copy.deepcopy(stage.state_dict())
            return None
        failed, rollbacks = self.step, stage.rollbacks + 1
        what = "a weight" if math.isfinite(loss) else "the loss"
        if rollbacks > MAX_ROLLBACKS:
            raise InputError(
                f"the training diverged {rollbacks} times in stage {self.state.stage + 1} "
                f"({what} is not finite at step {failed}): {self.advice()}"
            )
        self._good["detours"] = rollbacks
        stage.load_state_dict(copy.deepcopy(self._good))
        return RolledBack(failed, self.step, f"{what} is not finite")

    def _validate_if_due(self) -> Iterator[Event]:
        due = self.step in self._validations and self.step > self.state.validated_at
        if not due or not self.current.is_finite():
            return  # the guard rolls back, and validation is due again
        self.state.validated_at = self.step
        if self.context.is_main:
            self._turns.next()
            yield from self.validate()
            self._turns.release()

    def _next_stage(self) -> None:
        """Continue from the averaged weights."""
        stage = self.current
        stage.close()
        stage.task.network.load_state_dict(stage.ema.network.state_dict())
        self.current = self.open_stage(self.state.stage + 1)
        self.current.seconds = stage.seconds
        self.state.stage += 1


class RecipeTrainer(Trainer):
    """Trains a student by a recipe into a folder.

    Args:
        architecture: the network.
        recipe: its stages.
        folder: what is written.
        data: crops and teacher outputs of each stage.
        validator: measures the averaged weights.
        settings: what the training depends on, for the checkpoint.
        seed: of weights and crops.
        precision: number format on a GPU; None measures which is fastest.
        device: where to train.
        context: the processes that train together.
    """

    def __init__(
        self,
        architecture: Architecture,
        recipe: Recipe,
        folder: TrainingFolder,
        data: TrainingData,
        validator: Validator,
        settings: Mapping[str, str],
        seed: int,
        precision: Precision | None,
        device: str,
        context: DistContext,
    ) -> None:
        every = max(MIN_VALIDATION_STEPS, recipe.steps // VALIDATIONS)
        validations = {*range(0, recipe.steps, every), recipe.steps}
        super().__init__([stage.steps for stage in recipe.stages], validations, device, context)
        self._recipe, self._folder, self._data, self._validator = recipe, folder, data, validator
        self._settings, self._seed, self._precision = settings, seed, precision
        architecture = with_bias_if_removed_later(architecture, recipe)
        self._student = initial_student(architecture, seed).to(device)

    def begin(self, start: Model | None, saved: Mapping[str, Any] | None) -> None:
        """Start from the interpolation baseline or a trained model, or resume.

        Raises:
            InputError: the best model is damaged, and cannot be written again.
        """
        if self.context.is_main:
            validated_at = -1 if saved is None else saved["looked"]
            self._folder.shorten_curve(validated_at)  # later validations are repeated
        if saved is None:
            if start is None:
                calibration = self._data.calibration(self._seed)
                start_at_baseline(self._student, *calibration, self._seed)
            else:
                start_from(self._student, start)
            self.context.broadcast(self._student.parameters())
            self.start()
            return
        for stage in self._recipe.stages[: saved["stage"]]:
            self._student = enter_stage(self._student, stage, self._seed)
        self._precision = parse_precision(saved["precision"])
        self.resume(saved)
        if self.context.is_main and math.isfinite(self.state.best_gain):
            self._require_best()

    def open_stage(self, index: int) -> StageTrainer:
        """A trainer of the student in the form of a stage."""
        stage, had_bias = self._recipe.stages[index], self._student.network.architecture.bias
        self._student = student = enter_stage(self._student, stage, self._seed)
        if had_bias and not student.network.architecture.bias:
            self.state.best_gain = -math.inf  # the network to deliver is another one now
        crops = self._data.crops(index)

        def trainer(precision: Precision) -> StageTrainer:
            task = StudentTask(stage, student, self._seed, index, len(crops.channels))
            return StageTrainer(task, crops, self.device, self.context, precision)

        if self._precision is None and self.device.startswith("cuda"):
            probe = trainer(Precision())
            self._precision = probe.fastest_precision()
            probe.close()
        return trainer(self._precision or Precision())

    def advice(self) -> str:
        """What the user can change if the stage diverges."""
        stage = self._recipe.stages[self.state.stage]
        return f"lower its lr ({stage.lr:g}) or its clip ({stage.clip:g})"

    def describe_stage(self) -> str:
        """What the stage does, in a few words."""
        stage = self._recipe.stages[self.state.stage]
        patch = self._data.patch(self.state.stage)
        words = [f"{stage.steps} steps of {stage.batch} crops of {patch}"]
        words += [" + ".join(stage.losses), f"{stage.optimiser} {stage.lr:g}"]
        words += ["folded"] if stage.fold else []
        words += ["without biases"] if stage.remove_bias else []
        words += [str(self.current.precision)] if self.device.startswith("cuda") else []
        return ", ".join(words)

    def write(self, state: dict[str, Any]) -> None:
        """Write the checkpoint and the last model."""
        self._folder.save(LAST, self.current.ema.network, {"at_step": str(self.step)})
        save_checkpoint(self._folder.checkpoint, self._settings, state)

    def validate(self) -> Iterator[Event]:
        """Measure the averaged weights, add to the curve, and keep the best model."""
        network, state = self.current.ema.network, self.state
        quality = self._validator.quality(network, self.device)
        best = quality.gain_db > state.best_gain
        if best:
            state.best_step, state.best_gain = self.step, quality.gain_db
            self._save_best()
        losses, state.losses = state.losses, []
        point = Point(
            step=self.step,
            stage=state.stage,
            loss=sum(losses) / len(losses) if losses else None,
            gain_db=quality.gain_db,
            gain_cb_db=quality.gain_cb_db,
            gain_cr_db=quality.gain_cr_db,
            gain_db_per_qp=_whole_qps(quality.gain_db_per_qp),
            psnr_y_db=_whole_qps(quality.psnr_y_db),
            best=best,
            seconds=self.current.seconds,
        )
        self._folder.add_to_curve(point)
        yield Validated(**dict(point), samples=self._validator.samples(network))

    def _save_best(self) -> None:
        facts = {"at_step": str(self.state.best_step), "gain_db": f"{self.state.best_gain:.4f}"}
        self._folder.save(BEST, self.current.ema.network, facts)

    def _require_best(self) -> None:
        """Check the best model: no checkpoint holds it, unless it is the newest."""
        try:
            self._folder.load(BEST)
        except InputError as fault:
            if self.state.best_step == self.step:
                self._save_best()
                return
            best, checkpoint = self._folder.path / BEST, self._folder.checkpoint
            raise InputError(
                f"{best} is damaged or missing, and only the whole training can write it again: "
                f"remove {checkpoint} to start over, or use {LAST} beside it"
            ) from fault


def _whole_qps(values: Mapping[int | None, float]) -> dict[int, float]:
    return {qp: value for qp, value in values.items() if qp is not None}


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
    context: DistContext = SINGLE,
    progress: Progress = silent,
) -> Iterator[Event]:
    """Train a network by a recipe.

    ``out`` gets ``best.safetensors`` (the averaged weights that did best on held-out windows),
    ``last.safetensors``, ``curve.jsonl``, ``training.json`` and, about every minute and when the
    training is interrupted or closed, ``checkpoint.pt``. The same call resumes; after the end it
    only reports the result, or writes again what has been damaged since. With several processes
    only the main one yields events, validates and writes.

    Args:
        name: of the models that are written.
        architecture: the network; a recipe that removes biases trains with them until then.
        recipe: how to train.
        pair_set: dataset to train and validate on.
        out: the folder to write.
        teacher: None leaves out what the recipe distills.
        start: a trained model of the same layers to start from; None starts at the
            interpolation baseline.
        seed: of weights and crops.
        device: where to train.
        precision: number format on a GPU; None measures which is fastest.
        licence: recorded in the models, if given.
        checkpoint_seconds: time between checkpoints.
        context: the processes that train together.
        progress: called while the teacher upscales and detail is measured.

    Raises:
        InputError: an argument cannot be used, ``out`` holds another training, has lost its best
            model or cannot be written, or the training diverges repeatedly.
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
        if context.is_main:
            yield finished(folder, result, already=True)
        return
    validator = Validator(pair_set)
    data = TrainingData(
        recipe, architecture.factor, pair_set, teacher, validator.windows, context, device, progress
    )
    trainer = RecipeTrainer(
        architecture, recipe, folder, data, validator, settings, seed, precision, device, context
    )
    trainer.begin(start, saved)
    if not context.is_main:
        for _ in trainer.run(checkpoint_seconds):
            pass
        return
    folder.describe(settings, None)
    yield Started(settings, recipe.steps, trainer.step, data.notes)
    yield from trainer.run(checkpoint_seconds)
    yield from evaluate_final(
        folder,
        pair_set,
        settings,
        best_step=trainer.state.best_step,
        steps=recipe.steps,
        seconds=trainer.current.seconds,
        device=device,
    )
