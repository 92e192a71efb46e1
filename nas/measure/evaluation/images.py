"""Images of an evaluation: crops of the best and worst side by side, with luma and colour errors.

Drawn with Pillow, without resampling a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nas.data.store import lanczos
from nas.measure.colour import colour_words
from nas.measure.evaluation.evaluate import Evaluation, Figures, NamedPicture, Upscaler
from nas.measure.metrics import CB_RGB, CR_RGB, LUMA_RGB, psnr_cb, psnr_cr, psnr_y
from nas.measure.tiling import as_tensor
from search_spaces.architecture import SCALE

if TYPE_CHECKING:
    from teachers.loading import Teacher

CROP = 192
"""HR side of the crop of larger images."""

_STRIP = 256  # rows at once, a multiple of 4
_PANEL = 384  # side of a panel that crops are magnified to, by whole numbers
_GAP = 14
_TEXT, _FAINT, _FRAME = (20, 20, 24), (96, 100, 108), (209, 36, 47)
_LOW, _HIGH = (33, 84, 196), (200, 36, 40)
"""Errors of luma: darker than the original in blue, lighter in red, none in white."""
_RGB_OF_CHROMA = ((0.0, -0.344136, 1.772), (1.402, -0.714136, 0.0))
"""What a level of Cb and one of Cr add to red, green and blue."""


@dataclass(frozen=True, slots=True)
class CropBox:
    """A rectangle of an image, in HR pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """Cut it out of an image (H, W, 3)."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True, slots=True)
class Panel:
    """One upscaling of the crop."""

    label: str
    pixels: np.ndarray


def most_different(
    better: np.ndarray, worse: np.ndarray, original: np.ndarray, side: int = CROP
) -> CropBox:
    """Return the square in which one image (H, W, 3) has the largest advantage in squared error.

    It is aligned to LR pixels; smaller images are taken whole.
    """
    height, width = original.shape[:2]
    rows, columns = min(side, height), min(side, width)
    strips = []
    for first in range(0, height // 4 * 4, _STRIP):  # an 8K image has 0.8 GB as doubles
        cut = slice(first, min(first + _STRIP, height // 4 * 4)), slice(0, width // 4 * 4)
        truth = _luma(original[cut])
        spared = (_luma(worse[cut]) - truth) ** 2 - (_luma(better[cut]) - truth) ** 2
        strips.append(spared.reshape(-1, 4, width // 4, 4).sum((1, 3)))
    cells = np.concatenate(strips)
    total = np.pad(cells.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    down, across = rows // 4, columns // 4
    sums = total[down:, across:] - total[:-down, across:] - total[down:, :-across]
    sums = sums + total[:-down, :-across]
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return CropBox(4 * int(top), 4 * int(left), rows, columns)


def side_by_side(
    title: str, subtitle: str, panels: Sequence[Panel], original: np.ndarray, crop: CropBox
) -> Image.Image:
    """Draw upscalings of a crop and the original, their errors, and where the crop is.

    Errors of luma and of colour share the scale of Lanczos's luma.

    Args:
        title: The first line.
        subtitle: The second line.
        panels: Upscalings of the crop; gains are over the first one, Lanczos's.
        original: The whole image, uint8 (H, W, 3).
        crop: The part that is shown.
    """
    truth = crop.of(original)
    times = max(1, _PANEL // max(crop.height, crop.width))
    width, height = max(times * crop.width, _NARROWEST), times * crop.height
    limit = _error_limit(panels[0].pixels, truth)
    head, label = 66, 50
    canvas = Image.new(
        "RGB",
        (
            (len(panels) + 1) * (width + _GAP) + _GAP,
            head + 3 * (label + _GAP) + 2 * height + max(height, _PLANE + 50) + _LEGEND,
        ),
        "white",
    )
    draw = ImageDraw.Draw(canvas)
    _write(draw, (_GAP, 10), title, 22, _TEXT, canvas.width - 2 * _GAP)
    _write(draw, (_GAP, 40), subtitle, 16, _FAINT, canvas.width - 2 * _GAP)
    below = head + label + height + _GAP
    lowest = below + label + height + _GAP
    base_db = psnr_y(panels[0].pixels, truth)
    for index, panel in enumerate(panels):
        left = _GAP + index * (width + _GAP)
        found_db = psnr_y(panel.pixels, truth)
        caption = f"PSNR-Y here {_decibel(found_db)}"
        if index and math.isfinite(found_db) and math.isfinite(base_db):
            caption += f" ({found_db - base_db:+.2f})"
        _labelled(draw, (left, head), panel.label, caption, width)
        canvas.paste(_magnified(panel.pixels, times), (left, head + label))
        minus = f"{panel.label} - original"
        _labelled(draw, (left, below), "error of luma", minus, width)
        errors = _coloured(_luma(panel.pixels) - _luma(truth), limit)
        canvas.paste(_magnified(errors, times), (left, below + label))
        cb, cr = psnr_cb(panel.pixels, truth), psnr_cr(panel.pixels, truth)
        here = f"{minus}, Cb {_decibel(cb)}, Cr {_decibel(cr)}"
        _labelled(draw, (left, lowest), "error of colour", here, width)
        tints = _tinted(_chroma(panel.pixels) - _chroma(truth), limit)
        canvas.paste(_magnified(tints, times), (left, lowest + label))
    left = _GAP + len(panels) * (width + _GAP)
    size = f"{crop.width}x{crop.height} pixels at {crop.left},{crop.top}, {times}x enlarged"
    _labelled(draw, (left, head), "original (HR)", size, width)
    canvas.paste(_magnified(truth, times), (left, head + label))
    whole = f"{original.shape[1]}x{original.shape[0]} pixels"
    _labelled(draw, (left, below), "where it is", whole, width)
    canvas.paste(_overview(original, crop, width, height), (left, below + label))
    caption = "grey is no error, a colour is too much of it"
    _labelled(draw, (left, lowest), "legend of colour errors", caption, width)
    _draw_plane(canvas, draw, (left, lowest + label), limit)
    _legend(canvas, draw, limit)
    return canvas


Which = Literal["best", "worst"]

_MARGIN = 16  # LR pixels around a crop for the teacher, against border effects


def extremes(evaluation: Evaluation) -> Mapping[Which, Figures]:
    """Return the images of the highest and lowest mean gain, each at its extreme QP.

    A single image is the best.
    """
    averaged = evaluation.averaged
    gains = {f.picture: evaluation.gain_db_of(f.picture) for f in averaged}
    best, worst = max(gains, key=gains.__getitem__), min(gains, key=gains.__getitem__)
    found: dict[Which, Figures] = {
        "best": max((f for f in averaged if f.picture == best), key=lambda f: f.gain_db)
    }
    if worst != best:
        found["worst"] = min((f for f in averaged if f.picture == worst), key=lambda f: f.gain_db)
    return found


def draw(
    which: Which,
    figures: Figures,
    picture: NamedPicture,
    upscaler: Upscaler,
    teacher: Teacher | None = None,
    device: str = "cpu",
) -> Image.Image:
    """Draw the crop of an image in which a model wins or loses most against Lanczos.

    A teacher is shown too; its input is the one of its training, clean or compressed LR.
    """
    original = np.asarray(picture.hr())
    small = np.asarray(picture.lr(figures.qp))
    base = lanczos(small)
    ours = as_tensor(upscaler.upscale(small)).cpu().numpy()
    pair = (ours, base) if which == "best" else (base, ours)
    crop = most_different(*pair, original)
    level = "no compression" if figures.qp is None else f"QP {figures.qp}"
    panels = [Panel(f"Lanczos ({level})", crop.of(base)), Panel(upscaler.name, crop.of(ours))]
    if teacher is not None:
        (seen,) = teacher.levels((figures.qp,))
        label = f"{teacher.name} (teacher, {'clean LR' if seen is None else level})"
        lr = np.asarray(picture.lr(seen))
        panels.append(Panel(label, _teacher_crop(teacher, lr, crop, device)))
    return side_by_side(
        f"{figures.picture}, {level}: {which} picture of {upscaler.name}",
        f"PSNR-Y of the whole picture: Lanczos {figures.lanczos.psnr_y_db:.2f} dB, "
        f"{upscaler.name} {figures.ours.psnr_y_db:.2f} dB ({figures.gain_db:+.3f} dB; "
        f"{colour_words(figures.gain_cb_db, figures.gain_cr_db)}). "
        f"Below: the place where it {'gains' if which == 'best' else 'loses'} most.",
        panels,
        original,
        crop,
    )


def _teacher_crop(teacher: Teacher, lr: np.ndarray, crop: CropBox, device: str) -> np.ndarray:
    """A teacher's upscaling of a crop alone."""
    from teachers.cache import upscale_pixels

    top, left = crop.top // SCALE, crop.left // SCALE
    bottom, right = top + crop.height // SCALE, left + crop.width // SCALE
    first, before = max(0, top - _MARGIN), max(0, left - _MARGIN)
    large = upscale_pixels(
        teacher, lr[first : bottom + _MARGIN, before : right + _MARGIN], device=device
    )
    inner = CropBox(SCALE * (top - first), SCALE * (left - before), crop.height, crop.width)
    return inner.of(large)


