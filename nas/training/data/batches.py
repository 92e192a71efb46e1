"""Batches of crops, cut ahead of time; each is a function of the seed and the step alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from nas.training.core.runtime import DistContext
from nas.training.data.crops import Crops
from nas.training.data.patches import grey
from search_spaces.architecture import SCALE
from teachers.features import STRIDE

AHEAD = 3
"""Batches that are cut while a step runs."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Crops of one step.

    Attributes:
        lr: uint8 (N, 3, p, p).
        hr: uint8 (N, 3, 4p, 4p).
        teacher: the teacher's output, as ``hr``.
        features: the teacher's feature maps, floats (N, C, p/s, p/s) each.
    """

    lr: Tensor
    hr: Tensor
    teacher: Tensor | None = None
    features: tuple[Tensor, ...] = ()

    def greyed(self, count: int) -> Batch:
        """The batch with its first ``count`` crops in grey; features do not change."""
        if not count:
            return self
        lr, hr, *teacher = (
            torch.cat([grey(images[:count]), images[count:]])
            for images in (self.lr, self.hr, self.teacher)
            if images is not None
        )
        return Batch(lr, hr, teacher[0] if teacher else None, self.features)


Maps: TypeAlias = Mapping[int | None, np.ndarray]
"""QP of the LR -> array of one image, such as a teacher's output."""


@dataclass(frozen=True, slots=True)
class CropSource:
    """What the batches of a stage are cut from.

    Attributes:
        crops: the images.
        outputs: the teacher's output for each image; empty if not used.
        features: the teacher's feature maps for each image; empty if not used.
        channels: of each feature map.
    """

    crops: Crops
    outputs: Sequence[Maps] = ()
    features: Sequence[Maps] = ()
    channels: tuple[int, ...] = ()


class BatchCutter:
    """Cuts the batches of consecutive steps in a background thread.

    Batch ``n`` depends on ``key`` and n alone, so a resumed training needs no state. Several
    processes cut different parts of the same batch: their number changes only the order of sums.

    Args:
        source: where to cut.
        size: crops of a batch, over all processes.
        key: numbers that, with the step, seed the crops.
        device: of the batches.
        context: decides which part is cut here.
    """

    def __init__(
        self, source: CropSource, size: int, key: tuple[int, ...], device: str, context: DistContext
    ) -> None:
        self.source, self.size, self.key = source, size, key
        self.device, self.part = device, context.part(size)

    def cut(self, step: int) -> Batch:
        """Cut the batch of a step."""
        source, crops = self.source, self.source.crops
        chosen = crops.choose(self.size, np.random.default_rng((*self.key, step)))[self.part]
        teacher, features = None, ()
        if source.outputs:
            teacher = self._to_device(crops.aligned(chosen, source.outputs, SCALE))
        if source.features:
            maps = self._to_device(crops.aligned(chosen, source.features, 1 / STRIDE))
            features = maps.float().split(source.channels, dim=1)
        lr, hr = self._to_device(crops.lr(chosen)), self._to_device(crops.hr(chosen))
        return Batch(lr, hr, teacher, features)

    def batches(self, first: int) -> Generator[Batch, None, None]:
        """BatchCutter of the steps from ``first`` on, without end; close it to stop the thread."""
        waiting: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="crops") as thread:
            try:
                for step in range(first, first + AHEAD):
                    waiting.append(thread.submit(self.cut, step))
                step = first + AHEAD
                while True:
                    batch = waiting.popleft().result()
                    waiting.append(thread.submit(self.cut, step))
                    step += 1
                    yield batch
            finally:
                thread.shutdown(wait=True, cancel_futures=True)

    def _to_device(self, tensor: Tensor) -> Tensor:
        if not self.device.startswith("cuda"):
            return tensor
        return tensor.pin_memory().to(torch.device(self.device), non_blocking=True)
