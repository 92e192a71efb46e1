"""The devices to work on: CUDA where there is one."""

from __future__ import annotations

import ctypes
import platform

import torch

from nas.common.errors import InputError

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


def usable_device(asked: str | None = None) -> str:
    """Return the device that was asked for, else ``cuda`` if there is any, else ``cpu``.

    Raises:
        InputError: what was asked for cannot be used here.
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
    """Return how many GPUs candidates can be spread over: all if they are of one kind, else one.

    Runtimes of two kinds do not compare. Without CUDA there is none.
    """
    count = torch.cuda.device_count()
    kinds = {torch.cuda.get_device_name(number) for number in range(count)}
    return count if len(kinds) == 1 else min(count, 1)
