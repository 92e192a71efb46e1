"""A program that runs supervised searches, one after another, and kills the process of each.

    killed_searches.py FOLDER SEARCHES [--ray]

Each search has its own folder, and a seed which says when its process meets SIGABRT, SIGSEGV
and SIGKILL. Prints a JSON list of what came of each: the signals that met it, the command's exit
code, and what it wrote to stderr.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from quick_search import Quick, run, settings

from benchmarks.processes import children
from nas.cli.child_process import supervised
from studies.search import run_study

SIGNALS = [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL]
TRIALS = 6
EVENTS = 2 * TRIALS
"""Each search prints at least as many, killed or not: of a trial, that it started and finished."""


def begin(folder: Path, ray: bool) -> int:
    """Start a supervised search in its own process, as a command is one."""
    folder.mkdir()
    shutil.copy(folder.parent / "studies.db", folder)
    pid = os.fork()
    if pid == 0:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(folder / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
        supervised(lambda: run(folder, TRIALS, 2, 0.02, ray))
    return pid


def kill(command: int, folder: Path, luck: random.Random) -> list[str]:
    """Kill the process of a search at moments spread over its run; return what it met."""
    signals = luck.sample(SIGNALS, len(SIGNALS))
    moments = sorted(luck.sample(range(EVENTS), len(SIGNALS)))
    before: set[int] = set()
    for number, moment in zip(signals, moments, strict=True):
        wait_for(lambda moment=moment: lines(folder / "out") >= moment)
        time.sleep(luck.uniform(0, 0.1))
        (searching,) = before = started_after(before, command)
        os.kill(searching, number)
    return [number.name for number in signals]


def started_after(before: set[int], command: int) -> set[int]:
    wait_for(lambda: children(command) - before)
    return children(command) - before


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def main() -> None:
    folder, searches, *more = sys.argv[1:]
    run_study(settings(Path(folder), name="first"), Quick())  # imports, before any fork, and tables
    results = []
    for seed in range(int(searches)):
        own = Path(folder) / str(seed)
        command = begin(own, bool(more))
        met = kill(command, own, random.Random(seed))
        _, status = os.waitpid(command, 0)
        code, said = os.waitstatus_to_exitcode(status), (own / "err").read_text()
        results.append({"met": met, "code": code, "said": said})
    print(json.dumps(results))


if __name__ == "__main__":
    main()
