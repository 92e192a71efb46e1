"""Time until the first candidate of a search trains, by phase, and until commands respond.

    python -m benchmarks.startup [--rounds N] [--data SET] [--concurrency N]

Every figure is of a new process. The search runs as from the command line, in a new folder, with a
cache that an earlier run has filled; functions that it calls are timed by wrappers. Wall seconds
depend on other processes; CPU seconds (of the command's process and of the worker) hardly do. The
minimum over all rounds counts.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.options import parser_of

ROOT = Path(__file__).parents[1]
_MARKS = "NAS_STARTUP_MARKS"  # the file that all processes of a run write to
_NAS = "from nas.cli import main; main()"
_WATCHED = {
    # module: functions whose beginning and end are marked
    "studies.setup": ("set_up",),
    "studies.search": ("run_study",),
    "ray": ("init",),
}


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="prepared dataset; default the sample dataset")
    parser.add_argument("--concurrency", type=int, default=2)
    options = parser.parse_args()
    search = ["search", "--budget", "8ms", "--trials", "2", "--steps", "3", "--study", "startup"]
    search += ["--concurrency", str(options.concurrency)]
    search += ["--data", str(options.data.absolute())] if options.data else []
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="nas-startup-") as folder:
        work = Path(folder)
        _watched_search(search, work / "warm")  # fills the cache; not counted
        runs = [_watched_search(search, work / str(n)) for n in range(options.rounds)]
        best = min(runs, key=lambda marks: marks[-1]["wall"])
        print(f"load {load:.1f} before, {os.getloadavg()[0]:.1f} after; {options.rounds} rounds")
        print("nas search, least of the rounds, seconds since the command:")
        print(f"{'':34}{'wall':>7}{'processor':>11}   of which process")
        for mark in best:
            print(f"{mark['what']:34}{mark['wall']:7.2f}{mark['cpu']:11.2f}   {mark['process']}")
        in_study = work / "0"
        print("whole commands:")
        for name, code in {
            "import nas": "import nas",
            "import search_spaces": "import search_spaces",
            "nas --help": None,
            "nas studies": None,
            "nas front startup": None,
        }.items():
            command = ["-c", code or _NAS, *([] if code else name.split()[1:])]
            wall, cpu = _least(command, in_study, options.rounds)
            print(f"{name:34}{wall:7.2f}{cpu:11.2f}")


def _watched_search(arguments: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """Run ``nas search`` in a new process and return the marks up to the first training step."""
    folder.mkdir()
    marks = folder / "marks"
    environment = {
        **os.environ,
        _MARKS: str(marks),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    begin = time.monotonic()
    code = "from benchmarks.startup import watched; watched()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    marks_read = [json.loads(line) for line in marks.read_text().splitlines()]
    marks_read.sort(key=lambda mark: mark["wall"])
    first: dict[str, dict[str, Any]] = {}
    for mark in marks_read:
        first.setdefault(mark["what"], {**mark, "wall": mark["wall"] - begin})
    upto = list(first).index("worker: first step backward") + 1
    return list(first.values())[:upto]


def watched() -> None:
    """Run ``nas``, recording start and end of functions."""
    sys.meta_path.insert(0, _Watch())
    _mark("driver: Python runs")
    from nas.cli import main as nas

    nas()


class Watched:
    """The evaluation of candidates in a worker, with marks."""

    def __init__(self, evaluate: Callable[..., Any]) -> None:
        self._evaluate = evaluate

    def __call__(self, candidate: Any, **settings: Any) -> Any:
        """Evaluate, with a mark at the first of each kind."""
        _mark("worker: has a candidate")
        import torch

        from studies import evaluation

        if not hasattr(torch.Tensor.backward, "__wrapped__"):
            backward = _marked(torch.Tensor.backward, "worker: first step backward")
            vars(torch)["Tensor"].backward = backward
        given = settings["settings"]
        evaluation.load_all(given.plugins)
        evaluation.load_data(given.data, given.teacher, given.device)
        _mark("worker: has its data")
        return self._evaluate(candidate, **settings)


class _Watch(importlib.abc.MetaPathFinder):
    """Wraps functions of modules when they are imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module as usual, and wrap its functions."""
        if name not in (*_WATCHED, "studies.evaluation"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def then_wrap(module: ModuleType) -> None:
            _mark(f"driver: import {name} begins")
            execute(module)
            for function in _WATCHED.get(name, ()):
                wrapped = _marked(getattr(module, function), f"driver: {name}.{function}", True)
                setattr(module, function, wrapped)
            if name == "studies.evaluation":
                vars(module)["evaluate"] = Watched(vars(module)["evaluate"])
            _mark(f"driver: import {name} ends")

        spec.loader.exec_module = then_wrap  # type: ignore[method-assign]
        return spec


def _marked(function: Callable[..., Any], what: str, begins: bool = False) -> Callable[..., Any]:
    @functools.wraps(function)
    def marking(*args: Any, **kwargs: Any) -> Any:
        if begins:
            _mark(f"{what} begins")
        result = function(*args, **kwargs)
        _mark(f"{what} ends" if begins else what)
        return result

    return marking


def _mark(what: str) -> None:
    mark = {
        "what": what,
        "wall": time.monotonic(),
        "cpu": time.process_time(),
        "process": os.getpid(),
    }
    with Path(os.environ[_MARKS]).open("a") as file:
        file.write(json.dumps(mark) + "\n")


def _least(arguments: Sequence[str], folder: Path, rounds: int) -> tuple[float, float]:
    """Return the minimum wall and CPU seconds of a command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    walls, cpus = [], []
    for _ in range(rounds):
        used, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        walls.append(time.monotonic() - begin)
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)
    return min(walls), min(cpus)


if __name__ == "__main__":
    main()
