"""A teacher's training under way: its settings, its step, and the checkpoint it goes on from."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from nas.training.core.optim import Ema
from nas.training.data.crops import Crops
from nas.training.engine.checkpoint import load_checkpoint, save_checkpoint
from nas.training.losses.losses import losses
from nas.training.recipe.schedules import warmed_cosine
from teachers.hat.network import HAT
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


class TeacherRun:
    """A training under way.

    Attributes:
        network: What is trained.
        step: Steps done.
        seconds: Time they took, over all resumptions.
    """

    def __init__(self, network: HAT, training: TeacherTraining, device: str | torch.device) -> None:
        self.training, self.device = training, device
        self.network = network.to(device).train().requires_grad_(True)
        self._ema = Ema(self.network, training.decay)
        self.optimiser = torch.optim.Adam(
            self.network.parameters(), lr=training.lr, betas=(0.9, 0.99)
        )
        self.step = 0
        self.seconds = 0.0

    @property
    def average(self) -> HAT:
        """The moving average of its weights, in eval mode: what is kept."""
        return self._ema.network

    @property
    def done(self) -> float:
        """Share of the run that is behind, 0 to 1: by steps or by time, whichever is further."""
        done = self.step / self.training.steps
        if self.training.minutes is not None:
            done = max(done, self.seconds / (60 * self.training.minutes))
        return min(done, 1.0)

    def advance(self, crops: Crops) -> float:
        """Do one step; return its loss."""
        began = time.monotonic()
        training = self.training
        # Crops are a function of the step, so that a resumed run sees what it would have seen.
        rng = np.random.default_rng((training.seed, self.step))
        lr, hr = (t.to(self.device).float() / 255 for t in crops.draw(training.batch, rng))
        for group in self.optimiser.param_groups:
            group["lr"] = training.lr * warmed_cosine(self.done, training.warmup)
        loss = losses[training.loss].function(self.network(lr), hr)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._ema.update()
        value = float(loss.detach())
        self.seconds += time.monotonic() - began
        return value

    def save(self, path: Path, identity: str) -> None:
        """Replace the checkpoint at ``path``; ``identity`` says whose it is.

        Raises:
            InputError: It cannot be written.
        """
        state = {
            "network": self.network.state_dict(),
            "average": self._ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        save_checkpoint(path, {_WHOSE: identity}, state)

    def restore(self, path: Path, identity: str) -> None:
        """Go on from a checkpoint, if there is one.

        Raises:
            InputError: It is another run's, or no checkpoint.
        """
        state = load_checkpoint(path, {_WHOSE: identity})
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        self._ema.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]


_WHOSE = "set or other settings"
