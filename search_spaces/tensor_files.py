"""Safetensors files that tell when they are damaged: their header holds a hash of all the rest.

A flipped bit in a weight gives another network that runs as well as the right one. Files of other
programs, and of earlier versions, hold no such hash and are believed.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from search_spaces.errors import InputError

SEAL = "nas_workbench_sha256"
"""The hash's name among the strings of a header."""

_STRINGS = "__metadata__"
_NOT_READABLE = (ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError)


def sealed(tensors: Mapping[str, Tensor], strings: Mapping[str, str]) -> bytes:
    """Return the content of a file of tensors, with strings and the seal in its header.

    The same tensors and strings give the same bytes, which the library's own header does not.
    """
    header, data = _parts(save(dict(tensors), dict(strings)))
    header[_STRINGS] = dict(sorted({**strings, SEAL: _seal(header, data)}.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return struct.pack("<Q", len(text)) + text + data


def require_whole(path: Path, content: bytes) -> None:
    """Refuse the content of a file that has changed since it was sealed.

    Whether it is a file of tensors at all is for its reader to say.

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
            "copy it again from where it came from, or make it again"
        )


def _parts(content: bytes) -> tuple[dict[str, Any], memoryview]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), memoryview(content)[8 + length :]


def _seal(header: Mapping[str, Any], data: memoryview) -> str:
    """Hash strings and tensors, wherever the file has them."""
    tensors = {name: entry for name, entry in header.items() if name != _STRINGS}
    kinds = {name: [entry["dtype"], entry["shape"]] for name, entry in tensors.items()}
    told = hashlib.sha256(json.dumps([header[_STRINGS], kinds], sort_keys=True).encode())
    for name in sorted(tensors):
        begin, end = tensors[name]["data_offsets"]
        told.update(data[begin:end])
    return told.hexdigest()
