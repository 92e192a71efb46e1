"""Training of a teacher as a task: its settings, its loss, and its single stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nas.training.core.precision import Precision
from nas.training.data.batches import Batch, CropSource
from nas.training.data.crops import Crops
from nas.training.engine.checkpoint import load_checkpoint, save_checkpoint
from nas.training.engine.stage import StageTrainer, StepSettings
from nas.training.engine.trainer import Trainer
from nas.training.losses.losses import losses
from nas.training.recipe.schedules import warmed_cosine
from teachers.loading import TeacherInput


@dataclass(frozen=True, slots=True)
class TeacherTraining:
    """How a teacher is trained.

    Attributes:
        steps: Optimiser steps; with ``minutes`` an upper limit.
        minutes: Wall-clock training time after which the schedule has run down, over all
            resumptions; None trains all steps.
        batch: Crops in a step.
        patch: LR side of a crop; a multiple of the window wastes nothing.
        lr: Peak learning rate (Adam).
        warmup: Share of the run in which the rate rises; then it falls along a cosine to zero.
        decay: Of the moving average of weights, which is what is kept.
        input: ``clean`` trains on LR that no encoder has touched: what teachers see by default.
            ``compressed`` draws from the set's QPs and the clean LR alike.
        loss: ``mse``, or ``charbonnier`` (a smooth L1) for long trainings: in the first hundred
            steps of hat-tiny it gained 0.01 dB over Lanczos where MSE gained 0.5.
        seed: Of the initial weights and of the crops.
    """

    steps: int = 20_000
    minutes: float | None = None
    batch: int = 4
    patch: int = 32
    lr: float = 1e-3
    warmup: float = 0.03
    decay: float = 0.995
    input: TeacherInput = "clean"
    loss: Literal["mse", "charbonnier"] = "mse"
    seed: int = 0


class TeacherTask:
    """A teacher and its loss; see `nas.training.engine.stage.Task`."""

    def __init__(self, network: nn.Module, training: TeacherTraining) -> None:
        self.module = self.network = network.train().requires_grad_(True)
        self.training = training
        self.settings = StepSettings(
            steps=training.steps,
            batch=training.batch,
            lr=training.lr,
            fused=False,
            ema=training.decay,
            minutes=training.minutes,
        )

    def crop_key(self, rollbacks: int) -> tuple[int, ...]:
        """Numbers that, with the step, decide the crops."""
        return (self.training.seed, rollbacks) if rollbacks else (self.training.seed,)

    def rate(self, progress: float) -> float:
        """Share of the peak learning rate when this share of the training is done."""
        return warmed_cosine(progress, self.training.warmup)

    def loss(self, batch: Batch, progress: float, precision: Precision) -> Tensor:
        """The loss between the teacher's output and the HR crops."""
        lr, hr = (images.float() / 255 for images in (batch.lr, batch.hr))
        return losses[self.training.loss].function(self.network(lr), hr)

    def close(self) -> None:
        """Nothing is attached to a teacher."""


class TeacherTrainer(Trainer):
    """Trains a teacher in a single stage.

    Args:
        network: on the device.
        training: how.
        crops: of the training images.
        checkpoint: the file to resume from.
        identity: what the training depends on.
        device: where to train.
    """

    def __init__(
        self,
        network: nn.Module,
        training: TeacherTraining,
        crops: Crops,
        checkpoint: Path,
        identity: str,
        device: str | torch.device,
    ) -> None:
        super().__init__((training.steps,), (), str(device))
        self._task, self._crops = TeacherTask(network, training), CropSource(crops)
        self._checkpoint, self._settings = checkpoint, {"set or other settings": identity}
        saved = load_checkpoint(checkpoint, self._settings)
        if saved is None:
            self.start()
        else:
            self.resume(saved if "run" in saved else _from_format_1(saved))

    def open_stage(self, index: int) -> StageTrainer:
        """The only stage."""
        precision = Precision(channels_last=False)
        return StageTrainer(self._task, self._crops, self.device, self.context, precision)

    def write(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint."""
        save_checkpoint(self._checkpoint, self._settings, state)

    def advice(self) -> str:
        """What the user can change if the training diverges."""
        return f"lower its learning rate ({self._task.training.lr:g})"


def _from_format_1(saved: Mapping[str, Any]) -> dict[str, Any]:
    """The state of a checkpoint that was written before teachers shared the trainer."""
    return {
        "stage": 0,
        "run": {
            "step": saved["step"],
            "detours": 0,
            "student": saved["network"],
            "ema": saved["average"],
            "optimiser": {"muon": {"means": []}, "adam": saved["optimiser"]},
            "scale": {"factor": 1.0, "good": 0},
            "losses": [],
        },
        "torch_rng": torch.get_rng_state(),
        "best_step": 0,
        "best_gain": 0.0,
        "looked": -1,
        "losses": [],
        "seconds": saved["seconds"],
    }
