"""Manifest of a prepared dataset, and the record of each image.

A prepared dataset is a folder::

    manifest.json            written last, so its presence means "complete"
    records/<digest>.json    one an image, by the hash of its source
    hr/<name>.png            8-bit RGB, sides multiples of 4
    clean/<name>.png         the LR image without an encoder, for a teacher
    qp31/<name>.avif ...     the LR images at each QP

Every file is listed with its hash, so that a later run repeats only damaged or missing files. Files
that the manifest no longer names stay, and are used again when needed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from nas.common.errors import InputError
from nas.common.files import write_atomic

VERSION = 1
"""Of the manifest's layout and of the recipe that makes the files; raised when either changes."""

MANIFEST = "manifest.json"
RECORDS = "records"
HR = "hr"
CLEAN_LR = "clean"

_NAME = re.compile(r"[^/\\\0]+")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a set: its path from the set's folder, its SHA-256, its size in bytes."""

    path: str
    sha256: str
    bytes: int

    def __post_init__(self) -> None:
        path = PurePosixPath(self.path)
        if path.is_absolute() or ".." in path.parts or "\0" in self.path:
            raise ValueError(f"{self.path!r} is outside of its set")

    def whole(self, folder: Path) -> bool:
        """Whether the file is there, byte for byte."""
        path = folder / self.path
        try:
            return path.stat().st_size == self.bytes and sha256_of(path) == self.sha256
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class Record:
    """The files of one source image.

    Attributes:
        name: unique in the set, and the stem of its files.
        source_sha256: hash of the source file; what decides whether work is redone.
        pixels_sha256: hash of the HR pixels; equal for one image saved in two formats.
        look: 64-bit signature as 16 hex digits; near for two sizes of one image.
        height, width: of the HR image.
        notes: what normalising did beyond decoding.
        encoders: what made the LR files; more than one where QPs were added by another version.
        files: ``hr``, ``clean`` and each QP as text, to its file.
    """

    name: str
    source_sha256: str
    pixels_sha256: str
    look: str
    height: int
    width: int
    notes: tuple[str, ...]
    encoders: tuple[str, ...]
    files: dict[str, FileEntry]


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a set: its record, where it came from, and its part (train, validation)."""

    record: Record
    source: str
    split: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The whole dataset.

    Attributes:
        qps: QPs that every image has.
        is_sample: whether this is the small built-in set.
        background: RGB laid under transparent pixels.
        entries: the images, ordered by name.
    """

    qps: tuple[int, ...]
    is_sample: bool
    background: tuple[int, int, int]
    entries: tuple[Entry, ...]

    def write(self, folder: Path) -> None:
        """Write ``manifest.json``: the step that makes the set complete."""
        pictures = [
            {"source": entry.source, "split": entry.split, **asdict(entry.record)}
            for entry in self.entries
        ]
        content = {
            "version": VERSION,
            "is_sample": self.is_sample,
            "qps": self.qps,
            "background": self.background,
            "pictures": pictures,
        }
        write_atomic(folder / MANIFEST, json.dumps(content, indent=1).encode())


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a prepared set.

    Raises:
        InputError: there is none, or it is damaged or of a newer version.
    """
    path = folder / MANIFEST
    advice = "make one with: nas data prepare HR_DIR --out"
    try:
        content = json.loads(path.read_bytes())
        if content["version"] != VERSION:
            raise InputError(
                f"{path} has layout version {content['version']}, this program reads {VERSION}: "
                f"{advice} a new folder"
            )
        entries = tuple(
            Entry(_record(item), str(item["source"]), str(item["split"]))
            for item in content["pictures"]
        )
        return Manifest(
            tuple(content["qps"]), content["is_sample"], tuple(content["background"]), entries
        )
    except FileNotFoundError as fault:
        state = "not finished preparing" if (folder / RECORDS).is_dir() else "no prepared set"
        raise InputError(
            f"{folder} is {state} (it has no {MANIFEST}): {advice} {folder}"
        ) from fault
    except NotADirectoryError as fault:
        raise InputError(f"{folder} is no prepared set, it is a file: {advice} FOLDER") from fault
    except OSError as fault:
        raise InputError(f"{path} cannot be read: {fault.strerror}") from fault
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        if isinstance(fault, InputError):
            raise
        raise InputError(f"{path} is damaged: {advice} {folder}") from fault


def read_record(folder: Path, source_sha256: str) -> Record | None:
    """Return what was already made from a source, or None where nothing (readable) was."""
    try:
        content = json.loads(record_path(folder, source_sha256).read_bytes())
        return _record(content) if content["version"] == VERSION else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def write_record(folder: Path, record: Record) -> None:
    """Write a record: the step that makes one image done."""
    content = json.dumps({"version": VERSION, **asdict(record)}, indent=1).encode()
    write_atomic(record_path(folder, record.source_sha256), content)


def record_path(folder: Path, source_sha256: str) -> Path:
    """Return where the record of a source is kept."""
    return folder / RECORDS / f"{source_sha256}.json"


def sha256_of(path: Path) -> str:
    """Hash a file without holding it in memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _record(content: Mapping[str, Any]) -> Record:
    if not _NAME.fullmatch(str(content["name"])):  # it names files that are written
        raise ValueError(f"{content['name']!r} is no name of a picture")
    return Record(
        name=str(content["name"]),
        source_sha256=str(content["source_sha256"]),
        pixels_sha256=str(content["pixels_sha256"]),
        look=str(content["look"]),
        height=int(content["height"]),
        width=int(content["width"]),
        notes=tuple(content["notes"]),
        encoders=tuple(content["encoders"]),
        files={key: FileEntry(**value) for key, value in content["files"].items()},
    )
