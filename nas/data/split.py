"""Choice of the validation images by content, independent of names, order and machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from nas.data.manifest import Record

TRAIN = "train"
VALIDATION = "validation"

NEAR = 3
"""Of 64 bits of `perceptual_hash`, how many may differ between two sizes of one image."""


def perceptual_hash(pixels: np.ndarray) -> str:
    """Return a difference hash (9 x 8) of uint8 RGB pixels (H, W, 3): 16 hex digits.

    Resizing or recompressing an image changes almost none of the 64 bits.
    """
    grey = Image.fromarray(pixels).convert("L").resize((9, 8), Image.Resampling.BOX)
    coarse = np.asarray(grey).astype(np.int16)
    return np.packbits(coarse[:, 1:] > coarse[:, :-1]).tobytes().hex()


def held_out(records: Sequence[Record], fraction: float) -> frozenset[str]:
    """Return the names of the validation images.

    Similar images stay together, so that no copy of a validation image is trained on. Groups are
    taken in the order of their pixel hashes, up to the fraction; each split gets an image if there
    are two. Adding images changes the split of few others.
    """
    groups = _alike(records)
    if len(groups) == 1:  # all are variants of one image: a weak split is better than none
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
    """Group records with similar hashes, directly or through others."""
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
