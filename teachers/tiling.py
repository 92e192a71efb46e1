"""Upscaling of images of any size in bounded memory, by overlapping blended tiles."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search_spaces.architecture import SCALE

TILE = 256  # LR pixels; HAT then takes 1.4 GB, hat-tiny 0.4 GB; smaller tiles lose context
OVERLAP = 32  # HAT's attention reaches 24 pixels a layer, but most of what matters is near
GRID = 16  # tiles start at multiples of the official window, so that windows fall the same way


def upscale(network: nn.Module, lr: Tensor, *, tile: int = TILE, overlap: int = OVERLAP) -> Tensor:
    """Upscale a batch by 4, in one piece if it fits a tile.

    A tile counts for nothing in the outer quarter of an overlap, where its context is cut off, and
    fades in over the middle half. A network that reaches at most ``overlap / 4`` pixels gives what
    it would give for the whole image.

    Args:
        network: 4x network in the mode that it shall run in, ``(N, 3, H, W)`` to 4 times the sides.
        lr: ``(N, 3, H, W)`` float, values in [0, 1]; any H and W.
        tile: Largest side of a tile in LR pixels, at least twice the overlap.
        overlap: How far neighbouring tiles overlap, in LR pixels.

    Returns:
        ``(N, 3, 4H, 4W)``, not clamped, without gradient.

    Raises:
        ValueError: The tile leaves too little room beside its overlaps.
    """
    if overlap < 0 or tile < max(2 * overlap, GRID) + GRID:
        raise ValueError(f"tile {tile} is too small for overlap {overlap}")
    n, _, h, w = lr.shape
    rows, columns = _strips(h, tile, overlap), _strips(w, tile, overlap)
    with torch.inference_mode():
        if len(rows) == len(columns) == 1:
            return network(lr)
        whole = lr.new_zeros(n, 3, SCALE * h, SCALE * w)
        for row in rows:
            for column in columns:
                sr = network(lr[:, :, row.lr, column.lr])
                weight = row.weight.to(sr)[:, None] * column.weight.to(sr)
                whole[:, :, row.sr, column.sr] += sr * weight
    return whole


@dataclass(frozen=True, slots=True)
class _Strip:
    """One tile along one axis, with the share that it has in each SR row; shares add up to 1."""

    lr: slice
    sr: slice
    weight: Tensor


def _strips(length: int, tile: int, overlap: int) -> list[_Strip]:
    starts = [0]
    step = (tile - overlap) // GRID * GRID
    while starts[-1] + tile < length:
        starts.append(starts[-1] + step)
    ends = [min(start + tile, length) for start in starts]
    total = torch.zeros(SCALE * length)
    weights = []
    for start, end in zip(starts, ends, strict=True):
        place = torch.arange(SCALE * (end - start)) + 0.5
        weight = torch.ones(len(place))
        if start > 0:
            weight *= _ramp(place, overlap)
        if end < length:
            weight *= _ramp(SCALE * (end - start) - place, overlap)
        weights.append(weight)
        total[SCALE * start : SCALE * end] += weight
    return [
        _Strip(
            slice(start, end),
            slice(SCALE * start, SCALE * end),
            weight / total[SCALE * start : SCALE * end],
        )
        for start, end, weight in zip(starts, ends, weights, strict=True)
    ]


def _ramp(distance: Tensor, overlap: int) -> Tensor:
    """Weight at a distance (SR pixels) from a cut edge: 0 to a quarter of the overlap, 1 at 3/4."""
    if overlap == 0:
        return torch.ones_like(distance)
    width = SCALE * overlap
    return ((distance - width / 4) / (width / 2)).clamp(0, 1)
