"""What a student minimizes: the losses of a recipe's stage, and distillation from a teacher.

A student that predicts luma is compared by luma, with the same losses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from nas.training.core.precision import Precision
from nas.training.data.batches import Batch
from nas.training.engine.stage import StepSettings
from nas.training.engine.student import HALF, VARIANCE, Student
from nas.training.losses import distillation
from nas.training.losses.losses import downscale, l1, losses, mse
from nas.training.losses.phases import network_input, target_phases, trained_phases
from nas.training.recipe.stage import Stage, any_of
from nas.training.recipe.stage import at as value_at
from search_spaces.networks.network import Network
from search_spaces.networks.parts import LUMA


@dataclass(frozen=True)
class Prediction:
    """The student's output for a batch.

    Attributes:
        phases: (N, 3 r^2, h, w), its output before the last pixel-shuffle by r; (N, r^2, h, w) of
            its luma where that is its output.
        shuffle: r.
        features: input of its tail.
        maps: features of its body, one for each map of the teacher.
    """

    phases: Tensor
    shuffle: int
    features: Tensor
    maps: tuple[Tensor, ...] = ()

    @cached_property
    def picture(self) -> Tensor:
        """(N, 3, 4H, 4W), or (N, 1, 4H, 4W) of luma."""
        return F.pixel_shuffle(self.phases, self.shuffle)

    @property
    def planes(self) -> Tensor:
        """The phases as (N, 3 or 1, r^2, h, w)."""
        return self.phases.unflatten(1, (-1, self.shuffle**2))

    def comparable(self, colours: Tensor) -> Tensor:
        """(N, 3, ...) images, or their luma (N, 1, ...) where that is predicted."""
        if self.planes.shape[1] == 3:
            return colours
        weights = colours.new_tensor(LUMA).view(3, *[1] * (colours.dim() - 2))
        return (colours * weights).sum(1, keepdim=True)


def objective(
    stage: Stage, student: Student, prediction: Prediction, batch: Batch, progress: float
) -> Tensor:
    """The number to minimize for a student's prediction when this share of a stage is done."""
    taught = stage.distillation
    mix = value_at(taught.mix, progress) if batch.teacher is not None else 0.0
    total = prediction.phases.new_zeros(())
    weights = {name: weight for name, weight in stage.losses.items() if weight}
    if any(losses[name].pixelwise for name in weights):
        sr = prediction.planes
        phases = _target_phases(batch.hr, batch.teacher, mix, prediction.shuffle)
        target = prediction.comparable(phases)
        for name, weight in weights.items():
            if losses[name].pixelwise:
                total = total + weight * losses[name].function(sr, target)
    if not all(losses[name].pixelwise for name in weights) or stage.auxiliary_x2:
        target = prediction.comparable(_target(batch.hr, batch.teacher, mix))
        for name, weight in weights.items():
            loss = losses[name]
            if loss.uncertain:
                spread = student.heads[VARIANCE](prediction.features)
                total = total + weight * loss.function(prediction.picture, target, spread)
            elif not loss.pixelwise:
                total = total + weight * loss.function(prediction.picture, target)
        if stage.auxiliary_x2:
            half = student.heads[HALF](prediction.features)
            total = total + stage.auxiliary_x2 * l1(half, downscale(target, 2))
    return total + _distillation(stage, prediction, batch, progress)


def _distillation(stage: Stage, prediction: Prediction, batch: Batch, progress: float) -> Tensor:
    """The losses against the teacher; its share in the target is not among them."""
    taught = stage.distillation
    total = prediction.phases.new_zeros(())
    if batch.teacher is not None and taught.output is not None:
        weight = value_at(taught.output.weight, progress)
        if weight:
            function = l1 if taught.output.loss == "l1" else mse
            target = _target_phases(batch.teacher, None, 0.0, prediction.shuffle)
            total = total + weight * function(prediction.planes, prediction.comparable(target))
    if batch.teacher is not None and any_of(taught.contrastive):
        weight = value_at(taught.contrastive, progress)
        positive = prediction.comparable(batch.teacher.float().div_(255))
        negative = prediction.comparable(distillation.lanczos_up(batch.lr))
        total = total + weight * distillation.contrastive(prediction.picture, positive, negative)
    if batch.features and any_of(taught.affinity):
        weight = value_at(taught.affinity, progress)
        total = total + weight * distillation.affinity(prediction.maps, batch.features)
    return total


