"""Upscalings of one place side by side, pixel for pixel, with errors of luma and colour below them.

Drawn with Pillow alone, so that no pixel is resampled: what is seen is what came out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nas.measure.quality import CB_RGB, CR_RGB, LUMA_RGB, psnr_cb, psnr_cr, psnr_y

CROP = 192
"""HR side of the place that is shown, of pictures that are larger."""

_STRIP = 256  # rows at once, a multiple of 4
_PANEL = 384  # side of a panel that crops are magnified to, by whole numbers
_GAP = 14
_TEXT, _FAINT, _FRAME = (20, 20, 24), (96, 100, 108), (209, 36, 47)
_LOW, _HIGH = (33, 84, 196), (200, 36, 40)
"""Errors of luma: darker than the original in blue, lighter in red, none in white."""
_RGB_OF_CHROMA = ((0.0, -0.344136, 1.772), (1.402, -0.714136, 0.0))
"""What a level of Cb and one of Cr add to red, green and blue."""


@dataclass(frozen=True, slots=True)
class Place:
    """A rectangle of a large picture, in HR pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """Cut it out of a picture (H, W, 3)."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True, slots=True)
class Panel:
    """One upscaling of the place: uint8 pixels and whose they are."""

    label: str
    pixels: np.ndarray


def telling_place(
    better: np.ndarray, worse: np.ndarray, original: np.ndarray, side: int = CROP
) -> Place:
    """Return the square in which one picture (H, W, 3) has most less squared error than another.

    It lies on whole LR pixels; smaller pictures are taken whole.
    """
    height, width = original.shape[:2]
    rows, columns = min(side, height), min(side, width)
    strips = []
    for first in range(0, height // 4 * 4, _STRIP):  # an 8K picture has 0.8 GB as doubles
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
    return Place(4 * int(top), 4 * int(left), rows, columns)


def side_by_side(
    title: str, subtitle: str, panels: Sequence[Panel], original: np.ndarray, place: Place
) -> Image.Image:
    """Draw upscalings of a place and the original, their errors, and where the place is.

    Errors of luma and of colour have one scale, that of Lanczos's luma.

    Args:
        title: The first line.
        subtitle: The second line.
        panels: Upscalings of the place, Lanczos's first: gains are over the first.
        original: The whole original picture, uint8 (H, W, 3).
        place: What is shown of it.
    """
    truth = place.of(original)
    times = max(1, _PANEL // max(place.height, place.width))
    width, height = max(times * place.width, _NARROWEST), times * place.height
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
        told = f"PSNR-Y here {_decibel(found_db)}"
        if index and math.isfinite(found_db) and math.isfinite(base_db):
            told += f" ({found_db - base_db:+.2f})"
        _labelled(draw, (left, head), panel.label, told, width)
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
    size = f"{place.width}x{place.height} pixels at {place.left},{place.top}, {times}x enlarged"
    _labelled(draw, (left, head), "original (HR)", size, width)
    canvas.paste(_magnified(truth, times), (left, head + label))
    whole = f"{original.shape[1]}x{original.shape[0]} pixels"
    _labelled(draw, (left, below), "where it is", whole, width)
    canvas.paste(_overview(original, place, width, height), (left, below + label))
    told = "grey is no error, a colour is too much of it"
    _labelled(draw, (left, lowest), "legend of colour errors", told, width)
    _draw_plane(canvas, draw, (left, lowest + label), limit)
    _legend(canvas, draw, limit)
    return canvas


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


def _overview(original: np.ndarray, place: Place, width: int, height: int) -> Image.Image:
    """The whole picture within a box, the place framed."""
    factor = min(width / original.shape[1], height / original.shape[0], 1.0)
    size = (max(1, round(original.shape[1] * factor)), max(1, round(original.shape[0] * factor)))
    small = Image.fromarray(np.ascontiguousarray(original)).resize(size, Image.Resampling.BOX)
    corners = (place.left, place.top, place.left + place.width, place.top + place.height)
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
    draw: ImageDraw.ImageDraw, at: tuple[int, int], label: str, told: str, width: int
) -> None:
    _write(draw, (at[0], at[1] + 4), label, 17, _TEXT, width)
    _write(draw, (at[0], at[1] + 26), told, 14, _FAINT, width)


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
