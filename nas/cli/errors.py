"""Errors of the user, reported in one sentence, and signals to stop."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from nas.common.errors import InputError

_ADVICE = {
    errno.ENOSPC: "there is no space left on the disk; free some and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EACCES: "permission denied; choose a writable folder, or change its permissions",
    errno.EPERM: "permission denied; choose a writable folder, or change its permissions",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOENT: "there is no such file, and none can be created; choose another folder",
    errno.ENOTDIR: "there is a file where a folder is needed; choose another path",
    errno.EEXIST: "there is a file where a folder is needed; choose another path",
    errno.EISDIR: "there is a folder where a file is needed; choose another path",
    errno.EMFILE: "too many open files; raise the limit with 'ulimit -n 4096'",
    errno.EIO: "the disk fails to read or write; check its health first",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}

INTERRUPTED = 128 + signal.SIGINT
"""Exit code of Ctrl+C."""


@dataclass
class Stop:
    """Exit code of an interrupted command."""

    exit_code: int = INTERRUPTED


@contextmanager
def signals_as_interrupts() -> Iterator[Stop]:
    """Let SIGTERM and SIGHUP interrupt as Ctrl+C does, unless they are ignored (``nohup``)."""
    stop = Stop()

    def interrupt(number: int, frame: FrameType | None) -> None:
        stop.exit_code = 128 + number
        raise KeyboardInterrupt

    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield stop
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def sentence_for(error: BaseException) -> str | None:
    """Describe an error of the user in one sentence; return None for an error of the program."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _ADVICE:
        where = f"{error.filename}: " if error.filename else ""
        return where + _ADVICE[error.errno]
    if type(error).__name__ == "OutOfMemoryError":  # PyTorch's, without importing it
        return (
            "the GPU is out of memory: stop other processes on it (see nvidia-smi), or use smaller "
            "images, batches or networks"
        )
    return None
