"""Taking a PNG over as it is, so that pixels that are packed already need not be packed again."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from pathlib import Path

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"IHDR", b"IDAT", b"IEND")


def plain_png(path: Path, height: int, width: int) -> bytes | None:
    """Return a PNG's pixels as a PNG without anything else: no profile, no text, no orientation.

    Packing 4K pixels takes as long as one AVIF encoding of their LR picture. What is returned holds
    the samples as ``path`` stores them, so it stands for a decoded picture only where decoding
    did nothing beyond that.

    Returns:
        The file's bytes; None for anything but 8-bit RGB of that size, and for a damaged file.
    """
    with suppress(OSError, struct.error):
        data = memoryview(path.read_bytes())
        kept, start = [data[:8]], 8
        while data[:8] == _SIGNATURE:
            (length,) = struct.unpack_from(">I", data, start)
            kind, end = bytes(data[start + 4 : start + 8]), start + 12 + length
            (checksum,) = struct.unpack_from(">I", data, end - 4)
            if zlib.crc32(data[start + 4 : end - 4]) != checksum:
                return None
            if kind == b"IHDR" and struct.unpack_from(">IIBB", data, start + 8) != (
                *(width, height),
                *(8, 2),  # bits a sample, true colour
            ):
                return None
            if kind in _KEPT:
                kept.append(data[start:end])
            if kind == b"IEND":
                return b"".join(kept)
            start = end
    return None
