"""What a teacher sees on the way to its output: feature maps, computed once and kept by content.

Maps are taken at half of the teacher's depth and at its end, averaged over squares of `STRIDE` LR
pixels and kept in half precision: as large on disk as outputs are, and as much as a loss on spatial
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
from search_spaces.networks.network import Network
from teachers.cache import kept
from teachers.hat.blocks import HybridBlock
from teachers.hat.network import HAT
from teachers.loading import Teacher

STRIDE = 4
"""LR pixels a side that one place of a map stands for."""

MAPS = 2
LAYOUT = 1  # raise it when the same inputs would give other maps
_TILE, _MARGIN = 192, 32  # LR pixels; a margin is seen and thrown away
_FEWEST = 8  # channels of a map of features; fewer are a picture
_PICTURES = tuple(3 * shuffle**2 for shuffle in (2, 3, 4))  # and so are these, before a shuffle


class Features:
    """The feature maps of one teacher.

    Attributes:
        channels: of each map, in order.

    Args:
        teacher: Whose.

    Raises:
        InputError: It has no layer at about the LR's resolution.
    """

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher
        layers = _layers(teacher.network)
        if not layers:
            raise InputError(
                f"the teacher {teacher.name} has no features at the LR's resolution: "
                "take a recipe without affinity"
            )
        depths = [math.ceil(len(layers) * (i + 1) / MAPS) - 1 for i in range(MAPS)]
        self._taps = [layers[depth] for depth in sorted(set(depths))]
        probe = self._maps(torch.zeros(1, 3, 32, 32, device=_device(teacher.network)))
        self.channels = tuple(map_.shape[1] for map_ in probe)

    def of(
        self,
        images: Sequence[np.ndarray],
        folder: Path,
        progress: Progress = silent,
        *,
        device: str | torch.device = "cpu",
    ) -> list[np.ndarray]:
        """Return the maps of every picture, from the cache where they are there.

        Args:
            images: LR pictures, uint8 ``(H, W, 3)`` RGB.
            folder: Where the maps are kept.
            progress: Called after every picture.
            device: Where the network runs; it is left there.

        Returns:
            float16 ``(H // 4, W // 4, sum of channels)`` arrays, memory-mapped and read-only; the
            maps' channels one after the other.

        Raises:
            InputError: The folder cannot be written.
        """
        found = []
        for done, image in enumerate(images, start=1):
            image = np.ascontiguousarray(image)
            told = f"features {LAYOUT} {self.teacher.digest} {STRIDE} {image.shape}"
            key = hashlib.sha256(told.encode() + image.tobytes()).hexdigest()
            rows, columns = (length // STRIDE for length in image.shape[:2])
            shape = (rows, columns, sum(self.channels))

            def make(image: np.ndarray = image) -> np.ndarray:
                return self._whole(image, device)

            found.append(kept(folder, key, shape, make))
            progress(done, len(images), f"{self.teacher.name}'s features")
        return found

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
        """Maps (N, C, H/4, W/4) of pictures whose sides are multiples of 4."""
        taken: list[Tensor] = []
        with ExitStack() as hooks:
            for layer in self._taps:
                hook = layer.register_forward_hook(lambda m, inputs, out: taken.append(out))
                hooks.callback(hook.remove)
            with torch.no_grad():
                self.teacher.network(lr)
        size = (lr.shape[-2] // STRIDE, lr.shape[-1] // STRIDE)
        return [self._pooled(map_, lr, size) for map_ in taken]

    def _pooled(self, map_: Tensor, lr: Tensor, size: tuple[int, int]) -> Tensor:
        if isinstance(self.teacher.network, HAT):  # (N, H, W, C), and padded to whole windows
            map_ = map_.permute(0, 3, 1, 2)[..., : lr.shape[-2], : lr.shape[-1]]
        return F.adaptive_avg_pool2d(map_, size)


def _layers(network: nn.Module) -> list[nn.Module]:
    """The layers to choose from, from first to last."""
    if isinstance(network, HAT):
        return [m for m in network.layers.modules() if isinstance(m, HybridBlock)]
    if isinstance(network, Network):
        return list(network.body) or [network.stem]
    return _convolutions(network)


def _convolutions(network: nn.Module) -> list[nn.Module]:
    """Convolutions of any network that put out features at the LR's resolution or a bit below."""
    side, found = 48, []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        channels, width = out.shape[1], out.shape[-1]
        if channels >= _FEWEST and side // 4 <= width <= side and channels not in _PICTURES:
            found.append(layer)

    with ExitStack() as hooks:
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                hooks.callback(layer.register_forward_hook(note).remove)
        with torch.no_grad():
            network(torch.zeros(1, 3, side, side, device=_device(network)))
    return [layer for layer in found if found.count(layer) == 1]


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
