"""Random crops of whole images for long trainings, with a preference for detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from nas.common.text import Progress, silent
from nas.data.store import Picture
from nas.data.windows import Window, detail
from search_spaces.architecture import SCALE


@dataclass(frozen=True, slots=True)
class Crop:
    """Position and orientation of a crop.

    Attributes:
        picture: index of the image.
        top: first row in LR pixels.
        left: first column in LR pixels.
        qp: of the LR; None is the clean LR.
        turn: one of the eight rotations and reflections, 0 to 7.
    """

    picture: int
    top: int
    left: int
    qp: int | None
    turn: int


class Crops:
    """Samples aligned LR and HR crops from memory-mapped images.

    Crops are sampled in proportion to their detail: the standard deviation of luma that is lost at
    a quarter of the size. Flat areas are hardly sampled, but no image is left out. Unlike a bank of
    fixed patches this samples every alignment.

    Attributes:
        pictures: the images that are large enough.
        indices: of these among those given.

    Args:
        pictures: images to crop.
        patch: LR side of a crop.
        qps: sampled uniformly; None is the clean LR.
        grid: crops start at multiples of it, in LR pixels.
        progress: called after every image.
    """

    def __init__(
        self,
        pictures: Sequence[Picture | Window],
        patch: int,
        qps: Sequence[int | None] = (None,),
        *,
        grid: int = 1,
        progress: Progress = silent,
    ) -> None:
        self.patch = patch
        self.qps = tuple(qps)
        self.grid = grid
        large = [i for i, p in enumerate(pictures) if min(p.height, p.width) >= SCALE * patch]
        self.indices = tuple(large)
        self.pictures = [pictures[i] for i in large]
        maps = []
        for done, picture in enumerate(self.pictures, 1):
            maps.append(_cells(picture.hr(), patch))
            progress(done, len(self.pictures), "measuring detail")
        # Opening an image takes longer than cutting it; each open one holds a file descriptor.
        self._opened = lru_cache(maxsize=_OPEN)(self._open)
        self._widths = [cells.shape[1] for cells in maps]
        self._bounds = np.cumsum([0, *(cells.size for cells in maps)])
        weights = [cells.ravel() for cells in maps]
        self._cumulative = np.cumsum(np.concatenate(weights)) if weights else np.zeros(0)

    def __len__(self) -> int:
        return len(self.pictures)

    def choose(self, batch: int, rng: np.random.Generator) -> list[Crop]:
        """Sample positions, QPs and turns."""
        chosen = np.searchsorted(self._cumulative, rng.random(batch) * self._cumulative[-1])
        return [self._crop(int(cell), rng) for cell in chosen.clip(max=self._bounds[-1] - 1)]

    def draw(self, batch: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Sample LR ``(batch, 3, patch, patch)`` and HR ``(batch, 3, 4 patch, 4 patch)``, uint8."""
        crops = self.choose(batch, rng)
        return self.lr(crops), self.hr(crops)

    def lr(self, crops: Sequence[Crop]) -> Tensor:
        """Cut LR crops: uint8 ``(N, 3, patch, patch)``."""
        return _stacked(
            [self._cut(crop, self._opened(crop.picture, False, crop.qp)) for crop in crops]
        )

    def hr(self, crops: Sequence[Crop]) -> Tensor:
        """Cut HR crops: uint8 ``(N, 3, 4 patch, 4 patch)``."""
        return _stacked(
            [self._cut(crop, self._opened(crop.picture, True), SCALE) for crop in crops]
        )

    def aligned(
        self, crops: Sequence[Crop], maps: Sequence[Mapping[int | None, np.ndarray]], scale: float
    ) -> Tensor:
        """Cut the same crops from maps ``(h, w, C)`` of each image and QP.

        The maps have ``scale`` times the LR's resolution: an integer, or one over a divisor of
        ``grid`` and ``patch``.
        """
        return _stacked([self._cut(crop, maps[crop.picture][crop.qp], scale) for crop in crops])

    def _open(self, picture: int, hr: bool, qp: int | None = None) -> np.ndarray:
        return self.pictures[picture].hr() if hr else self.pictures[picture].lr(qp)

    def _crop(self, cell: int, rng: np.random.Generator) -> Crop:
        index = int(np.searchsorted(self._bounds, cell, side="right")) - 1
        picture = self.pictures[index]
        row, column = divmod(cell - int(self._bounds[index]), self._widths[index])
        # A cell is half a patch; the crop has its centre anywhere in the cell.
        half = self.patch // 2
        near = rng.integers(-half // 2, half - half // 2, size=2)
        starts = []
        for index_, shift, length in zip(
            (row, column), near, (picture.height, picture.width), strict=True
        ):
            limit = length // SCALE - self.patch
            start = int(np.clip(index_ * half - half // 2 + shift, 0, limit))
            starts.append(start // self.grid * self.grid)
        qp = self.qps[int(rng.integers(len(self.qps)))]
        return Crop(index, starts[0], starts[1], qp, int(rng.integers(8)))

    def _cut(self, crop: Crop, pixels: np.ndarray, scale: float = 1) -> np.ndarray:
        top, left, side = (int(length * scale) for length in (crop.top, crop.left, self.patch))
        return _turned(pixels[top : top + side, left : left + side], crop.turn)


_OPEN = 256


def _stacked(parts: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(parts))


def _turned(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Rotate and mirror ``(H, W, C)``, to ``(C, H, W)``."""
    pixels = np.rot90(pixels, turn % 4)
    if turn >= 4:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _cells(hr: np.ndarray, patch: int) -> np.ndarray:
    """Mean detail of cells of half an LR patch, in grey levels; never zero."""
    cell = max(patch // 2, 1)
    values = detail(hr)
    rows, columns = values.shape[0] // cell, values.shape[1] // cell
    blocks = values[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell)
    return blocks.mean(axis=(1, 3), dtype=np.float64) + 0.1
