"""Processes of this machine, read from ``/proc``."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

HOST = "127.0.0.1"


def carrying(variable: str, value: str) -> set[int]:
    """Return the processes with this variable in their environment, which children inherit."""
    wanted, found = f"{variable}={value}".encode(), set()
    for pid in _pids():
        with suppress(OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.add(pid)
    return found


def family(pid: int) -> set[int]:
    """Return a process and its running descendants."""
    parents = {}
    for other in _pids():
        with suppress(OSError):
            parents[other] = int(_status(other)[1])
    found, newest = {pid}, {pid}
    while newest:
        newest = {child for child, parent in parents.items() if parent in newest}
        found |= newest
    return found


def children(pid: int) -> set[int]:
    """Return the running children of a process."""
    found = set()
    for other in _pids():
        with suppress(OSError):
            if int(_status(other)[1]) == pid:
                found.add(other)
    return found


def group(leader: int) -> set[int]:
    """Return the processes of a process group."""
    found = set()
    for pid in _pids():
        with suppress(ProcessLookupError):
            if os.getpgid(pid) == leader:
                found.add(pid)
    return found


def title(pid: int) -> str:
    """Return the command line of a process; empty if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return ""


def alive(pid: int) -> bool:
    """Whether a process runs; zombies do not."""
    with suppress(OSError):
        return _status(pid)[0] != "Z"
    return False


def gone(pids: Collection[int], within_s: float) -> bool:
    """Wait until all processes have ended; return whether they have."""
    deadline = time.monotonic() + within_s
    while any(map(alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _pids() -> set[int]:
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}


def _status(pid: int) -> list[str]:
    """Return state, parent and further fields after the name, which may hold brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
