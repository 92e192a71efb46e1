"""What ends a command early: the user's mistakes, told in one sentence, and requests to stop."""

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
    errno.EACCES: "permission denied; choose a place you may write to, or change its permissions",
    errno.EPERM: "permission denied; choose a place you may write to, or change its permissions",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.ENOENT: "there is no such file, and none can be made there; choose another place",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another place",
    errno.EEXIST: "a file stands where a folder is needed; choose another place",
    errno.EISDIR: "a folder stands where a file is needed; choose another place",
    errno.EMFILE: "too many open files; raise the limit with 'ulimit -n 4096'",
    errno.EIO: "the disk fails to read or write; look at its health before anything else",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}

INTERRUPTED = 128 + signal.SIGINT
"""Exit code of Ctrl+C."""


@dataclass
class Stop:
    """The code to exit with when the work was stopped."""

    exit_code: int = INTERRUPTED


@contextmanager
def heard_as_interrupts() -> Iterator[Stop]:
    """Let SIGTERM and SIGHUP interrupt as Ctrl+C does, so that nothing is lost by them either.

    Whoever starts the command with one of them ignored (``nohup``) wants it ignored.
    """
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
    """One sentence for an exception the user can mend; None for an error of the program."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _ADVICE:
        where = f"{error.filename}: " if error.filename else ""
        return where + _ADVICE[error.errno]
    if type(error).__name__ == "OutOfMemoryError":  # PyTorch's, which need not be imported for it
        return (
            "the GPU has not enough memory left: end what else uses it (nvidia-smi shows that), "
            "or give smaller pictures, batches or networks"
        )
    return None
