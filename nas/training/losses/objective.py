"""What a step minimises: the losses that a stage names, and what it learns from a teacher.

A student whose output is luma is compared by its luma alone, with the same losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from nas.training.data.batches import Batch
from nas.training.engine.student import HALF, VARIANCE, Student
from nas.training.losses import distillation
from nas.training.losses.losses import downscale, l1, losses, mse
from nas.training.proxy.step import target_phases
from nas.training.recipe.stage import Stage, any_of, at
from search_spaces.networks.parts import LUMA


@dataclass(frozen=True)
class Prediction:
    """What the student made of a batch.

    Attributes:
        phases: (N, 3 r^2, h, w), its output before the last pixel-shuffle by r; (N, r^2, h, w) of
            its luma where that is its output.
        shuffle: r.
        features: what its tail read.
        maps: features on the way, one for each map of the teacher.
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
        """(N, 3, ...) as what was predicted: itself, or its luma (N, 1, ...)."""
        if self.planes.shape[1] == 3:
            return colours
        weights = colours.new_tensor(LUMA).view(3, *[1] * (colours.dim() - 2))
        return (colours * weights).sum(1, keepdim=True)


def objective(
    stage: Stage, student: Student, made: Prediction, batch: Batch, progress: float
) -> Tensor:
    """The number to minimise.

    Args:
        stage: names losses and weights.
        student: has the heads that some losses need.
        made: its prediction from the batch's LR.
        batch: what it is compared with.
        progress: share of the stage that is done.
    """
    taught = stage.distillation
    mix = at(taught.mix, progress) if batch.teacher is not None else 0.0
    total = made.phases.new_zeros(())
    weights = {name: weight for name, weight in stage.losses.items() if weight}
    if any(losses[name].pixelwise for name in weights):
        sr = made.planes
        target = made.comparable(_target_phases(batch.hr, batch.teacher, mix, made.shuffle))
        for name, weight in weights.items():
            if losses[name].pixelwise:
                total = total + weight * losses[name].function(sr, target)
    if not all(losses[name].pixelwise for name in weights) or stage.auxiliary_x2:
        target = made.comparable(_target(batch.hr, batch.teacher, mix))
        for name, weight in weights.items():
            loss = losses[name]
            if loss.uncertain:
                spread = student.heads[VARIANCE](made.features)
                total = total + weight * loss.function(made.picture, target, spread)
            elif not loss.pixelwise:
                total = total + weight * loss.function(made.picture, target)
        if stage.auxiliary_x2:
            half = student.heads[HALF](made.features)
            total = total + stage.auxiliary_x2 * l1(half, downscale(target, 2))
    return total + _taught(stage, made, batch, progress)


def _taught(stage: Stage, made: Prediction, batch: Batch, progress: float) -> Tensor:
    """What the teacher adds beside a share of the target."""
    taught = stage.distillation
    total = made.phases.new_zeros(())
    if batch.teacher is not None and taught.output is not None:
        weight = at(taught.output.weight, progress)
        if weight:
            function = l1 if taught.output.loss == "l1" else mse
            target = _target_phases(batch.teacher, None, 0.0, made.shuffle)
            total = total + weight * function(made.planes, made.comparable(target))
    if batch.teacher is not None and any_of(taught.contrastive):
        weight = at(taught.contrastive, progress)
        positive = made.comparable(batch.teacher.float().div_(255))
        negative = made.comparable(distillation.lanczos_up(batch.lr))
        total = total + weight * distillation.contrastive(made.picture, positive, negative)
    if batch.features and any_of(taught.affinity):
        weight = at(taught.affinity, progress)
        total = total + weight * distillation.affinity(made.maps, batch.features)
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