def _target_phases(hr: Tensor, teacher: Tensor | None, mix: float, shuffle: int) -> Tensor:
    """The target in the order of the phases: (N, 3, r^2, h, w), in channels_last as these are."""
    target = target_phases(hr, shuffle)
    if teacher is not None and mix:
        target.lerp_(target_phases(teacher, shuffle), mix)
    return target.permute(0, 3, 1, 2).unflatten(1, (3, -1))


def _target(hr: Tensor, teacher: Tensor | None, mix: float) -> Tensor:
    target = hr.to(torch.float32).div_(255)
    if teacher is not None and mix:
        target.lerp_(teacher.to(torch.float32).div_(255), mix)
    return target


class StudentTask:
    """A student in the form of one stage; see `nas.training.engine.stage.Task`.

    Args:
        stage: of the recipe.
        student: in the form of the stage, on the device.
        seed: of the training.
        index: of the stage.
        maps: feature maps to compare with the teacher's.
    """

    def __init__(self, stage: Stage, student: Student, seed: int, index: int, maps: int) -> None:
        self.stage, self.module = stage, student
        self.settings = StepSettings(
            steps=stage.steps,
            batch=stage.batch,
            optimizer=stage.optimiser,
            lr=stage.lr,
            adam_lr=stage.adam_lr,
            betas=stage.betas,
            clip=stage.clip,
            ema=stage.ema,
        )
        self._key = (seed, index)
        self._hooks = FeatureHooks(student.network, maps)

    @property
    def network(self) -> Network:
        """The part of the student that is measured and saved."""
        return self.module.network

    def crop_key(self, rollbacks: int) -> tuple[int, ...]:
        """Numbers that, with the step, decide the crops."""
        return (*self._key, rollbacks)

    def rate(self, progress: float) -> float:
        """Share of the peak learning rate when this share of the stage is done."""
        return self.stage.schedule.rate(progress)

    def loss(self, batch: Batch, progress: float, precision: Precision) -> Tensor:
        """The stage's objective on a batch."""
        network = self.network
        if network.architecture.planes == 3:
            batch = batch.greyed(round(self.stage.grey * len(batch.lr)))
        lr = network_input(batch.lr, precision.layout)
        with precision.autocast(lr.device.type):
            features = network.features(lr)
        features = features.float()
        phases = trained_phases(network, features, lr)
        prediction = Prediction(phases, network.shuffle, features, self._hooks.maps())
        return objective(self.stage, self.module, prediction, batch, progress)

    def close(self) -> None:
        """Remove the hooks."""
        self._hooks.remove()


class FeatureHooks:
    """Records feature maps of a network's body as it runs, at evenly spaced depths."""

    def __init__(self, network: Network, count: int) -> None:
        layers = list(network.body) or [network.stem]
        self._depths = [max(0, math.ceil(len(layers) * (i + 1) / count) - 1) for i in range(count)]
        self._maps: dict[int, Tensor] = {}
        self._hooks = [
            layers[depth].register_forward_hook(
                lambda module, inputs, output, depth=depth: self._maps.update({depth: output})
            )
            for depth in sorted(set(self._depths))
        ]

    def maps(self) -> tuple[Tensor, ...]:
        """The maps of the last forward pass."""
        return tuple(self._maps[depth].float() for depth in self._depths)

    def remove(self) -> None:
        """Remove the hooks from the network."""
        for hook in self._hooks:
            hook.remove()
