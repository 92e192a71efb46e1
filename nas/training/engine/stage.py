"""One stage under way: its step, and the state that it goes on from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from nas.training.core.optim import Ema, Optimiser
from nas.training.core.precision import ALL, LossScale, Precision, fastest
from nas.training.core.runtime import World
from nas.training.data.batches import Batch, Batches, Material
from nas.training.engine.objective import Prediction, objective
from nas.training.engine.student import Student
from nas.training.losses.phases import network_input, trained_phases
from nas.training.recipe.stage import Stage
from search_spaces.networks.network import Network


class StageRun:
    """A stage under way.

    Attributes:
        student: what is trained.
        ema: the moving average of its network: what is looked at and kept.
        step: steps of the stage that are done.
        detours: how often the stage went back; crops after that are others.

    Args:
        stage: how to train.
        student: in the form of the stage, on the device.
        material: where crops are cut.
        key: with the step, what decides the crops.
        device: where to train.
        world: the processes that train together.
        precision: number format and memory layout.
    """

    def __init__(
        self,
        stage: Stage,
        student: Student,
        material: Material,
        key: tuple[int, ...],
        device: str,
        world: World,
        precision: Precision,
    ) -> None:
        student.to(memory_format=precision.layout)  # type: ignore[call-overload]
        self.precision, self.scale = precision, LossScale(precision)
        self.stage, self.student, self.material = stage, student, material
        self.key, self.device, self.world = key, device, world
        self.ema: Ema[Network] = Ema(student.network, stage.ema)
        self.parameters = student.trained()
        self.optimiser = Optimiser(
            self.parameters,
            kernels_by_muon=stage.optimiser == "muon",
            lr=stage.lr,
            adam_lr=stage.adam_lr,
            betas=stage.betas,
        )
        self.step = 0
        self.detours = 0
        self._batches: Iterator[Batch] | None = None
        self._losses: list[Tensor] = []
        self._mean = math.nan
        self._taps = _Taps(student.network, len(material.channels))

    def choose_precision(self) -> Precision:
        """Measure which format is fastest on this GPU; the first process decides for all."""
        batch = self._cutter().cut(0)

        def step(precision: Precision) -> None:
            self.precision = precision
            self.student.to(memory_format=precision.layout)  # type: ignore[call-overload]
            self._loss(batch).backward()

        chosen = torch.tensor(ALL.index(fastest(step, self.device)), device=self.device)
        self.student.zero_grad(set_to_none=True)
        self.world.share([chosen])
        return ALL[int(chosen)]

    @property
    def done(self) -> float:
        """Share of the stage that is behind, 0 to 1."""
        return self.step / self.stage.steps

    @property
    def rate(self) -> float:
        """Share of the peak learning rate at the coming step."""
        return self.stage.schedule.rate(self.done)

    def advance(self) -> None:
        """Do one step."""
        if self._batches is None:
            self._batches = self._cutter().after(self.step)
        loss = self._loss(next(self._batches))
        for parameter in self.parameters:
            parameter.grad = None
        (loss * self.scale.factor if self.scale.factor != 1 else loss).backward()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        told = loss.detach()
        self.world.average([*gradients, told])
        if self.scale.unscale(gradients):
            if self.stage.clip:
                nn.utils.clip_grad_norm_(self.parameters, self.stage.clip)
            self.optimiser.step(self.rate)
        self.ema.update()
        self.step += 1
        self._losses.append(told)

    def mean_loss(self) -> float:
        """Mean of the losses since the last call; not a number where any was none."""
        if not self._losses:
            return math.nan
        self._mean = float(torch.stack(self._losses).mean())
        self._losses.clear()
        return self._mean

    def latest_loss(self) -> float:
        """The loss of the last step, or of the window before it."""
        return float(self._losses[-1]) if self._losses else self._mean

    def sound(self) -> bool:
        """Whether all weights are numbers, and the losses that no guard has looked at yet.

        A step that FP16 leaves out keeps its weights, but to go on from its loss is to fail.
        """
        numbers = [*self.student.parameters(), *self._losses]
        return all(bool(tensor.isfinite().all()) for tensor in numbers)

    def close(self) -> None:
        """Stop cutting ahead."""
        self._forget_batches()
        self._taps.remove()

    def state_dict(self) -> dict[str, Any]:
        """Everything that the coming steps depend on."""
        return {
            "step": self.step,
            "detours": self.detours,
            "student": self.student.state_dict(),
            "ema": self.ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scale": self.scale.state_dict(),
            "losses": list(self._losses),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned, for the same stage of the same training."""
        self._forget_batches()
        # Checkpoints are read on the CPU; optimisers and networks copy theirs to where they are.
        self._losses = [loss.to(self.device) for loss in state["losses"]]
        self.student.load_state_dict(state["student"])
        self.ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scale.load_state_dict(state["scale"])
        self.step, self.detours = state["step"], state["detours"]

    def _forget_batches(self) -> None:
        """Stop the thread that cuts ahead, if there is one; what it has cut is not used."""
        if self._batches is not None:
            self._batches.close()  # type: ignore[attr-defined]
            self._batches = None

    def _cutter(self) -> Batches:
        key = (*self.key, self.detours)
        return Batches(self.material, self.stage.batch, key, self.device, self.world)

    def _loss(self, batch: Batch) -> Tensor:
        network = self.student.network
        if network.architecture.planes == 3:
            batch = batch.greyed(round(self.stage.grey * len(batch.lr)))
        lr = network_input(batch.lr, self.precision.layout)
        with self.precision.autocast(self.device):
            features = network.features(lr)
        features = features.float()
        phases = trained_phases(network, features, lr)
        made = Prediction(phases, network.shuffle, features, self._taps.taken())
        return objective(self.stage, self.student, made, batch, self.done)


class _Taps:
    """Takes feature maps off a network's body as it runs, at evenly spaced depths."""

    def __init__(self, network: Network, count: int) -> None:
        layers = list(network.body) or [network.stem]
        places = [max(0, math.ceil(len(layers) * (i + 1) / count) - 1) for i in range(count)]
        self._maps: dict[int, Tensor] = {}
        self._places = places
        self._hooks = [
            layers[place].register_forward_hook(
                lambda module, inputs, output, place=place: self._maps.update({place: output})
            )
            for place in sorted(set(places))
        ]

    def taken(self) -> tuple[Tensor, ...]:
        """The maps of the last run."""
        return tuple(self._maps[place].float() for place in self._places)

    def remove(self) -> None:
        """Leave the network as it was."""
        for hook in self._hooks:
            hook.remove()
