"""A program that runs beside the command and never outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

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
