"""Reading any picture file as the 8-bit RGB array that everything downstream works on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from nas.data.decode import UnusablePicture, decode, is_grey
from search_spaces.architecture import SCALE

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".ppm"}
)
"""File names that are looked at; everything else in a folder is passed over in silence."""

BACKGROUND = (255, 255, 255)
"""What shows through transparent pixels: white, as on a page."""

MIN_SIDE = 256
"""Smallest HR side: its LR side of 64 holds a training patch. The encoder itself needs no more
than 2 LR pixels."""


PROFILE_IGNORED = "colour profile ignored"
"""The one note that is not of a change to the samples."""


class Normalised(NamedTuple):
    """A picture ready for use.

    Attributes:
        pixels: uint8, H x W x 3, RGB, both sides cropped to multiples of 4 (bottom and right).
        notes: what was done to it beyond decoding, each a few words.
    """

    pixels: np.ndarray
    notes: tuple[str, ...]


def read_picture(path: Path) -> Normalised:
    """Decode a picture to 8-bit RGB.

    Orientation is applied, transparency is laid over white, grey becomes RGB, 16 bits become 8 by
    rounding, colour profiles are ignored (the challenge's command ignores them too).

    Raises:
        UnusablePicture: not a picture, damaged, too small, or too large to be honest.
    """
    image, _, decoding = decode(path)
    notes = []
    if "icc_profile" in image.info:
        notes.append(PROFILE_IGNORED)
    if is_grey(image):
        notes.append("grey")
    if image.mode == "CMYK":
        notes.append("CMYK converted without a profile")
    notes += decoding
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        if layered.getchannel("A").getextrema() != (255, 255):
            notes.append("transparency laid over white")
        image = over_background(layered)
    pixels = np.asarray(image.convert("RGB"))
    height, width = (side - side % SCALE for side in pixels.shape[:2])
    if min(height, width) < MIN_SIDE:
        raise UnusablePicture(
            f"too small ({pixels.shape[1]}x{pixels.shape[0]}, at least {MIN_SIDE}x{MIN_SIDE})"
        )
    return Normalised(np.ascontiguousarray(pixels[:height, :width]), tuple(notes))


def over_background(layered: Image.Image) -> Image.Image:
    """An RGBA picture as it looks on a white page."""
    page = Image.new("RGBA", layered.size, (*BACKGROUND, 255))
    return Image.alpha_composite(page, layered).convert("RGB")
