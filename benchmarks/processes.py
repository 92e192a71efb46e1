"""Processes of this machine, as the kernel tells of them in ``/proc``."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

HOST = "127.0.0.1"


def carrying(variable: str, value: str) -> set[int]:
    """Processes with this in their environment, which all that they start inherit."""
    wanted, found = f"{variable}={value}".encode(), set()
    for pid in _pids():
        with suppress(OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.add(pid)
    return found


def family(pid: int) -> set[int]:
    """A process and all that it has started, directly or through others that still run."""
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
    """The processes that one has started itself, and that still run."""
    found = set()
    for other in _pids():
        with suppress(OSError):
            if int(_status(other)[1]) == pid:
                found.add(other)
    return found


def group(leader: int) -> set[int]:
    """The processes of a group, which is named after the one that began it."""
    found = set()
    for pid in _pids():
        with suppress(ProcessLookupError):
            if os.getpgid(pid) == leader:
                found.add(pid)
    return found


def title(pid: int) -> str:
    """What a process was called by: its command line, unless it has changed it; empty if ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return ""


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not waited for yet does not."""
    with suppress(OSError):
        return _status(pid)[0] != "Z"
    return False


def gone(pids: Collection[int], within_s: float) -> bool:
    """Wait until all of them have ended; say whether they have."""
    deadline = time.monotonic() + within_s
    while any(map(alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _pids() -> set[int]:
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}


def _status(pid: int) -> list[str]:
    """State, parent and more; the name before them may hold spaces and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
