"""One stage of a training: its step, and the state that it resumes from."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from nas.training.core.optim import Ema, optimizers
from nas.training.core.precision import ALL, LossScale, Precision, fastest
from nas.training.core.runtime import DistContext
from nas.training.data.batches import Batch, BatchCutter, CropSource


@dataclass(frozen=True, slots=True)
class StepSettings:
    """How a stage steps, whatever its loss.

    Attributes:
        steps: length of the stage.
        batch: crops of a step, over all processes.
        optimizer: name in `optimizers`.
        lr: peak rate of Muon, or of Adam alone.
        adam_lr: peak rate of Adam beside Muon.
        betas: Adam's.
        fused: use Adam's fused kernel, which rounds differently from its loop.
        clip: largest norm of the gradient; 0 does not clip.
        ema: decay of the moving average of the weights.
        minutes: training time, over all resumptions, that ends the stage before ``steps``.
    """

    steps: int
    batch: int
    lr: float
    adam_lr: float = 0.0
    optimizer: str = "adam"
    betas: tuple[float, float] = (0.9, 0.99)
    fused: bool = True
    clip: float = 1.0
    ema: float = 0.999
    minutes: float | None = None


class Task(Protocol):
    """What a stage trains and by which loss: a student by a recipe, or a teacher."""

    settings: StepSettings

    @property
    def module(self) -> nn.Module:
        """Holds all parameters that are trained."""

    @property
    def network(self) -> nn.Module:
        """The part of it whose moving average is measured and saved."""

    def crop_key(self, rollbacks: int) -> tuple[int, ...]:
        """Numbers that, with the step, decide the crops."""

    def rate(self, progress: float) -> float:
        """Share of the peak learning rate when this share of the stage is done."""

    def loss(self, batch: Batch, progress: float, precision: Precision) -> Tensor:
        """The number to minimize."""

    def close(self) -> None:
        """Remove what is attached to the network."""


class StageTrainer:
    """Trains one stage, step by step.

    Attributes:
        task: what is trained.
        ema: the moving average of its network.
        step: steps of the stage that are done.
        rollbacks: how often the stage was rolled back; later crops depend on it.
        seconds: training time, of earlier stages too.

    Args:
        task: on the device.
        crops: where batches are cut.
        device: where to train.
        context: the processes that train together.
        precision: number format and memory layout.
    """

    def __init__(
        self,
        task: Task,
        crops: CropSource,
        device: str,
        context: DistContext,
        precision: Precision,
    ) -> None:
        self.task, self.settings = task, task.settings
        self._crops, self._device, self._context = crops, device, context
        task.module.to(memory_format=precision.layout)  # type: ignore[call-overload]
        self.precision, self._scale = precision, LossScale(precision)
        self.ema: Ema[Any] = Ema(task.network, task.settings.ema)
        self._parameters = [p for p in task.module.parameters() if p.requires_grad]
        self._optimizer = optimizers[self.settings.optimizer](
            self._parameters, betas=self.settings.betas, fused=self.settings.fused
        )
        self.step = self.rollbacks = 0
        self.seconds = 0.0
        self._batches: Generator[Batch, None, None] | None = None
        self._losses: list[Tensor] = []
        self._mean = math.nan

    @property
    def progress(self) -> float:
        """Share of the stage that is done, by steps or by time, whichever is more."""
        by_steps = self.step / self.settings.steps
        if self.settings.minutes is None:
            return by_steps
        return min(1.0, max(by_steps, self.seconds / (60 * self.settings.minutes)))

    @property
    def rate(self) -> float:
        """Share of the peak learning rate at the next step."""
        return self.task.rate(self.progress)

    def advance(self) -> None:
        """Do one step."""
        if self._batches is None:
            self._batches = self._cutter().batches(self.step)
        loss = self.task.loss(next(self._batches), self.progress, self.precision)
        for parameter in self._parameters:
            parameter.grad = None
        (loss * self._scale.factor if self._scale.factor != 1 else loss).backward()
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        value = loss.detach()
        self._context.average([*gradients, value])
        if self._scale.unscale(gradients):
            if self.settings.clip:
                nn.utils.clip_grad_norm_(self._parameters, self.settings.clip)
            rate = self.rate
            self._optimizer.step(self.settings.lr * rate, self.settings.adam_lr * rate)
        self.ema.update()
        self.step += 1
        self._losses.append(value)

    def fastest_precision(self) -> Precision:
        """Measure which format is fastest on this GPU; the main process decides for all."""
        batch = self._cutter().cut(0)

        def step(precision: Precision) -> None:
            self.task.module.to(memory_format=precision.layout)  # type: ignore[call-overload]
            self.task.loss(batch, 0.0, precision).backward()

        chosen = torch.tensor(ALL.index(fastest(step, self._device)), device=self._device)
        self.task.module.zero_grad(set_to_none=True)
        self._context.broadcast([chosen])
        return ALL[int(chosen)]

    def mean_loss(self) -> float:
        """Mean of the losses since the last call; NaN where any of them is."""
        if self._losses:
            self._mean = float(torch.stack(self._losses).mean())
            self._losses.clear()
            return self._mean
        return math.nan

    def latest_loss(self) -> float:
        """The loss of the last step, or the last mean."""
        return float(self._losses[-1]) if self._losses else self._mean

    def is_finite(self) -> bool:
        """Whether all weights are finite, and all losses that the guard has not checked yet.

        A step that FP16 skips keeps finite weights, but resuming from its loss would fail.
        """
        tensors = (*self.task.module.parameters(), *self._losses)
        return all(bool(tensor.isfinite().all()) for tensor in tensors)

    def close(self) -> None:
        """Stop the thread that cuts batches, and detach from the network."""
        self._stop_batches()
        self.task.close()

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next steps depend on."""
        return {
            "step": self.step,
            "detours": self.rollbacks,
            "student": self.task.module.state_dict(),
            "ema": self.ema.state_dict(),
            "optimiser": self._optimizer.state_dict(),
            "scale": self._scale.state_dict(),
            "losses": list(self._losses),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned for the same stage."""
        self._stop_batches()
        # Checkpoints are read on the CPU; optimizers and networks copy theirs to their device.
        self._losses = [loss.to(self._device) for loss in state["losses"]]
        self.task.module.load_state_dict(state["student"])
        self.ema.load_state_dict(state["ema"])
        self._optimizer.load_state_dict(state["optimiser"])
        self._scale.load_state_dict(state["scale"])
        self.step, self.rollbacks = state["step"], state["detours"]

    def _stop_batches(self) -> None:
        if self._batches is not None:
            self._batches.close()
            self._batches = None

    def _cutter(self) -> BatchCutter:
        key = self.task.crop_key(self.rollbacks)
        return BatchCutter(self._crops, self.settings.batch, key, self._device, self._context)
