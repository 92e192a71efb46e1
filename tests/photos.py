"""Prepared sets of small photographs, for tests that train or measure on real pictures."""

from __future__ import annotations

from pathlib import Path

import skimage.data
from PIL import Image

from nas.data.prepare import prepare
from nas.data.store import PairSet, open_set

QPS = (31, 47, 63)


def photo_set(folder: Path, side: int = 256) -> PairSet:
    """Four squares of photographs to train on and two held out; set NAS_CACHE first."""
    (folder / "hr").mkdir(parents=True)
    pictures = (skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea())
    for index in range(6):
        picture = pictures[index % 3]
        top, left = (30, 190) if index < 3 else (40, 10)
        square = picture[top : top + side, left : left + side]
        Image.fromarray(square).save(folder / "hr" / f"{index}.png")
    prepare(folder / "hr", folder / "set", qps=QPS, validation=0.34)
    return open_set(folder / "set")


def evaluation_set(folder: Path) -> PairSet:
    """Two held-out photographs, and one to train on, at the survey's QPs."""
    (folder / "hr").mkdir(parents=True)
    for name, picture in (
        ("coffee", skimage.data.coffee()[:256, 100:420]),
        ("cat", skimage.data.chelsea()[:256, :256]),
        ("face", skimage.data.astronaut()[:256, 128:384]),
    ):
        Image.fromarray(picture).save(folder / "hr" / f"{name}.png")
    prepare(folder / "hr", folder / "photos", qps=(31, 63), validation=0.66)
    return open_set(folder / "photos")