_NARROWEST = 240  # pixels that a panel's labels need
_LEGEND = 58
_PLANE = 160  # side of the legend of colour errors


def _luma(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float64) @ np.array(LUMA_RGB)


def _chroma(pixels: np.ndarray) -> np.ndarray:
    """Cb and Cr, (H, W, 2)."""
    return pixels.astype(np.float64) @ np.array([CB_RGB, CR_RGB]).T


def _magnified(pixels: np.ndarray, times: int) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels.repeat(times, 0).repeat(times, 1)))


def _error_limit(base: np.ndarray, truth: np.ndarray) -> int:
    """Where colours saturate: nearly all of Lanczos's errors lie within, in steps of five."""
    errors = np.abs(_luma(base) - _luma(truth))
    return max(5, 5 * math.ceil(float(np.quantile(errors, 0.99)) / 5))


def _coloured(errors: np.ndarray, limit: float) -> np.ndarray:
    share = np.clip(errors / limit, -1, 1)[..., None]
    towards = np.where(share < 0, np.array(_LOW), np.array(_HIGH))
    return (255 + (towards - 255) * np.abs(share)).round().astype(np.uint8)


def _tinted(errors: np.ndarray, limit: float) -> np.ndarray:
    """Errors of Cb and Cr (H, W, 2) as the tint that they are, on grey; at the limit it is full."""
    shares = np.clip(errors / limit, -1, 1)
    strongest = np.abs(np.array(_RGB_OF_CHROMA)).max()
    tints = 128 + 127 / strongest * (shares @ np.array(_RGB_OF_CHROMA))
    return np.clip(tints, 0, 255).round().astype(np.uint8)


