"""Files: the cache folder, reading text, file names, and atomic writes."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from nas.common.errors import InputError, reason

try:
    import fcntl
except ImportError:  # Windows has no such locks: nothing is protected there
    fcntl = None  # type: ignore[assignment]


def lock_file(file: int | IO[bytes] | IO[str], *, shared: bool = False, wait: bool = True) -> bool:
    """Lock an open file until it is closed; return False if another process holds it.

    Best-effort: on a file system without locks it returns True.
    """
    if fcntl is None:
        return True
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, mode if wait else mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def cache_root() -> Path:
    """Return the cache folder: ``$NAS_CACHE``, else the user's cache folder of the system.

    Everything in it can be deleted at any time and is created again when needed.
    """
    if chosen := os.environ.get("NAS_CACHE"):
        return Path(chosen).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "nas-workbench"


def unwritable(fault: OSError, machine: str = "") -> InputError:
    """Return the error for a cache that cannot be written, on this or a named machine."""
    where = f"{cache_root()} of {machine}" if machine else cache_root()
    return InputError(
        f"the cache {where} cannot be written ({reason(fault)}): "
        "make room there, or set NAS_CACHE to another folder"
    )


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, without a byte order mark.

    Raises:
        InputError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as fault:
        raise InputError(f"{path} cannot be read: {reason(fault)}") from fault
    except UnicodeDecodeError as fault:
        raise InputError(f"{path} is not UTF-8 text: save it as UTF-8") from fault


def file_name(text: str) -> str:
    """Return a text as the name of a file or folder, without blanks and slashes."""
    return re.sub(r"[^\w.+-]+", "-", text).strip(".-")[:80] or "unnamed"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and move it there when the block succeeds.

    Missing parent folders are created. The temporary keeps the suffix, because encoders choose
    their format by it. When the block raises, the temporary is removed and ``path`` is unchanged.
    Errors of the system name ``path`` instead of the temporary.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield aside
        aside.replace(path)
    except OSError as fault:
        if fault.errno and fault.filename in (None, aside, str(aside)):
            fault.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # keep the first error
            aside.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically."""
    with atomic_path(path) as aside:
        aside.write_bytes(content)
