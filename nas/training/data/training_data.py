"""Where the stages of a training get their crops, and what a teacher has to say about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import cycle
from math import lcm

import numpy as np
import torch
from torch import Tensor

from nas.common.errors import InputError
from nas.common.text import Progress, silent
from nas.data.store import PairSet
from nas.data.windows import Window
from nas.training.core.runtime import SINGLE, DistContext
from nas.training.data.batches import BatchCutter, CropSource, Maps
from nas.training.data.crops import Crops
from nas.training.data.teacher_quality import evaluate_teacher, require_gain
from nas.training.losses.phases import network_input
from nas.training.recipe.recipe import Recipe
from search_spaces.architecture import SCALE
from teachers.cache import teacher_outputs
from teachers.features import STRIDE, Features
from teachers.loading import Teacher

_CALIBRATION = 24, 48
"""Crops and their LR side that the first tail is fitted to, as in the proxy run."""


class TrainingData:
    """What the stages of a training learn from.

    The teacher sees whole pictures, clean or compressed, once: its outputs are kept in the set's
    folder.

    Attributes:
        notes: what a person should know, in sentences.

    Args:
        recipe: its stages say what they want.
        factor: the network's working factor, which divides every crop.
        pair_set: its training pictures are used.
        teacher: whom to ask; None leaves out what the recipe wants of one.
        held_out: windows on which the teacher must beat Lanczos.
        context: of several processes the first asks the teacher, the others read what it said.
        device: where batches are wanted, and where the teacher works.
        progress: called while it works, and while pictures are searched for detail.

    Raises:
        InputError: no training picture is large enough, the set has none of the QPs, the teacher
            is below Lanczos, or its outputs cannot be kept.
    """

    def __init__(
        self,
        recipe: Recipe,
        factor: int,
        pair_set: PairSet,
        teacher: Teacher | None,
        held_out: Sequence[Window],
        context: DistContext,
        device: str,
        progress: Progress,
    ) -> None:
        self.recipe, self.pair_set, self.teacher = recipe, pair_set, teacher
        self.context, self.device, self.progress = context, device, progress
        self._held_out = held_out
        wants_features = any(s.distillation.wants_features for s in recipe.stages)
        self._grid = STRIDE if teacher is not None and wants_features else 1
        self._unit = lcm(factor, self._grid)
        self._crops: dict[tuple[int, tuple[int, ...]], Crops] = {}
        notes = []
        if recipe.wants_teacher and teacher is None:
            notes.append("no teacher is given: what the recipe would learn from one is left out")
        if teacher is not None and not recipe.wants_teacher:
            notes.append(f"recipe {recipe.name} has no use for a teacher: {teacher.name} is idle")
        for index, stage in enumerate(recipe.stages):
            context.part(stage.batch)
            recipe.qps_of(stage, pair_set.qps)
            if (patch := self.patch(index)) < stage.patch:
                notes.append(
                    f"stage {index + 1} uses crops of {patch} LR pixels, not {stage.patch}: "
                    "the set's pictures are too small for that"
                )
        self.notes = tuple(notes)

    def patch(self, index: int) -> int:
        """LR side of a stage's crops: a multiple of the working factor, and not too large.

        Where hardly any picture is as large as the recipe wants, it is what half of them have.
        """
        sides = sorted(min(p.height, p.width) // SCALE for p in self.pair_set.train)
        if not sides:
            raise InputError(f"{self.pair_set.path} has no picture to train on")
        wanted = -(-self.recipe.stages[index].patch // self._unit) * self._unit
        room = sides[len(sides) // 2] // self._unit * self._unit
        if room < self._unit * 2:
            raise InputError(
                f"the training pictures of {self.pair_set.path} are too small: most have sides of "
                f"less than {2 * SCALE * self._unit} pixels"
            )
        return min(wanted, room)

    def crops(self, index: int) -> CropSource:
        """What the batches of a stage are cut from."""
        stage = self.recipe.stages[index]
        crops = self._crops_of(index)
        taught = stage.distillation
        outputs: Sequence[Maps] = ()
        if self.teacher is not None and taught.wants_output:
            outputs = [self._outputs[i] for i in crops.indices]
        if self.teacher is not None and taught.wants_features:
            channels, maps = self._features
            return CropSource(crops, outputs, [maps[i] for i in crops.indices], channels)
        return CropSource(crops, outputs)

    def calibration(self, seed: int) -> tuple[Tensor, Tensor]:
        """Pictures that a first tail is fitted to: LR and HR, floats in [0, 1]."""
        count, side = _CALIBRATION
        crops = self._crops_of(0)
        batch = BatchCutter(CropSource(crops), count, (seed,), self.device, SINGLE).cut(0)
        side = min(crops.patch, side // self._unit * self._unit)
        lr, hr = batch.lr[..., :side, :side], batch.hr[..., : SCALE * side, : SCALE * side]
        return network_input(lr), hr.to(torch.float32).div_(255)

    def _crops_of(self, index: int) -> Crops:
        qps = self.recipe.qps_of(self.recipe.stages[index], self.pair_set.qps)
        key = (self.patch(index), qps)
        if key not in self._crops:
            self._crops[key] = Crops(
                self.pair_set.train, key[0], qps, grid=self._grid, progress=self.progress
            )
        return self._crops[key]

    @cached_property
    def _outputs(self) -> list[Maps]:
        teacher = self._trusted
        folder = self.pair_set.teacher_folder

        def ask(lr: list[np.ndarray], progress: Progress) -> list[np.ndarray]:
            return teacher_outputs(teacher, lr, folder, progress, device=self.device)

        return self._asked(teacher, ask)

    @cached_property
    def _features(self) -> tuple[tuple[int, ...], list[Maps]]:
        features = Features(self._trusted)
        folder = self.pair_set.teacher_folder

        def ask(lr: list[np.ndarray], progress: Progress) -> list[np.ndarray]:
            return features.of(lr, folder, progress, device=self.device)

        return features.channels, self._asked(self._trusted, ask)

    @cached_property
    def _trusted(self) -> Teacher:
        """The teacher, once it has shown that it beats Lanczos."""
        assert self.teacher is not None
        if self.context.is_main:
            quality = evaluate_teacher(
                self.teacher,
                self.pair_set,
                pictures=self._held_out,
                device=self.device,
                progress=self.progress,
            )
            require_gain(self.teacher, quality)
        return self.teacher

    def _asked(
        self, teacher: Teacher, ask: Callable[[list[np.ndarray], Progress], list[np.ndarray]]
    ) -> list[Maps]:
        """What the teacher makes of every picture at the levels that are trained on.

        Of several processes the first asks it, and the others read what it kept.
        """
        recipe, prepared = self.recipe, self.pair_set.qps
        used = {qp for stage in recipe.stages for qp in recipe.qps_of(stage, prepared)}
        qps = tuple(qp for qp in prepared if qp in used)
        lr = [p.lr(level) for p in self.pair_set.train for level in teacher.levels(qps)]
        if self.context.size > 1:
            if self.context.is_main:
                ask(lr, self.progress)
            self.context.barrier()
        made = ask(lr, self.progress if self.context.size == 1 else silent)
        # Asked about the clean LR, it says the same at every level.
        return [dict(zip(qps, cycle(maps), strict=False)) for maps in teacher.by_picture(made, qps)]
