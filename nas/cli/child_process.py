"""Child process that does the work and is restarted when it dies: Ray's core may abort it.

Repeating the work must continue it, as a search does. The parent process imports nothing heavy, so
that nothing can crash it; the child is a fork and starts at once.
"""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

_PATIENCE_S = 10.0  # for a program to end after SIGTERM


@contextmanager
def companion(
    command: Sequence[str], environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program with all its children until the block or this process ends.

    This holds even for ``kill -9``: a shell waits for the end of a pipe that only this process
    holds open, and then stops the program.
    """
    # In a process group that Ctrl+C in the terminal does not reach: this process passes it on.
    program = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    watch = ["sh", "-c", f"read line; kill -s TERM -- -{program.pid}"]
    with subprocess.Popen(
        watch, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as watcher:
        try:
            yield program
        finally:
            assert watcher.stdin is not None
            watcher.stdin.close()
            try:
                program.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(program.pid, signal.SIGKILL)
                program.wait()


ATTEMPTS = 5
"""Number of successive children that may die without progress."""

_STDERR = 2
_PR_SET_PDEATHSIG = 1  # of Linux's prctl
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHOW_CURSOR = "\x1b[?25h\n"  # a live view hides it

# Memory that all children share with the parent: exit code, progress, and start of the first child
# in ns.
_CODE, _PROGRESS, _BEGAN = 0, 1, 2
_RUNNING = -1
_notes: memoryview | None = None


def progressed() -> None:
    """Record progress; does nothing in a process that is not supervised."""
    if _notes is not None:
        _notes[_PROGRESS] += 1


def began() -> float:
    """Return the time of the first call, here or in a child that died, on the monotonic clock.

    A restart does not extend the time of a search.
    """
    if _notes is None:
        return time.monotonic()
    _notes[_BEGAN] = _notes[_BEGAN] or time.monotonic_ns()
    return _notes[_BEGAN] / 1e9


def supervised(work: Callable[[], None]) -> None:
    """Do the work in a child process, restart it if it dies, and exit with its exit code.

    Signals to stop are passed on to the child; if this process is killed, so is the child. Output
    of native code on stderr goes to a log, not to the terminal.

    Where a fork is unsafe because threads are running, as in a notebook, and on systems other than
    Linux, this process does the work and returns.

    Args:
        work: Repeating it must continue it.

    Raises:
        SystemExit: With the exit code of the work; 1 if children die repeatedly.
    """
    if sys.platform != "linux" or len(list(Path("/proc/self/task").iterdir())) > 1:
        work()
        return
    handled = {n for n in (*_STOPS, signal.SIGTSTP) if signal.getsignal(n) != signal.SIG_IGN}
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if it is ignored, no child can be waited for
    # They stay blocked in this process, which receives them by `sigwait`.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, handled | {signal.SIGCHLD})
    log = os.memfd_create("stderr")
    deaths = 0
    notes = memoryview(mmap.mmap(-1, 24)).cast("q")
    while True:
        notes[_CODE], notes[_PROGRESS] = _RUNNING, 0
        parent = os.getpid()
        _flush()  # or both processes would write it
        child = os.fork()
        if child == 0:
            _prepare_child(parent, log)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            _do(work, notes)
        status, stop = _wait(child, handled)
        if notes[_CODE] != _RUNNING:
            sys.exit(notes[_CODE])
        if stop is not None:
            _say("interrupted; the same command continues.")
            sys.exit(128 + stop)
        deaths = 1 if notes[_PROGRESS] else deaths + 1
        how = _describe(status)
        if deaths >= ATTEMPTS:
            _give_up(how, log)
        _say(
            f"the process that runs the search died ({how}); "
            f"continuing: attempt {deaths + 1} of {ATTEMPTS}."
        )


def _prepare_child(parent: int, log: int) -> None:
    """End with the parent, ignore signals of the terminal, and redirect native code.

    Python's stderr stays the terminal; its file descriptor, which native code and other processes
    use, becomes the log.
    """
    os.setsid()  # Ctrl+C reaches the parent alone, which passes it on
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # the parent ended before this call
    shown = sys.stderr
    if shown is not None:
        terminal = os.dup(_STDERR)
        sys.stderr = os.fdopen(
            terminal, "w", buffering=1, encoding=shown.encoding, errors=shown.errors
        )
        vars(sys)["__stderr__"] = sys.stderr  # Rich takes the size of the terminal from it
        os.dup2(log, _STDERR)
    faulthandler.enable(_STDERR)  # or Ray enables it for Python's stderr


def _do(work: Callable[[], None], notes: memoryview) -> NoReturn:
    """Do the work, flush its output, record the exit code, and end this process."""
    global _notes
    _notes = notes
    code = 0
    try:
        work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    try:
        _flush()
    except OSError:  # the pipe is closed: Python exits with this code too
        code = 120
    notes[_CODE] = code
    # Shut down as the interpreter does, including the processes of `multiprocessing`.
    vars(threading)["_shutdown"]()
    vars(atexit)["_run_exitfuncs"]()
    os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # None if it is closed
            stream.flush()


def _wait(child: int, handled: Collection[signal.Signals]) -> tuple[int, signal.Signals | None]:
    """Wait for the end of the child; return its status, and the signal that asked it to stop."""
    stop = None
    while True:
        number = signal.Signals(signal.sigwait({*handled, signal.SIGCHLD}))
        if number == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status, stop
        elif number == signal.SIGTSTP:
            _pause(child)
        else:
            stop = number
            os.kill(child, number)


def _pause(child: int) -> None:
    """Handle Ctrl+Z: stop this process and the group of the child until continued."""
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGCONT)


def _describe(status: int) -> str:
    """Describe the exit status of a process."""
    code = os.waitstatus_to_exitcode(status)
    try:
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    except ValueError:  # one of the real-time signals
        return f"signal {-code}"


def _give_up(how: str, log: int) -> NoReturn:
    text = f"the process that runs the search died {ATTEMPTS} times without a new trial ({how})"
    if output := os.pread(log, os.fstat(log).st_size, 0):
        import tempfile

        file, path = tempfile.mkstemp(prefix="nas-search-", suffix=".log")
        with os.fdopen(file, "wb") as opened:
            opened.write(output)
        text += f"; the output of native code is in {path}"
    _say(f"{text}; nothing is lost, the same command continues.")
    sys.exit(1)


def _say(text: str) -> None:
    if sys.stderr is not None:
        cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""
        print(f"{cursor}nas: {text}", file=sys.stderr, flush=True)
