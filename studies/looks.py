"""What a training shows on its way, kept as pictures beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nas.training.events import Looked, Sample
from search_spaces.files import atomic_path

_GAP, _HEAD = 6, 22


def keep_samples(looked: Looked, folder: Path) -> Path | None:
    """Draw the pieces of a look, a row each: Lanczos, the network, the original.

    Returns:
        The picture's file, named by the step; None for a look without pieces.
    """
    if not looked.samples:
        return None
    path = folder / f"step-{looked.step:08d}.png"
    with atomic_path(path) as aside:
        _drawn(looked).save(aside)
    return path


def _drawn(looked: Looked) -> Image.Image:
    rows = [_row(sample) for sample in looked.samples]
    width = max(row.shape[1] for row in rows)
    height = _HEAD + sum(row.shape[0] + _GAP for row in rows)
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(14)
    third = (width + _GAP) // 3
    gain = f"step {looked.step}: {looked.gain_db:+.3f} dB"
    for column, label in enumerate((f"Lanczos, QP {looked.samples[0].qp}", gain, "original")):
        draw.text((column * third + 2, 2), label, fill=(20, 20, 24), font=font)
    top = _HEAD
    for row in rows:
        canvas.paste(Image.fromarray(row), (0, top))
        top += row.shape[0] + _GAP
    return canvas


def _row(sample: Sample) -> np.ndarray:
    gap = np.full((sample.hr.shape[0], _GAP, 3), 255, np.uint8)
    return np.concatenate([sample.lanczos, gap, sample.ours, gap, sample.hr], 1)
