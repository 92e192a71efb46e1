"""Feature maps of teachers, computed once and cached by content.

Maps are taken at half of the teacher's depth and at its end, averaged over squares of `STRIDE` LR
pixels and stored in half precision: as large on disk as outputs, and as much as a loss on spatial
similarities can use.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.common.errors import InputError
from nas.common.text import Progress, silent
from teachers.cache import cached_array
from teachers.loading import Teacher
from teachers.registry import family_of

STRIDE = 4
"""LR pixels a side of one element of a map."""

MAPS = 2
LAYOUT = 1  # raise it when the same inputs would give other maps
_TILE, _MARGIN = 192, 32  # LR pixels; outputs in the margin are discarded


class Features:
    """The feature maps of one teacher.

    Attributes:
        channels: of each map, in order.

    Raises:
        InputError: it has no layer at about the LR's resolution.
    """

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher
        self._family = family_of(teacher.network)
        layers = self._family.feature_layers(teacher.network)
        if not layers:
            raise InputError(
                f"the teacher {teacher.name} has no features at the LR's resolution: "
                "take a recipe without affinity"
            )
        depths = [math.ceil(len(layers) * (i + 1) / MAPS) - 1 for i in range(MAPS)]
        self._layers = [layers[depth] for depth in sorted(set(depths))]
        probe = self._maps(torch.zeros(1, 3, 32, 32, device=_device(teacher.network)))
        self.channels = tuple(map_.shape[1] for map_ in probe)

    def compute(
        self,
        images: Sequence[np.ndarray],
        folder: Path,
        progress: Progress = silent,
        *,
        device: str | torch.device = "cpu",
    ) -> list[np.ndarray]:
        """Return the maps of every image, from the cache if possible.

        Args:
            images: LR, uint8 ``(H, W, 3)`` RGB.
            folder: of the cache.
            progress: called after every image.
            device: where the network runs; it stays there.

        Returns:
            float16 ``(H // 4, W // 4, sum of channels)`` arrays, memory-mapped and read-only; the
            channels of all maps are concatenated.

        Raises:
            InputError: the folder cannot be written.
        """
        results = []
        for done, image in enumerate(images, start=1):
            image = np.ascontiguousarray(image)
            content = f"features {LAYOUT} {self.teacher.digest} {STRIDE} {image.shape}"
            key = hashlib.sha256(content.encode() + image.tobytes()).hexdigest()
            rows, columns = (length // STRIDE for length in image.shape[:2])
            shape = (rows, columns, sum(self.channels))

            def make(image: np.ndarray = image) -> np.ndarray:
                return self._whole(image, device)

            results.append(cached_array(folder, key, shape, make))
            progress(done, len(images), f"{self.teacher.name}'s features")
        return results

    @torch.no_grad()
    def _whole(self, image: np.ndarray, device: str | torch.device) -> np.ndarray:
        self.teacher.network.to(device)
        rows, columns = (length // STRIDE for length in image.shape[:2])
        whole = np.empty((rows, columns, sum(self.channels)), np.float16)
        inside = image[: rows * STRIDE, : columns * STRIDE]
        pixels = torch.from_numpy(np.array(inside)).permute(2, 0, 1)  # a copy: maps are read-only
        for top in range(0, rows * STRIDE, _TILE):
            for left in range(0, columns * STRIDE, _TILE):
                y, x = max(0, top - _MARGIN), max(0, left - _MARGIN)
                tile = pixels[None, :, y : top + _TILE + _MARGIN, x : left + _TILE + _MARGIN]
                maps = torch.cat(self._maps(tile.to(device).float() / 255), 1)[0]
                inner = maps[
                    :,
                    (top - y) // STRIDE : (top - y + _TILE) // STRIDE,
                    (left - x) // STRIDE : (left - x + _TILE) // STRIDE,
                ]
                place = whole[top // STRIDE :, left // STRIDE :]
                place[: inner.shape[1], : inner.shape[2]] = inner.permute(1, 2, 0).cpu().numpy()
        return whole

    def _maps(self, lr: Tensor) -> list[Tensor]:
        """Maps (N, C, H/4, W/4) of LR images whose sides are multiples of 4."""
        outputs: list[Tensor] = []
        with ExitStack() as hooks:
            for layer in self._layers:
                hook = layer.register_forward_hook(lambda m, inputs, out: outputs.append(out))
                hooks.callback(hook.remove)
            with torch.no_grad():
                self.teacher.network(lr)
        size = (lr.shape[-2] // STRIDE, lr.shape[-1] // STRIDE)
        maps = (self._family.feature_map(output, lr) for output in outputs)
        return [F.adaptive_avg_pool2d(map_, size) for map_ in maps]


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
