"""Locks on open files, which the system releases when their process ends."""

from __future__ import annotations

from typing import IO

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
