"""The training loop of recipes and teachers: stages, guard against divergence, checkpoints."""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch

from nas.common.errors import InputError
from nas.measure.device_lock import DeviceLock
from nas.training.core.runtime import SINGLE, DistContext, defer_signals
from nas.training.engine.events import Event, RolledBack, Saved, StageStarted, Stepped
from nas.training.engine.stage import StageTrainer

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
        self._device_lock: DeviceLock

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
            self._device_lock = stack.enter_context(DeviceLock(self.device))
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
            self._device_lock.yield_device()
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
            self._device_lock.yield_device()
            yield from self.validate()
            self._device_lock.release()

    def _next_stage(self) -> None:
        """Continue from the averaged weights."""
        stage = self.current
        stage.close()
        stage.task.network.load_state_dict(stage.ema.network.state_dict())
        self.current = self.open_stage(self.state.stage + 1)
        self.current.seconds = stage.seconds
        self.state.stage += 1
