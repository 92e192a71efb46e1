"""A child process does the work and is started again when it dies: Ray's core may abort it.

The work must continue where it was when it is done again, as a search does. The parent process
imports nothing heavy, so that nothing in it can crash, and the child is a fork of it, which takes
no time to start.
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

_PATIENCE_S = 10.0  # for a program that was asked to end


@contextmanager
def companion(
    command: Sequence[str], environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends, or until this process does, also by ``kill -9``.

    It ends with all that it has started. A shell waits for the end of a pipe that only this process
    holds open: the system closes it, whatever happens here.

    Args:
        command: The program and its arguments.
        environment: Its environment variables.

    Yields:
        The running program.
    """
    # In a group of its own, which Ctrl+C in the terminal does not reach: this process passes it on.
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
"""How many in a row may die without any progress."""

_STDERR = 2
_PR_SET_PDEATHSIG = 1  # of Linux's prctl
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHOW_CURSOR = "\x1b[?25h\n"  # the live view that died had hidden it

# What the child notes in the memory that it shares with its parent and with those after it: its
# exit code, its progress, and when the first of them began, in ns.
_CODE, _PROGRESS, _BEGAN = 0, 1, 2
_RUNNING = -1
_notes: memoryview | None = None


def progressed() -> None:
    """Note that something is done for good; in a process that is not supervised, do nothing."""
    if _notes is not None:
        _notes[_PROGRESS] += 1


def began() -> float:
    """When the work began, on the monotonic clock: at the first call, in a child that died or here.

    So that work of limited time does not have that time again whenever its process dies.
    """
    if _notes is None:
        return time.monotonic()
    _notes[_BEGAN] = _notes[_BEGAN] or time.monotonic_ns()
    return _notes[_BEGAN] / 1e9


def supervised(work: Callable[[], None]) -> None:
    """Do the work in a child process, again while that dies, and exit with its exit code.

    A signal to stop is passed on to the child; when this process is killed, so is the child. What
    native code writes to stderr is kept from the terminal.

    Where a fork is unsafe because threads run already, as in a notebook, and on other systems than
    Linux, this process does the work and returns.

    Args:
        work: What to do; doing it again continues it.

    Raises:
        SystemExit: With the exit code of the work; 1 when the child dies again and again.
    """
    if sys.platform != "linux" or len(list(Path("/proc/self/task").iterdir())) > 1:
        work()
        return
    heard = {n for n in (*_STOPS, signal.SIGTSTP) if signal.getsignal(n) != signal.SIG_IGN}
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, no child can be waited for
    # They stay blocked in this process: it takes them when it waits, or ends.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heard | {signal.SIGCHLD})
    log = os.memfd_create("stderr")
    deaths = 0
    notes = memoryview(mmap.mmap(-1, 24)).cast("q")
    while True:
        notes[_CODE], notes[_PROGRESS] = _RUNNING, 0
        parent = os.getpid()
        _flush()  # or both would write it
        child = os.fork()
        if child == 0:
            _prepare_child(parent, log)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            _do(work, notes)
        status, stop = _wait(child, heard)
        if notes[_CODE] != _RUNNING:
            sys.exit(notes[_CODE])
        if stop is not None:
            _say("interrupted; the same command continues.")
            sys.exit(128 + stop)
        deaths = 1 if notes[_PROGRESS] else deaths + 1
        how = _name(status)
        if deaths >= ATTEMPTS:
            _give_up(how, log)
        _say(
            f"the process that runs the search died ({how}); "
            f"continuing: attempt {deaths + 1} of {ATTEMPTS}."
        )


def _prepare_child(parent: int, log: int) -> None:
    """End with the parent, be out of reach of the terminal's signals, and part from native code.

    Python's stderr stays the terminal; the file descriptor, which native code and other processes
    write to, becomes the log.
    """
    os.setsid()  # Ctrl+C reaches the parent alone, which passes it on
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it ended before it could be watched
    shown = sys.stderr
    if shown is not None:
        terminal = os.dup(_STDERR)
        sys.stderr = os.fdopen(
            terminal, "w", buffering=1, encoding=shown.encoding, errors=shown.errors
        )
        vars(sys)["__stderr__"] = sys.stderr  # where Rich looks for the terminal's size
        os.dup2(log, _STDERR)
    faulthandler.enable(_STDERR)  # or Ray does, with Python's


def _do(work: Callable[[], None], notes: memoryview) -> NoReturn:
    """Do the work, note how it ended once all that it prints is out, and end this process."""
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
    except OSError:  # nobody reads it any more: Python ends with this code then
        code = 120
    notes[_CODE] = code
    # As the interpreter ends, and `multiprocessing` its processes; nothing returns to a caller.
    vars(threading)["_shutdown"]()
    vars(atexit)["_run_exitfuncs"]()
    os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # as where it is closed
            stream.flush()


def _wait(child: int, heard: Collection[signal.Signals]) -> tuple[int, signal.Signals | None]:
    """Wait for the child's end; return its status, and which signal has asked it to stop."""
    stop = None
    while True:
        number = signal.Signals(signal.sigwait({*heard, signal.SIGCHLD}))
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
    """Ctrl+Z: stop, together with the child and all that it has started, until continued."""
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGCONT)


def _name(status: int) -> str:
    """What ended a process."""
    code = os.waitstatus_to_exitcode(status)
    try:
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    except ValueError:  # one of the real-time signals
        return f"signal {-code}"


def _give_up(how: str, log: int) -> NoReturn:
    text = f"the process that runs the search died {ATTEMPTS} times without a new trial ({how})"
    said = os.pread(log, os.fstat(log).st_size, 0)
    if said:
        import tempfile

        file, path = tempfile.mkstemp(prefix="nas-search-", suffix=".log")
        with os.fdopen(file, "wb") as kept:
            kept.write(said)
        text += f"; what native code wrote is in {path}"
    _say(f"{text}; nothing is lost, the same command continues.")
    sys.exit(1)


def _say(text: str) -> None:
    if sys.stderr is not None:
        cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""
        print(f"{cursor}nas: {text}", file=sys.stderr, flush=True)
