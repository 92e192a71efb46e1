"""A program that searches and is killed before every single write in turn, until it is done.

    killed_moments.py FOLDER GROWTH [TRACKING_URI]

Each attempt is a process of its own, forked from this one: the first is killed at its first write,
the next one at a later, and so on. Writes are commits to databases, whoever's, and files moved into
place. Prints how many attempts there were. After each, every record that a reader sees must be
there still, unchanged.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from quick_search import Quick, settings
from sqlalchemy import Engine, event

import studies.report.static
import studies.tracking
from studies.results.snapshot import load
from studies.search import conduct


def kill_at(moment: int) -> None:
    """End this process, as the kernel does, at its so manieth write."""
    left = iter(range(moment - 1, -1, -1))

    def write(*_: object) -> None:
        if next(left, 0) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "commit", write)
    replace = Path.replace

    def moved(path: Path, target: Path) -> Path:
        write()
        return replace(path, target)

    Path.replace = moved  # type: ignore[method-assign]


def attempt(folder: Path, moment: int, tracking_uri: str | None) -> bool:
    """Search in a process that is killed at a moment; say whether it came to its end."""
    pid = os.fork()
    if pid == 0:
        kill_at(moment)
        studies.report.static.write = lambda *_: {}  # pictures take seconds
        summary = conduct(settings(folder), Quick(folder / "log"), tracking_uri=tracking_uri)
        os._exit(0 if summary.tracking_fault is None else 3)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return False
    assert os.WEXITSTATUS(status) == 0, status
    return True


def kept(folder: Path) -> dict[int, object]:
    """What a reader sees of trials that have ended, read in a process of its own."""
    import pickle

    there, here = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(there)
        try:
            records = load(settings(folder).store, "quick").records
        except ValueError:  # not there yet
            records = ()
        with os.fdopen(here, "wb") as out:
            pickle.dump({r.trial: r for r in records if r.finished is not None}, out)
        os._exit(0)
    os.close(here)
    with os.fdopen(there, "rb") as result:
        found = pickle.load(result)
    os.waitpid(pid, 0)
    return found


def main() -> None:
    folder, growth, *rest = sys.argv[1:]
    moment, attempts, before = 1, 1, {}
    while not attempt(Path(folder), moment, *(rest or [None])):
        now = kept(Path(folder))
        assert {trial: now.get(trial) for trial in before} == before, "a record was lost or changed"
        moment, attempts, before = moment + int(growth), attempts + 1, now
    print(attempts)


if __name__ == "__main__":
    main()
