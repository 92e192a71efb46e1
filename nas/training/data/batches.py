"""What each step trains on: cut ahead of time, as a function of the step and nothing else."""

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
"""Steps that are cut while one runs."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step trains on.

    Attributes:
        lr: uint8 (N, 3, p, p).
        hr: uint8 (N, 3, 4p, 4p).
        teacher: as ``hr``, or None.
        features: of the teacher, each (N, C, p/s, p/s) floats.
    """

    lr: Tensor
    hr: Tensor
    teacher: Tensor | None = None
    features: tuple[Tensor, ...] = ()

    def greyed(self, count: int) -> Batch:
        """The batch with the first ``count`` crops in grey; the teacher's features stay."""
        if not count:
            return self
        lr, hr, *teacher = (
            torch.cat([grey(pictures[:count]), pictures[count:]])
            for pictures in (self.lr, self.hr, self.teacher)
            if pictures is not None
        )
        return Batch(lr, hr, teacher[0] if teacher else None, self.features)


Maps: TypeAlias = Mapping[int | None, np.ndarray]
"""Compression level of the LR -> what a teacher makes of a picture."""


@dataclass(frozen=True, slots=True)
class CropSource:
    """What batches are cut from.

    Attributes:
        crops: the pictures of a stage.
        outputs: the teacher's output for each of them by compression level, or none at all.
        features: the teacher's feature maps of each of them likewise, or none at all.
        channels: how the features divide into maps.
    """

    crops: Crops
    outputs: Sequence[Maps] = ()
    features: Sequence[Maps] = ()
    channels: tuple[int, ...] = ()


class BatchCutter:
    """Cuts the batches of consecutive steps in a thread of its own.

    Batch ``n`` depends on ``key`` and n alone, so that a training that goes on needs to remember
    nothing. Several processes cut different parts of the same batch: their number changes nothing
    but the order of sums.

    Args:
        source: where to cut.
        size: crops of a batch, over all processes.
        key: numbers that, with the step, decide what is cut.
        device: where batches are wanted.
        context: which part of each is cut here.
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
            teacher = self._there(crops.aligned(chosen, source.outputs, SCALE))
        if source.features:
            maps = self._there(crops.aligned(chosen, source.features, 1 / STRIDE))
            features = maps.float().split(source.channels, dim=1)
        lr, hr = self._there(crops.lr(chosen)), self._there(crops.hr(chosen))
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

    def _there(self, tensor: Tensor) -> Tensor:
        if not self.device.startswith("cuda"):
            return tensor
        return tensor.pin_memory().to(torch.device(self.device), non_blocking=True)
