"""Choice of the device, and memory settings of the CPU."""

from __future__ import annotations

import ctypes
import platform

import torch

from nas.common.errors import InputError

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def keep_memory() -> None:
    """Let glibc keep freed memory in this process; other libraries are left alone.

    By default it returns the memory of large maps to the system, which clears and maps the pages
    again in the next forward: up to half of a small network's time, and very variable. Runtimes
    that ship networks keep their memory too.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def usable_device(asked: str | None = None) -> str:
    """Return the requested device, by default ``cuda`` if available, else ``cpu``.

    Raises:
        InputError: it cannot be used here.
    """
    there = "cuda" if torch.cuda.is_available() else "cpu"
    if asked is None or asked in ("cpu", there):
        return asked or there
    try:
        torch.empty(1, device=asked)
    except (RuntimeError, AssertionError) as fault:
        raise InputError(f"--device {asked} cannot be used here: give cpu or cuda") from fault
    return asked


def gpus_alike() -> int:
    """Return the number of GPUs for candidates: all if they are of one model, else at most one.

    Runtimes of different models do not compare.
    """
    count = torch.cuda.device_count()
    kinds = {torch.cuda.get_device_name(number) for number in range(count)}
    return count if len(kinds) == 1 else min(count, 1)
