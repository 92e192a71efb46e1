"""Reading and writing image files with transparency, colour profile and EXIF data."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms

from nas.common.files import atomic_path
from nas.data.decode import FORMATS, SUFFIXES, UnusableImage, decode, is_grey, over_background

READ = SUFFIXES | {".gif"}
"""Suffixes of files that are read from folders."""

_STRUCTURE = frozenset(
    {
        *range(0x00FE, 0x0103),  # size, bits, compression
        *(0x0103, 0x0106, 0x010A, 0x0111, 0x0112, 0x0115, 0x0116, 0x0117, 0x011C, 0x013D, 0x0140),
        *range(0x0142, 0x0146),  # tiles
        *(0x014A, 0x0152, 0x0153, 0x015B, 0x0201, 0x0202, 0x0211, 0x0212, 0x0213, 0x0214),
        *(0x02BC, 0x83BB, 0x8649, 0x8773),  # XMP, IPTC, Photoshop, ICC
    }
)
"""EXIF tags about the storage of pixels or with copies of other metadata: dropped."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One image, with what belongs to it.

    Attributes:
        colour: uint8 (H, W, 3). Equal channels where ``grey``.
        alpha: uint8 (H, W), 255 opaque; None where all of it is.
        grey: whether it has one channel of colour.
        icc: its colour profile, if it has one that fits.
        exif: what the camera and its owner wrote, without orientation.
        notes: what was done beyond decoding, each a few words.
    """

    colour: np.ndarray
    alpha: np.ndarray | None = None
    grey: bool = False
    icc: bytes | None = None
    exif: Image.Exif = field(default_factory=Image.Exif)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format that images are written in.

    Attributes:
        suffixes: of its files; the first is the usual one.
        quality: 1 to 100 by default; None for a lossless format.
        options: for Pillow.
        longest: most pixels a side that it can hold.
        alpha: whether it knows transparency.
    """

    suffixes: tuple[str, ...]
    quality: int | None
    options: Mapping[str, Any]
    longest: int
    alpha: bool = True


FILE_FORMATS: Mapping[str, FileFormat] = MappingProxyType(
    {
        # zlib's later levels take twice as long for one per cent.
        "png": FileFormat((".png",), None, {"compress_level": 4}, 2**31 - 1),
        # Full chroma everywhere: a network has just restored what 4:2:0 would throw away.
        "avif": FileFormat((".avif",), 80, {"subsampling": "4:4:4", "speed": 7}, 65_536),
        "jpeg": FileFormat((".jpg", ".jpeg", ".jfif"), 92, {"subsampling": 0}, 65_500, alpha=False),
        "webp": FileFormat((".webp",), 90, {"method": 4}, 16_383),
    }
)
"""Name -> format."""


def read_picture(path: Path, max_pixels: int) -> Picture:
    """Read an image with its transparency, colour profile and EXIF data.

    Pixels stay in the colour space of the file, whose profile is kept: conversion to sRGB would
    clip the colours of wider ones and round all of them, and the network, which knows sRGB, works
    on the values of other spaces just as well, because all encode brightness about alike. CMYK
    and Lab have no such values and become sRGB.

    Raises:
        UnusableImage: it cannot be read, or has more than ``max_pixels``.
    """
    image, exif, decoding = decode(path, max_pixels=max_pixels, formats=(*FORMATS, "GIF"))
    notes = list(decoding)
    icc, grey = image.info.get("icc_profile"), is_grey(image)
    try:
        if image.mode in ("CMYK", "LAB"):
            image, icc = _to_srgb(image, icc, notes), None
        elif icc and icc[16:20] != (b"GRAY" if grey else b"RGB "):
            icc = None
            notes.append("colour profile is of another kind of picture, left out")
        alpha = None
        if image.has_transparency_data:
            image = image.convert("RGBA")
            alpha = np.asarray(image.getchannel("A"))
            alpha = None if alpha.min() == 255 else alpha
        colour = np.asarray(image.convert("RGB"))
    except MemoryError as fault:
        raise UnusableImage("not enough memory to decode it") from fault
    return Picture(colour, alpha, grey, icc, _kept(exif), tuple(notes))


def write_picture(
    picture: Picture, path: Path, format: str, quality: int | None = None
) -> tuple[str, ...]:
    """Write an image and return notes on what the format could not keep.

    Args:
        picture: what is written.
        path: the file; afterwards it holds all of the image or what it held before.
        format: one of `FILE_FORMATS`.
        quality: 1 to 100; None for the format's default, and for lossless formats.

    Raises:
        UnusableImage: the format cannot hold so large an image.
        OSError: it cannot be written.
    """
    kind = FILE_FORMATS[format]
    height, width = picture.colour.shape[:2]
    if max(height, width) > kind.longest:
        raise UnusableImage(
            f"{width}x{height} is too large for {format}, which holds {kind.longest} pixels a side"
        )
    image = Image.fromarray(picture.colour)
    notes = []
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
        if not kind.alpha:
            image = over_background(image)
            notes.append(f"transparency laid over white, which {format} has none of")
    if picture.grey:
        image = image.convert("LA" if image.mode == "RGBA" else "L")
    options = dict(kind.options)
    if kind.quality is not None:
        options["quality"] = kind.quality if quality is None else quality
    if picture.icc:
        options["icc_profile"] = picture.icc
    if exif := _exif_bytes(picture.exif, width, height):
        options["exif"] = exif
    with atomic_path(path) as aside:
        image.save(aside, format, **options)
    return tuple(notes)


def _to_srgb(image: Image.Image, icc: bytes | None, notes: list[str]) -> Image.Image:
    """CMYK or Lab as sRGB, through the profile where there is one."""
    try:
        if image.mode == "LAB":
            profile: Any = ImageCms.createProfile("LAB")
        elif icc:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        else:
            notes.append("CMYK converted to RGB without a profile")
            return image.convert("RGB")
        converted = ImageCms.profileToProfile(
            image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        assert converted is not None
        notes.append(f"{image.mode} converted to sRGB")
        return converted
    except (ImageCms.PyCMSError, OSError):
        notes.append(f"{image.mode} converted to RGB without its profile, which is damaged")
        return image.convert("RGB")


def _kept(exif: Image.Exif) -> Image.Exif:
    """A copy without tags of `_STRUCTURE`; empty where it is damaged."""
    kept = Image.Exif()
    try:
        kept.load(exif.tobytes())
        for tag in [tag for tag in kept if tag in _STRUCTURE]:
            del kept[tag]
    except Exception:  # Pillow raises what it likes on damaged EXIF data
        return Image.Exif()
    return kept


def _exif_bytes(exif: Image.Exif, width: int, height: int) -> bytes:
    """EXIF data for an image of this size; empty if there is none."""
    if not len(exif):
        return b""
    try:
        details = exif.get_ifd(ExifTags.IFD.Exif)
        sides = (ExifTags.Base.ExifImageWidth, width), (ExifTags.Base.ExifImageHeight, height)
        for tag, side in sides:
            if tag in details:
                details[tag] = side
        return exif.tobytes()
    except Exception:  # as above
        return b""
