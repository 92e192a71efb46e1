"""Finding the image files of a folder."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from nas.common.errors import InputError
from nas.data.decode import SUFFIXES


@dataclass(frozen=True, slots=True)
class Source:
    """An image file, and its name in the manifest and in messages."""

    path: Path
    name: str


def find_sources(
    folder: Path, leave_out: Path, suffixes: Collection[str] = SUFFIXES
) -> list[Source]:
    """List the image files under a folder, sorted by name.

    Hidden files and folders and the folder ``leave_out`` are ignored; links are followed. An
    unreadable folder is listed too, so that its error is reported.

    Raises:
        InputError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: name a folder of pictures")
    if leave_out.resolve() == folder.resolve():
        raise InputError(f"{folder} holds the pictures: name another folder for what is made")
    seen = {leave_out.resolve()}
    found = []

    def unreadable(fault: OSError) -> None:
        path = Path(fault.filename)
        found.append(Source(path, _printable(path.relative_to(folder))))

    for here, folders, files in os.walk(folder, followlinks=True, onerror=unreadable):
        inside = Path(here).resolve()
        if inside in seen:  # a link back up, or the output
            folders.clear()
            continue
        seen.add(inside)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            path = Path(here, name)
            special = path.exists() and not path.is_file()  # reading a pipe would never end
            if path.suffix.lower() in suffixes and not name.startswith(".") and not special:
                found.append(Source(path, _printable(path.relative_to(folder))))
    if not found:
        kinds = " ".join(sorted(suffixes))
        raise InputError(f"{folder} holds no picture: files named {kinds} are looked for")
    return sorted(found, key=lambda source: source.name)


def _printable(path: Path) -> str:
    """The path as one unique line that any terminal and JSON can show."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(c if ord(c) > 31 and c != "\x7f" else f"\\x{ord(c):02x}" for c in text)
