"""Detailed windows of images, for a bounded amount of validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from nas.data.store import Picture
from search_spaces.architecture import SCALE

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_STRIP = 64  # LR rows at a time: a 4K image as floats would take 100 MB
_GRID = 8  # LR pixels between the positions that are compared
_LEAST = 56  # smallest LR side of a window if the image allows: a training patch


def detail(hr: np.ndarray) -> np.ndarray:
    """Return the local contrast of an image at LR resolution.

    Args:
        hr: uint8, H x W x 3, RGB.

    Returns:
        float32, H/4 x W/4 (rounded down): the standard deviation of luma, in grey levels.
    """
    height, width = (length // SCALE for length in hr.shape[:2])
    strips = []
    for top in range(0, height, _STRIP):
        rows = min(_STRIP, height - top)
        pixels = hr[SCALE * top : SCALE * (top + rows), : SCALE * width].astype(np.float32)
        blocks = (pixels @ _LUMA).reshape(rows, SCALE, width, SCALE)
        strips.append(blocks.std(axis=(1, 3)))
    return np.concatenate(strips) if strips else np.zeros((0, width), np.float32)


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of an image, in LR pixels, with the interface of `Picture`."""

    picture: Picture
    top: int
    left: int
    rows: int
    columns: int

    @property
    def name(self) -> str:
        """The image's name; with the position, unless the window is the whole image."""
        if self._is_whole:
            return self.picture.name
        return f"{self.picture.name}@{self.left},{self.top}+{self.columns}x{self.rows}"

    @property
    def height(self) -> int:
        """Rows of the HR window."""
        return SCALE * self.rows

    @property
    def width(self) -> int:
        """Columns of the HR window."""
        return SCALE * self.columns

    def hr(self) -> np.ndarray:
        """Return the HR window: uint8, H x W x 3, RGB, memory-mapped and read-only."""
        return self.picture.hr()[
            SCALE * self.top : SCALE * (self.top + self.rows),
            SCALE * self.left : SCALE * (self.left + self.columns),
        ]

    def lr(self, qp: int | None) -> np.ndarray:
        """Return the LR window at a QP (None: the clean one), as `Picture.lr` does."""
        rows = slice(self.top, self.top + self.rows)
        return self.picture.lr(qp)[rows, self.left : self.left + self.columns]

    @property
    def _is_whole(self) -> bool:
        return (self.height, self.width) == (self.picture.height, self.picture.width)


P = TypeVar("P", Picture, Window)


def with_detail(pictures: Sequence[P]) -> tuple[P, ...]:
    """Return the images that are not of one colour, as black frames of a film are.

    Lanczos upscales those without error, so that their PSNR is infinite, and so would be the mean.
    """
    return tuple(picture for picture in pictures if not _is_of_one_colour(picture.hr()))


def windows(pictures: Sequence[Picture], area: int) -> tuple[Window, ...]:
    """Return the most detailed window of each image, of ``area`` LR pixels in total.

    Small images are taken whole, those of one colour left out, and of too many images evenly spaced
    ones are taken. On detailed windows networks differ most.
    """
    most = max(1, area // _LEAST**2)
    if len(pictures) > most:
        pictures = [pictures[i * len(pictures) // most] for i in range(most)]
    shares = _shares([p.height * p.width // SCALE**2 for p in pictures], area)
    return with_detail([_window(p, share) for p, share in zip(pictures, shares, strict=True)])


def _is_of_one_colour(hr: np.ndarray) -> bool:
    first = hr[0, 0]
    some, every = hr[::64, ::64], hr  # a few pixels decide for nearly all images
    return bool((some == first).all() and (every == first).all())


def _shares(areas: Sequence[int], total: int) -> list[int]:
    """Divide ``total`` equally; what small images do not need goes to larger ones."""
    shares = [0] * len(areas)
    left, order = total, sorted(range(len(areas)), key=areas.__getitem__)
    for done, index in enumerate(order):
        shares[index] = min(areas[index], left // (len(order) - done))
        left -= shares[index]
    return shares


def _window(picture: Picture, area: int) -> Window:
    height, width = picture.height // SCALE, picture.width // SCALE
    if height * width <= area:
        return Window(picture, 0, 0, height, width)
    side = math.isqrt(area)
    rows = min(height, max(side, area // width))
    columns = min(width, area // rows)
    rows, columns = (max(n // _GRID * _GRID, min(n, _GRID)) for n in (rows, columns))
    # Sums over windows by differences of running sums.
    sums = np.pad(detail(picture.hr()).astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    tops, lefts = np.arange(0, height - rows + 1, _GRID), np.arange(0, width - columns + 1, _GRID)
    below, right = (tops + rows)[:, None], lefts + columns
    found = sums[below, right] - sums[tops[:, None], right]
    found -= sums[below, lefts] - sums[tops[:, None], lefts]
    row, column = divmod(int(found.argmax()), len(lefts))
    return Window(picture, int(tops[row]), int(lefts[column]), rows, columns)
