"""Decoding image files: upright, at most 8 bits a sample, with notes on every conversion."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from nas.data.encode import ffmpeg_binary, run_ffmpeg
from search_spaces.architecture import SCALE

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".ppm"}
)
"""Suffixes of image files; other files in a folder are ignored."""

BACKGROUND = (255, 255, 255)
"""RGB behind transparent pixels: white."""

MIN_SIDE = 256
"""Smallest HR side: its LR side of 64 holds a training patch. The encoder itself needs no more
than 2 LR pixels."""


PROFILE_IGNORED = "colour profile ignored"
"""The only note without a change to the samples."""


class Normalised(NamedTuple):
    """An image ready for use.

    Attributes:
        pixels: uint8, H x W x 3, RGB, both sides cropped to multiples of 4 (bottom and right).
        notes: what was done to it beyond decoding, each a few words.
    """

    pixels: np.ndarray
    notes: tuple[str, ...]


def read_picture(path: Path) -> Normalised:
    """Decode an image to 8-bit RGB.

    Orientation is applied, transparency is laid over white, grey becomes RGB, 16 bits become 8 by
    rounding, colour profiles are ignored (the challenge's command ignores them too).

    Raises:
        UnusableImage: not an image, damaged, too small, or too large.
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
        raise UnusableImage(
            f"too small ({pixels.shape[1]}x{pixels.shape[0]}, at least {MIN_SIDE}x{MIN_SIDE})"
        )
    return Normalised(np.ascontiguousarray(pixels[:height, :width]), tuple(notes))


def over_background(layered: Image.Image) -> Image.Image:
    """An RGBA image over the background."""
    page = Image.new("RGBA", layered.size, (*BACKGROUND, 255))
    return Image.alpha_composite(page, layered).convert("RGB")


FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "PPM")
"""Pillow's names of the file formats that are read."""

MAX_PIXELS = 134_217_728
"""16384 x 8192: four times 8K. Larger files are refused as decompression bombs."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the transposition that undoes it."""


class UnusableImage(Exception):
    """An image cannot be used; the message is the reason in a few words."""


class Decoded(NamedTuple):
    """A decoded image.

    Attributes:
        image: upright, 1 or 8 bits a sample, in the colours that the file has: grey, RGB, CMYK,
            a palette, with or without transparency. Its ``info`` is the file's.
        exif: the file's EXIF data as it is, orientation included; empty where it is damaged.
        notes: what was done beyond decoding, each a few words.
    """

    image: Image.Image
    exif: Image.Exif
    notes: tuple[str, ...]


def decode(
    path: Path, *, max_pixels: int = MAX_PIXELS, formats: Sequence[str] = FORMATS
) -> Decoded:
    """Decode an image, turned upright, 16 bits rounded to 8; the first frame of an animation.

    Raises:
        UnusableImage: not an image, damaged, or too large.
    """
    import pillow_avif  # noqa: F401  # makes Pillow read AVIF with the decoder of the LR files

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is here
            with Image.open(path, formats=tuple(formats)) as picture:
                return _decoded(picture, path, max_pixels)
    except UnusableImage:
        raise
    except Image.DecompressionBombError as fault:
        raise UnusableImage(_too_many(max_pixels)) from fault
    except UnidentifiedImageError as fault:
        raise UnusableImage("not a picture that can be read") from fault
    except MemoryError as fault:
        raise UnusableImage("not enough memory to decode it") from fault
    except Exception as fault:  # Pillow's plugins raise many types on damaged files
        if isinstance(fault, OSError) and fault.errno:  # of the file, not of its content
            raise UnusableImage(f"cannot be read ({fault.strerror})") from fault
        raise UnusableImage(f"damaged ({str(fault).strip() or type(fault).__name__})") from fault


def _decoded(picture: Image.Image, path: Path, max_pixels: int) -> Decoded:
    notes = []
    if picture.width * picture.height > max_pixels:
        raise UnusableImage(_too_many(max_pixels))
    if getattr(picture, "n_frames", 1) > 1:
        notes.append("first frame of several")
    stored = _orientation(picture) if isinstance(picture, TiffImageFile) else None
    picture.load()  # turns some TIFFs, and finds EXIF data that a PNG holds behind its pixels
    exif, orientation = _exif(picture), _orientation(picture)
    if (stored or orientation) in _UPRIGHT:
        notes.append("turned upright")
    image = picture
    if _is_16_bit(picture, path):
        image, orientation = _reduce_16_bit(picture, path), stored or orientation
        notes.append("16 bits rounded to 8")
    elif picture.mode in ("I", "F"):
        raise UnusableImage("32-bit samples have no agreed range; save it with 8 or 16 bits")
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    image.info = dict(picture.info)
    return Decoded(image, exif, tuple(notes))


def is_grey(image: Image.Image) -> bool:
    """Whether an image has one channel beside its transparency."""
    return image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I;16")


def _exif(picture: Image.Image) -> Image.Exif:
    try:
        return picture.getexif()
    except Exception:  # the pixels may be whole all the same
        return Image.Exif()


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation; 1, upright, if there is none or it is damaged."""
    try:
        return int(_exif(picture).get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def _is_16_bit(picture: Image.Image, path: Path) -> bool:
    """Whether samples have 16 bits; Pillow truncates 16-bit colour without a sign."""
    if picture.mode.startswith("I;16"):
        return True
    if picture.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[24] == 16  # bit depth, in the IHDR chunk that comes first
    if isinstance(picture, TiffImageFile):
        return 16 in picture.tag_v2.get(ExifTags.Base.BitsPerSample, ())
    return False


def _reduce_16_bit(picture: Image.Image, path: Path) -> Image.Image:
    """Round 16-bit samples to 8 bits, in the orientation in which the file stores them.

    Pillow truncates colour and clips grey; ffmpeg returns the samples unchanged.
    """
    width, height = picture.size
    if isinstance(picture, TiffImageFile):  # its size may be that of the turned image
        tags = ExifTags.Base
        width, height = (picture.tag_v2[tag] for tag in (tags.ImageWidth, tags.ImageLength))
    command = [ffmpeg_binary(), "-hide_banner", "-loglevel", "error", "-noautorotate"]
    command += ["-i", f"file:{path}", "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgba64le"]
    samples = np.frombuffer(run_ffmpeg([*command, "pipe:1"]), np.dtype("<u2"))
    samples = samples.reshape(height, width, 4)
    reduced = np.empty(samples.shape, np.uint8)
    for row in range(0, height, 64):  # in bands, for the sake of memory
        band = samples[row : row + 64].astype(np.uint32)
        reduced[row : row + 64] = (band * 255 + 32895) >> 16  # round(band / 257), exactly
    image = Image.fromarray(reduced)
    opaque = image.getchannel("A").getextrema() == (255, 255)
    if is_grey(picture):
        return image.getchannel("R") if opaque else image.convert("LA")
    return image.convert("RGB") if opaque else image


def _too_many(max_pixels: int) -> str:
    return f"more than {max_pixels // 1_000_000} megapixels, refused as a decompression bomb"
