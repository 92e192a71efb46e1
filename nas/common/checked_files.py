"""Files with an embedded checksum: tensors, arrays, JSON. Corrupt files are detected."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np

from nas.common.errors import InputError
from nas.common.files import atomic_path, write_atomic

if TYPE_CHECKING:
    from torch import Tensor

SEAL = "nas_workbench_sha256"
"""Name of the checksum in a header."""

_STRINGS = "__metadata__"
_NOT_READABLE = (ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError)


def sealed(tensors: Mapping[str, Tensor], strings: Mapping[str, str]) -> bytes:
    """Return the content of a safetensors file with strings and a checksum in its header.

    The same tensors and strings give the same bytes.
    """
    from safetensors.torch import save  # loads torch, which readers of JSON do without

    header, data = _parts(save(dict(tensors), dict(strings)))
    header[_STRINGS] = dict(sorted({**strings, SEAL: _seal(header, data)}.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return struct.pack("<Q", len(text)) + text + data


def require_whole(path: Path, content: bytes) -> None:
    """Check the content of a tensor file against its checksum, if it has one.

    Raises:
        InputError: it has changed; names the file.
    """
    seal = None
    with suppress(*_NOT_READABLE):
        header, data = _parts(content)
        seal = header[_STRINGS].pop(SEAL)
        if seal == _seal(header, data):
            return
    if seal is not None:
        raise InputError(
            f"{path} is damaged, it is not as it was written: "
            "copy it again from its source, or create it again"
        )


def _parts(content: bytes) -> tuple[dict[str, Any], memoryview]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), memoryview(content)[8 + length :]


def _seal(header: Mapping[str, Any], data: memoryview) -> str:
    """Hash strings and tensors, independent of their order in the file."""
    tensors = {name: entry for name, entry in header.items() if name != _STRINGS}
    kinds = {name: [entry["dtype"], entry["shape"]] for name, entry in tensors.items()}
    state = hashlib.sha256(json.dumps([header[_STRINGS], kinds], sort_keys=True).encode())
    for name in sorted(tensors):
        begin, end = tensors[name]["data_offsets"]
        state.update(data[begin:end])
    return state.hexdigest()


SEAL_BYTES = 32
"""The hash at the end of an array's file; readers of ``.npy`` files stop before it."""

_SEAL = "sha256"


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array as ``.npy`` with a checksum.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_path(path) as aside, aside.open("wb") as file:
        writer = _Sealing(file)
        np.save(writer, array)  # type: ignore[arg-type]
        file.write(writer.digest())


def read_array(path: Path, mode: Literal["r", "c"] = "r") -> np.ndarray | None:
    """Map an array, or return None if it is missing or damaged.

    A process reads the whole file once. ``mode`` is ``r`` for a read-only map, ``c`` for one whose
    changes stay in this process.
    """
    try:
        status = path.stat()
        if not _is_whole(path, status.st_mtime_ns, status.st_size):
            return None
        return np.asanyarray(np.load(path, mmap_mode=mode, allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return None


def write_json(path: Path, content: Mapping[str, Any], indent: int | None = None) -> None:
    """Write a dictionary as JSON with a checksum.

    Raises:
        OSError: it cannot be written.
    """
    plain = json.loads(json.dumps(content))  # as it is read again: keys are strings
    sealed = {**plain, _SEAL: _seal_of(plain)}
    write_atomic(path, json.dumps(sealed, indent=indent).encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the dictionary in a file, or None if it is missing or damaged.

    Files of earlier versions have no checksum and are accepted.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    seal = content.pop(_SEAL, None)
    return content if seal is None or seal == _seal_of(content) else None


class _Sealing:
    """Hashes the bytes that are written to a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def write(self, part: bytes) -> int:
        self._hash.update(part)
        return self._file.write(part)

    def digest(self) -> bytes:
        return self._hash.digest()


@lru_cache(maxsize=2**16)
def _is_whole(path: Path, changed: int, size: int) -> bool:
    """Check a file's checksum, once for each state of the file."""
    if size <= SEAL_BYTES:
        return False
    with path.open("rb") as file:
        file.seek(-SEAL_BYTES, os.SEEK_END)
        seal = file.read()
    content = np.memmap(path, np.uint8, "r", shape=(size - SEAL_BYTES,))
    return hashlib.sha256(content.data).digest() == seal


def _seal_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
