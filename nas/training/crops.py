"""Random crops of whole pictures, detailed places preferred: what a teacher trains on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nas.data.baseline import SCALE
from nas.data.store import Picture

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


class Crops:
    """Draws aligned LR and HR crops from memory-mapped pictures, for any number of steps.

    Places are drawn in proportion to their detail: the standard deviation of luma that is lost at
    a quarter of the size. Flat places, which teach nothing, are hardly drawn, and no picture is
    left out. Unlike a bank of fixed patches it shows every alignment of every place.

    Args:
        pictures: Where to crop.
        patch: LR side of a crop.
        qps: Compression levels to draw from, each equally often; None is the clean LR.
    """

    def __init__(
        self, pictures: Sequence[Picture], patch: int, qps: Sequence[int | None] = (None,)
    ) -> None:
        self.patch = patch
        self.qps = tuple(qps)
        self.pictures = [p for p in pictures if min(p.height, p.width) >= SCALE * patch]
        maps = [_detail(picture.hr(), patch) for picture in self.pictures]
        self._widths = [cells.shape[1] for cells in maps]
        self._bounds = np.cumsum([0, *(cells.size for cells in maps)])
        weights = [cells.ravel() for cells in maps]
        self._cumulative = np.cumsum(np.concatenate(weights)) if weights else np.zeros(0)

    def __len__(self) -> int:
        return len(self.pictures)

    def draw(self, batch: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw crops, each turned one of the eight ways of the square.

        Returns:
            LR ``(batch, 3, patch, patch)`` and HR ``(batch, 3, 4 patch, 4 patch)``, uint8.
        """
        chosen = np.searchsorted(self._cumulative, rng.random(batch) * self._cumulative[-1])
        pairs = [self._cut(int(cell), rng) for cell in chosen.clip(max=self._bounds[-1] - 1)]
        lr, hr = zip(*pairs, strict=True)
        return torch.from_numpy(np.stack(lr)), torch.from_numpy(np.stack(hr))

    def _cut(self, cell: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        index = int(np.searchsorted(self._bounds, cell, side="right")) - 1
        picture = self.pictures[index]
        row, column = divmod(cell - int(self._bounds[index]), self._widths[index])
        limits = picture.height // SCALE - self.patch, picture.width // SCALE - self.patch
        # A cell is half a patch; the crop lies anywhere that has its centre in the cell.
        half = self.patch // 2
        near = rng.integers(-half // 2, half - half // 2, size=2)
        top = int(np.clip(row * half - half // 2 + near[0], 0, limits[0]))
        left = int(np.clip(column * half - half // 2 + near[1], 0, limits[1]))
        lr = picture.lr(self.qps[int(rng.integers(len(self.qps)))])
        hr = picture.hr()
        turn = int(rng.integers(8))
        bottom, right = top + self.patch, left + self.patch
        return (
            _turned(lr[top:bottom, left:right], turn),
            _turned(hr[SCALE * top : SCALE * bottom, SCALE * left : SCALE * right], turn),
        )


def _turned(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Rotate and mirror ``(H, W, 3)`` one of eight ways, to ``(3, H, W)``."""
    pixels = np.rot90(pixels, turn % 4)
    if turn >= 4:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _detail(hr: np.ndarray, patch: int) -> np.ndarray:
    """Standard deviation of luma within 4x4 pixels, averaged over cells of half an LR patch."""
    cell = max(patch // 2, 1)
    side = SCALE * cell
    rows, columns = hr.shape[0] // side, hr.shape[1] // side
    strips = []
    for row in range(rows):  # a strip at a time: a 4K picture as floats would take 100 MB
        luma = hr[row * side : (row + 1) * side, : columns * side].astype(np.float32) @ LUMA
        blocks = luma.reshape(cell, SCALE, columns, cell, SCALE)
        strips.append(blocks.std(axis=(1, 4)).mean(axis=(0, 2)))
    return np.stack(strips).astype(np.float64) + 0.1
