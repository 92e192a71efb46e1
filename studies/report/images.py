"""Images of networks at work: previews of a training, and crops for a report."""

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
from nas.measure.evaluation.images import CropBox, most_different
from nas.measure.metrics import psnr_y
from nas.measure.tiling import as_tensor, upscale_picture
from nas.training.engine.events import Validated
from search_spaces.model_file import Model

SIDE = 128
"""HR side of the crops of a report, which shows them twice as large."""

MOST = 6
"""Networks in a report; of a longer front evenly spaced ones."""

_MARGIN = 32  # LR pixels around the crop, so that networks see no border there
_GAP, _HEAD = 6, 22  # pixels between the crops of a preview, and above them


def write_preview(looked: Validated, folder: Path) -> Path | None:
    """Draw the samples of a validation, a row each: Lanczos, the network, the original.

    Returns:
        The image file, named by the step; None without samples.
    """
    if not looked.samples:
        return None
    path = folder / f"step-{looked.step:08d}.png"
    with atomic_path(path) as aside:
        _preview(looked).save(aside)
    return path


def _preview(looked: Validated) -> Image.Image:
    rows = []
    for sample in looked.samples:
        gap = np.full((sample.hr.shape[0], _GAP, 3), 255, np.uint8)
        rows.append(np.concatenate([sample.lanczos, gap, sample.ours, gap, sample.hr], 1))
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


@dataclass(frozen=True, slots=True)
class Crop:
    """Crop of an upscaled image.

    Attributes:
        label: Name of the network or method.
        png: The pixels as a PNG file.
        psnr_y_db: PSNR-Y of the crop; infinite for the original itself.
        gain_db: PSNR-Y over Lanczos; None for Lanczos and the original, and where one of the two
            has no error.
    """

    label: str
    png: bytes
    psnr_y_db: float
    gain_db: float | None = None

    @property
    def uri(self) -> str:
        """The image as a data URI."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True, slots=True)
class Strip:
    """Crops at one QP: Lanczos first, then the networks, the original last."""

    qp: int
    crops: tuple[Crop, ...]


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """Crops of a held-out image.

    Attributes:
        picture: Name of the image.
        place: The crop, in HR pixels.
        strips: One for the lightest and one for the heaviest compression.
    """

    picture: str
    place: CropBox
    strips: tuple[Strip, ...]


def before_after(
    models: Sequence[tuple[str, Model]],
    held_out: Sequence[Window],
    qps: Sequence[int],
    progress: Progress = silent,
) -> BeforeAfter:
    """Upscale a crop of a typical held-out image with each network.

    The image is the one with the median gain of the last network; the crop is where Lanczos has
    the largest error.

    Args:
        models: Networks with their labels, fastest first; the last has the highest gain.
        held_out: Windows of the held-out images.
        qps: QPs of the dataset, ascending.
        progress: Called after every window.
    """
    best = models[-1][1]
    middle = qps[len(qps) // 2]
    gains = []
    for done, window in enumerate(held_out, 1):
        ours, base = _upscaled(best, window.lr(middle)), lanczos(window.lr(middle))
        gains.append(_gain_db(psnr_y(ours, window.hr()), psnr_y(base, window.hr())) or 0.0)
        progress(done, len(held_out), window.name)
    chosen = held_out[sorted(range(len(gains)), key=gains.__getitem__)[len(gains) // 2]]
    truth = chosen.hr()
    # Independent of the networks, so that none is favoured.
    place = most_different(truth, lanczos(chosen.lr(qps[0])), truth, SIDE)
    in_image = CropBox(
        SCALE * chosen.top + place.top, SCALE * chosen.left + place.left, place.height, place.width
    )
    strips = tuple(_strip(models, chosen, place, qp) for qp in dict.fromkeys((qps[0], qps[-1])))
    return BeforeAfter(chosen.picture.name, in_image, strips)


def evenly_spaced(count: int, most: int = MOST) -> list[int]:
    """Return at most ``most`` of the indices below ``count``, evenly spaced, with both ends."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def _strip(models: Sequence[tuple[str, Model]], window: Window, place: CropBox, qp: int) -> Strip:
    around = _with_margin(place, window)
    small = around.of(window.lr(qp))
    inner = CropBox(
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


def _with_margin(place: CropBox, window: Window) -> CropBox:
    """Return the crop with its margin, in LR pixels."""
    top = max(0, place.top // SCALE - _MARGIN)
    left = max(0, place.left // SCALE - _MARGIN)
    bottom = min(window.rows, (place.top + place.height) // SCALE + _MARGIN)
    right = min(window.columns, (place.left + place.width) // SCALE + _MARGIN)
    return CropBox(top, left, bottom - top, right - left)


def _upscaled(model: Model, small: np.ndarray) -> np.ndarray:
    return as_tensor(upscale_picture(model.network, small)).cpu().numpy()


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
