"""Memory that a network's maps leave behind, kept for the next ones."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def keep_memory() -> None:
    """Have glibc keep what large maps leave behind, from now on in this process.

    By itself it gives that back to the system, which clears and maps all pages anew for the next
    forward. That took up to half of a small network's time, and made runtimes on a CPU matters of
    luck. Runtimes that ship networks keep their memory too. With other libraries nothing is done.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