def _overview(original: np.ndarray, crop: CropBox, width: int, height: int) -> Image.Image:
    """The whole image within a box, the crop framed."""
    factor = min(width / original.shape[1], height / original.shape[0], 1.0)
    size = (max(1, round(original.shape[1] * factor)), max(1, round(original.shape[0] * factor)))
    small = Image.fromarray(np.ascontiguousarray(original)).resize(size, Image.Resampling.BOX)
    corners = (crop.left, crop.top, crop.left + crop.width, crop.top + crop.height)
    box = [round(corner * factor) for corner in corners]
    box[2], box[3] = min(box[2], size[0]) - 1, min(box[3], size[1]) - 1
    ImageDraw.Draw(small).rectangle(
        (box[0], box[1], max(box[0], box[2]), max(box[1], box[3])), outline=_FRAME, width=2
    )
    return small


def _draw_plane(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, at: tuple[int, int], limit: int
) -> None:
    """The colours of chroma errors: Cb to the right, Cr upwards, with their scale."""
    line = np.linspace(-limit, limit, _PLANE)
    plane = np.stack(np.broadcast_arrays(line, -line[:, None]), axis=-1)
    left, top = at[0] + 40, at[1] + 20
    canvas.paste(Image.fromarray(_tinted(plane, limit)), (left, top))
    draw.rectangle((left, top, left + _PLANE - 1, top + _PLANE - 1), outline=_FAINT)
    for x, y, text, anchor in (
        (-6, 0, f"+{limit}", "rt"),
        (-6, _PLANE // 2, "Cr", "rm"),
        (-6, _PLANE, f"-{limit}", "rb"),
        (0, _PLANE + 6, f"-{limit}", "lt"),
        (_PLANE // 2, _PLANE + 6, "Cb", "mt"),
        (_PLANE, _PLANE + 6, f"+{limit}", "rt"),
    ):
        draw.text((left + x, top + y), text, _TEXT, ImageFont.load_default(14), anchor=anchor)


def _legend(canvas: Image.Image, draw: ImageDraw.ImageDraw, limit: int) -> None:
    """The colours of luma errors, with their scale."""
    length, top = 320, canvas.height - _LEGEND + 8
    ramp = _coloured(np.linspace(-limit, limit, length)[None].repeat(16, 0), limit)
    canvas.paste(Image.fromarray(ramp), (_GAP, top))
    draw.rectangle((_GAP, top, _GAP + length - 1, top + 15), outline=_FAINT)
    for at, text in ((0.0, f"-{limit}"), (0.5, "0"), (1.0, f"+{limit}")):
        drawn = ImageFont.load_default(14)
        left = _GAP + at * length - at * drawn.getlength(text)
        draw.text((left, top + 19), text, _TEXT, drawn)
    _write(
        draw,
        (2 * _GAP + length, top - 1),
        "grey levels of luma: blue is darker than the original, red lighter, white no error",
        14,
        _FAINT,
        canvas.width - 3 * _GAP - length,
    )


def _labelled(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], label: str, caption: str, width: int
) -> None:
    _write(draw, (at[0], at[1] + 4), label, 17, _TEXT, width)
    _write(draw, (at[0], at[1] + 26), caption, 14, _FAINT, width)


def _write(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    size: int,
    colour: tuple[int, int, int],
    width: int,
) -> None:
    """Write a line, cut where it would leave its width."""
    font = ImageFont.load_default(size)
    if font.getlength(text) > width:
        while text and font.getlength(text + "...") > width:
            text = text[:-1]
        text += "..."
    draw.text(at, text, colour, font)


def _decibel(value: float) -> str:
    return f"{value:.2f} dB" if math.isfinite(value) else "exact"
