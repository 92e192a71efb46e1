"""Before and after: one place of a held-out picture through each network of the front."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nas.common.files import atomic_path
from nas.common.text import Progress, silent
from nas.data.store import SCALE, lanczos
from nas.data.windows import Window
from nas.measure.evaluation.images import Place, telling_place
from nas.measure.quality import psnr_y
from nas.measure.tiling import as_tensor, upscale_picture
from nas.training.engine.events import Sample, Validated
from search_spaces.model_file import Model

_GAP, _HEAD = 6, 22


def keep_samples(looked: Validated, folder: Path) -> Path | None:
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


def _drawn(looked: Validated) -> Image.Image:
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


SIDE = 128
"""HR side of the place, shown twice as large."""

MOST = 6
"""Networks shown; of a longer front evenly spaced ones."""

_MARGIN = 32  # LR pixels around the place that networks see, so that they have no border there


@dataclass(frozen=True, slots=True)
class Crop:
    """A picture of the place.

    Attributes:
        label: Whose upscaling it is.
        png: The pixels, as a PNG file.
        psnr_y_db: Against the original, here; infinite for the original itself.
        gain_db: PSNR-Y over Lanczos, here; None for Lanczos and the original, and where one of
            the two has no error.
    """

    label: str
    png: bytes
    psnr_y_db: float
    gain_db: float | None = None

    @property
    def uri(self) -> str:
        """The picture as an address that holds it."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True, slots=True)
class Strip:
    """The place at one QP: Lanczos first, then the networks, the original last."""

    qp: int
    crops: tuple[Crop, ...]


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """What is shown of a set.

    Attributes:
        picture: Name of the held-out picture.
        place: What is shown of it, in HR pixels.
        strips: One for the lightest and one for the heaviest compression.
    """

    picture: str
    place: Place
    strips: tuple[Strip, ...]


def before_after(
    models: Sequence[tuple[str, Model]],
    seen: Sequence[Window],
    qps: Sequence[int],
    progress: Progress = silent,
) -> BeforeAfter:
    """Show what networks make of a typical held-out picture.

    Typical is the picture of the median gain of the last network; of it, the place that Lanczos
    gets most wrong.

    Args:
        models: Networks with their labels, fastest first; the last has the highest gain.
        seen: What is looked at of the held-out pictures.
        qps: Of the set, from light to heavy.
        progress: Called after every picture.
    """
    best = models[-1][1]
    middle = qps[len(qps) // 2]
    gains = []
    for done, window in enumerate(seen, 1):
        ours, base = _upscaled(best, window.lr(middle)), lanczos(window.lr(middle))
        gains.append(_gain_db(psnr_y(ours, window.hr()), psnr_y(base, window.hr())) or 0.0)
        progress(done, len(seen), window.name)
    chosen = seen[sorted(range(len(seen)), key=gains.__getitem__)[len(seen) // 2]]
    truth = chosen.hr()
    # No network has a say in it, so that none is flattered.
    place = telling_place(truth, lanczos(chosen.lr(qps[0])), truth, SIDE)
    whole = Place(
        SCALE * chosen.top + place.top, SCALE * chosen.left + place.left, place.height, place.width
    )
    strips = tuple(_strip(models, chosen, place, qp) for qp in dict.fromkeys((qps[0], qps[-1])))
    return BeforeAfter(chosen.picture.name, whole, strips)


def spread(count: int, most: int = MOST) -> list[int]:
    """Return which of ``count`` networks to show: all, or evenly spaced ones with both ends."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def _strip(models: Sequence[tuple[str, Model]], window: Window, place: Place, qp: int) -> Strip:
    around = _around(place, window)
    small = around.of(window.lr(qp))
    inner = Place(
        place.top - SCALE * around.top, place.left - SCALE * around.left, place.height, place.width
    )
    truth = place.of(window.hr())
    base = inner.of(lanczos(small))
    base_db = psnr_y(base, truth)
    crops = [Crop("Lanczos", _png(base), base_db)]
    for label, model in models:
        pixels = inner.of(_upscaled(model, small))
        found = psnr_y(pixels, truth)
        crops.append(Crop(label, _png(pixels), found, _gain_db(found, base_db)))
    crops.append(Crop("original", _png(truth), float("inf")))
    return Strip(qp, tuple(crops))


def _gain_db(ours_db: float, base_db: float) -> float | None:
    both = math.isfinite(ours_db) and math.isfinite(base_db)
    return ours_db - base_db if both else None


def _around(place: Place, window: Window) -> Place:
    """The place with its margin, in LR pixels."""
    top = max(0, place.top // SCALE - _MARGIN)
    left = max(0, place.left // SCALE - _MARGIN)
    bottom = min(window.rows, (place.top + place.height) // SCALE + _MARGIN)
    right = min(window.columns, (place.left + place.width) // SCALE + _MARGIN)
    return Place(top, left, bottom - top, right - left)


def _upscaled(model: Model, small: np.ndarray) -> np.ndarray:
    return as_tensor(upscale_picture(model.network, small)).cpu().numpy()


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
