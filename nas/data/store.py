"""Prepared datasets: images as memory-mapped arrays, decoded once and cached."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from nas.common.checked_files import read_array, write_array
from nas.common.errors import InputError
from nas.common.files import cache_root, unwritable
from nas.data.encode import CLEAN
from nas.data.manifest import CLEAN_LR, HR, MANIFEST, Entry, FileEntry, read_manifest, sha256_of
from nas.data.split import TRAIN, VALIDATION
from search_spaces.architecture import SCALE


def lanczos(lr: np.ndarray) -> np.ndarray:
    """Upscale by 4 with Pillow's ``LANCZOS`` filter (3 lobes, half-pixel centres, 8-bit result).

    Every ``gain_db`` refers to it: the survey does not say which Lanczos it used, and Pillow's can
    be repeated from the uint8 image.

    Args:
        lr: uint8, H x W x 3, RGB.

    Returns:
        uint8, 4H x 4W x 3, RGB.
    """
    height, width = lr.shape[:2]
    picture = Image.fromarray(np.ascontiguousarray(lr))
    larger = picture.resize((width * SCALE, height * SCALE), Image.Resampling.LANCZOS)
    return np.asarray(larger)


@dataclass(frozen=True)
class Picture:
    """One image of a prepared dataset."""

    folder: Path
    entry: Entry

    @property
    def name(self) -> str:
        """Its name, unique in the set."""
        return self.entry.record.name

    @property
    def split(self) -> str:
        """``train`` or ``validation``."""
        return self.entry.split

    @property
    def height(self) -> int:
        """Rows of the HR image, a multiple of 4."""
        return self.entry.record.height

    @property
    def width(self) -> int:
        """Columns of the HR image, a multiple of 4."""
        return self.entry.record.width

    def hr(self) -> np.ndarray:
        """Return the HR image: uint8, H x W x 3, RGB, memory-mapped and read-only."""
        return self._decoded(self._file(HR), self.height, self.width)

    def lr(self, qp: int | None) -> np.ndarray:
        """Return an LR image: uint8, H/4 x W/4 x 3, RGB, memory-mapped and read-only.

        Args:
            qp: one of the set's QPs, or None for the image that no encoder has touched.
        """
        return self._decoded(self._lr_file(qp), self.height // SCALE, self.width // SCALE)

    def bits(self, qp: int | None) -> int:
        """Return the size of an LR file in bits."""
        return 8 * self._lr_file(qp).bytes

    def _lr_file(self, qp: int | None) -> FileEntry:
        return self._file(CLEAN_LR if qp is CLEAN else str(qp))

    def _file(self, key: str) -> FileEntry:
        files = self.entry.record.files
        if key not in files:
            there = ", ".join(key for key in files if key.isdigit())
            raise InputError(f"{self.folder} has no QP {key}: prepared are {there}")
        return files[key]

    def _decoded(self, file: FileEntry, height: int, width: int) -> np.ndarray:
        cached = cache_root() / "decoded" / f"{file.sha256}{_decoder_of(file)}.npy"
        shape = (height, width, 3)
        if (array := _mapped(cached, shape)) is not None:
            return array
        pixels = _decode(self.folder / file.path, file)
        if pixels.shape != shape:
            raise InputError(f"{self.folder / file.path} is not {width}x{height}: {_AGAIN}")
        try:
            write_array(cached, pixels)
        except OSError as fault:
            raise unwritable(fault) from fault
        array = _mapped(cached, shape)
        if array is None:
            raise InputError(f"{cached} does not read back as it was written: check that disk")
        return array


@dataclass(frozen=True)
class PairSet:
    """A prepared dataset.

    Attributes:
        path: its folder.
        digest: SHA-256 of its manifest, which names the hash of every file.
        qps: QPs that every image has, from light to heavy.
        is_sample: whether it is the small built-in sample.
        pictures: all images.
    """

    path: Path
    digest: str
    qps: tuple[int, ...]
    is_sample: bool
    pictures: tuple[Picture, ...]

    @property
    def teacher_folder(self) -> Path:
        """Where what teachers make of its images is kept: with them if they may be written to."""
        inside = self.path / "teacher"
        if inside.is_dir() or os.access(self.path, os.W_OK):
            return inside
        return cache_root() / "teacher"

    @cached_property
    def train(self) -> tuple[Picture, ...]:
        """The images to train on."""
        return tuple(picture for picture in self.pictures if picture.split == TRAIN)

    @cached_property
    def validation(self) -> tuple[Picture, ...]:
        """The images held out."""
        return tuple(picture for picture in self.pictures if picture.split == VALIDATION)


def open_set(path: Path) -> PairSet:
    """Open a prepared dataset.

    Raises:
        InputError: there is none at ``path``, or its manifest cannot be used.
    """
    path = Path(path)
    manifest = read_manifest(path)
    digest = hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()
    pictures = tuple(Picture(path, entry) for entry in manifest.entries)
    return PairSet(path, digest, manifest.qps, manifest.is_sample, pictures)


_AGAIN = "prepare the set again, the damaged picture alone is redone"


def _mapped(cached: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Map a decoded image, None if it is missing or damaged."""
    array = read_array(cached)
    sound = array is not None and array.shape == shape and array.dtype == np.uint8
    return array if sound else None


def _decoder_of(file: FileEntry) -> str:
    """Version of the AVIF decoder, which decides how chroma is upsampled; empty for PNG."""
    return f"-avif{version('pillow-avif-plugin')}" if file.path.endswith(".avif") else ""


def _decode(path: Path, file: FileEntry) -> np.ndarray:
    try:
        if sha256_of(path) != file.sha256:
            raise InputError(f"{path} is not the file that was prepared: {_AGAIN}")
    except OSError as fault:
        raise InputError(f"{path} cannot be read ({fault.strerror}): {_AGAIN}") from fault
    if path.suffix == ".avif":
        from pillow_avif.AvifImagePlugin import AvifImageFile

        with AvifImageFile(path) as picture:  # Pillow has another decoder
            return np.asarray(picture.convert("RGB"))
    with Image.open(path) as plain:
        return np.asarray(plain.convert("RGB"))
