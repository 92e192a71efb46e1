"""Cost of a growing study: an ask and a tell, and the commands that read it.

    python -m benchmarks.growth [--trials 5000] [--sampler random] [--folder DIR]

A search without trainings: real candidates of the lightweight space with computed outcomes. After
200, 800 and 5,000 trials it prints the coordinator's CPU time per candidate in milliseconds (median
of the last 50), and at the end the time of ``nas front``, ``nas studies`` and ``nas report``. With
--folder the study is kept there and continued.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.options import parser_of
from nas.measure.latency.target import resolve_target
from search_spaces.space import load_space
from search_spaces.zoo.survey import published
from studies.core.budget import parse_budget
from studies.core.candidate import Candidate
from studies.core.info import StudySettings
from studies.core.outcome import Outcome, Rejected, Rung, Runtime, Size, Trained
from studies.core.study import open_study
from studies.sampling.samplers import AUTO, resolve, sampler_factory, samplers
from studies.setup import known_costs
from studies.storage.store import Store

MARKS = (200, 800, 5000)
LIMIT_MS = 2.0
COMMANDS = {"front": 3.0, "studies": 3.0, "report": 10.0}
"""Seconds that each may take."""
_RECENT = 50


def arithmetic(candidate: Candidate) -> Outcome:
    """Compute an outcome: larger is better and slower; a third is over the limit."""
    network = candidate.architecture
    params = network.width**2 * 9 * (network.depth + 1)
    size, runtime = Size(params, 500_000 * params), Runtime(params / 12_000, "predicted", "none")
    if runtime.ms > LIMIT_MS:
        return Rejected("runtime_ms", runtime.ms, LIMIT_MS, runtime, size)
    gain_db = params**0.5 / 1e3 + int(candidate.key, 16) % 1000 / 1e4
    per_qp = dict.fromkeys((31, 39, 47, 55, 63), gain_db)
    curve = tuple(Rung(step, gain_db * step / 600, step / 20) for step in (200, 400, 600))
    return Trained(
        gain_db=gain_db,
        gain_db_per_qp=per_qp,
        psnr_y_db=per_qp,
        runtime=runtime,
        size=size,
        curve=curve,
        steps=600,
        seconds=30.0,
        gain_cb_db=gain_db,
        gain_cr_db=-gain_db,
    )


def settings(folder: Path, sampler: str) -> StudySettings:
    """Return a study without a limit in a folder."""
    return StudySettings(
        name="growth",
        store=Store(f"sqlite:///{folder}/studies.db"),
        space=load_space("lightweight"),
        budget=parse_budget(f"{LIMIT_MS}ms"),
        trials=10**6,
        patience=10**6,
        known={name: network.architecture for name, network in published.items()},
        sampler=sampler_factory(sampler, partial(known_costs, resolve_target("rtx4090"))),
    )


def grow(folder: Path, trials: int, sampler: str) -> None:
    """Search until the study has enough trials; print the cost of the last ones at each mark."""
    spent: list[float] = []
    with open_study(settings(folder, sampler)) as study:
        number = len(study.records)
        for mark in sorted({*(mark for mark in MARKS if mark < trials), trials}):
            while number < mark:
                begun = time.process_time()
                candidate = study.ask()
                assert candidate is not None, study.ended
                study.tell(candidate, arithmetic(candidate))
                spent.append(1e3 * (time.process_time() - begun))
                number = candidate.trial + 1
            if spent:
                print(f"{number:6,} trials by {sampler}: {median(spent[-_RECENT:]):7.1f} ms each")


def read(folder: Path) -> None:
    """Print CPU and wall time of the commands that read a study."""
    for command, goal_s in COMMANDS.items():
        line = [command, *(["growth"] if command != "studies" else [])]
        line += ["--storage", f"sqlite:///{folder}/studies.db"]
        line += ["-o", str(folder / "report.html")] if command == "report" else []
        begun, before = time.perf_counter(), os.times()
        program = [sys.executable, "-c", "from nas.cli import main; main()", *line]
        subprocess.run(program, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wall, after = time.perf_counter() - begun, os.times()
        used = sum(after[2:4]) - sum(before[2:4])
        print(f"nas {command:8} {used:6.2f} s of the processor, {wall:6.2f} s (goal: < {goal_s:g})")


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--trials", type=int, default=MARKS[-1])
    parser.add_argument("--sampler", default="random", choices=(AUTO, *samplers))
    parser.add_argument("--folder", type=Path, help="where the study stays")
    options = parser.parse_args()
    with ExitStack() as stack:
        aside = stack.enter_context(tempfile.TemporaryDirectory(prefix="nas-growth-"))
        folder = (options.folder or Path(aside)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        grow(folder, options.trials, resolve(options.sampler))
        read(folder)


if __name__ == "__main__":
    main()
