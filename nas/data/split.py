"""Which pictures are held out: by content, so that names, order and machine play no part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from nas.data.manifest import Record

TRAIN = "train"
VALIDATION = "validation"

NEAR = 3
"""Of 64 bits of `look`, how many may differ between two sizes of one picture."""


def look(pixels: np.ndarray) -> str:
    """Sign a picture by the slopes of its coarse luminance: 64 bits as 16 hex digits.

    Resizing or recompressing a picture moves almost none of the bits (difference hash on 9 x 8).

    Args:
        pixels: uint8, H x W x 3, RGB.
    """
    grey = Image.fromarray(pixels).convert("L").resize((9, 8), Image.Resampling.BOX)
    coarse = np.asarray(grey).astype(np.int16)
    return np.packbits(coarse[:, 1:] > coarse[:, :-1]).tobytes().hex()


def held_out(records: Sequence[Record], fraction: float) -> frozenset[str]:
    """Choose the pictures to validate on.

    Pictures that look alike stay together, so that no copy of a validation picture is trained on.
    Groups are taken in the order of their pixel hashes, as close to the fraction as they allow;
    both sides get a picture whenever there are two. Adding pictures moves a few at the edge and
    leaves the order of all others.

    Returns:
        The names of the chosen pictures.
    """
    groups = _alike(records)
    if len(groups) == 1:  # nothing but variants of one picture: a weak split is better than none
        groups = [[record] for record in groups[0]]
    groups.sort(key=lambda group: min(record.pixels_sha256 for record in group))
    target = min(max(fraction * len(records), 1.0), len(records) - 1.0)
    if fraction <= 0 or fraction >= 1:
        target = fraction * len(records)
    chosen: list[Record] = []
    for group in groups:
        if abs(len(chosen) + len(group) - target) <= abs(len(chosen) - target):
            chosen += group
    if not chosen and target > 0:
        chosen = min(groups, key=len)
    return frozenset(record.name for record in chosen)


def _alike(records: Sequence[Record]) -> list[list[Record]]:
    """Group records whose looks are near, directly or through others."""
    looks = np.array([int(record.look, 16) for record in records], np.uint64)
    group = np.arange(len(records))
    for index in range(len(records)):
        bits = (looks ^ looks[index]).view(np.uint8).reshape(-1, 8)
        near = np.unpackbits(bits, axis=1).sum(axis=1) <= NEAR
        group[np.isin(group, group[near])] = group[near].min()
    grouped: dict[int, list[Record]] = {}
    for label, record in zip(group.tolist(), records, strict=True):
        grouped.setdefault(label, []).append(record)
    return list(grouped.values())
