"""Overhead of a search beside training and measuring: Optuna, Ray, MLflow, starting a trial.

    python -m benchmarks.overhead --trials 24 --concurrency 2

Every candidate waits a known time instead of training, so that all other time is overhead. The
study (SQLite), Ray's workers and the MLflow store (SQLite) are real, with weights, learning curves
and figures. Ratios refer to the same loop in this process without any storage.

Ray's own share is measured by two more searches of the same candidates, one at a time: by Ray, and
by the runner in this process. The difference is Ray's. `benchmarks.growth` measures the cost of a
trial in long studies.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.options import parser_of
from nas.measure.latency.target import resolve_target
from search_spaces.space import load_space
from search_spaces.zoo.survey import published
from studies.core.budget import parse_budget
from studies.core.candidate import Candidate, Evaluation
from studies.core.info import StudySettings
from studies.core.outcome import PartialResult, Rejected, Rung, Runtime, Size, Trained, Weights
from studies.events import Event, Finished
from studies.sampling.samplers import AUTO, resolve, sampler_factory, samplers
from studies.setup import known_costs
from studies.storage.store import Store

if TYPE_CHECKING:
    from studies.core.record import Record
    from studies.runners.base import Runner

LIMIT_MS = 2.0


@dataclass(frozen=True)
class Wait:
    """Waits for ``seconds`` in three rungs; a third of the candidates is over the budget."""

    seconds: float

    def __call__(self, candidate: Candidate) -> Evaluation:
        """Evaluate a candidate by waiting."""
        network = candidate.architecture
        params = network.width**2 * 9 * (network.depth + 1)
        size, runtime = (
            Size(params, 500_000 * params),
            Runtime(params / 12_000, "predicted", "none"),
        )
        if runtime.ms > LIMIT_MS:
            return Rejected("runtime_ms", runtime.ms, LIMIT_MS, runtime, size)
        curve: tuple[Rung, ...] = ()
        for step in (200, 400, 600):
            time.sleep(self.seconds / 3)
            curve += (Rung(step, params**0.5 * step / 1e5, self.seconds * step / 600),)
            if step < 600:
                yield PartialResult(runtime, size, curve)
        gain = curve[-1].gain_db
        qps = (31, 39, 47, 55, 63)
        return Trained(
            gain_db=gain,
            gain_db_per_qp=dict.fromkeys(qps, gain),
            psnr_y_db=dict.fromkeys(qps, 30 + gain),
            runtime=runtime,
            size=size,
            curve=curve,
            steps=600,
            weights=Weights("0" * 64, data=os.urandom(4 * params)),
        )


@dataclass(frozen=True)
class Mark:
    """A time during a search."""

    wall: float
    processor: float
    """Seconds of all processors that all processes of the search have used."""
    trained: int
    """Candidates trained so far."""


@dataclass(frozen=True)
class Search:
    """A finished search."""

    records: tuple[Record, ...]
    begun: Mark
    finished: tuple[Mark, ...]
    """One for each trial."""
    ended: Mark

    def a_candidate(self, waited_s: float, *, under_way: bool) -> tuple[float, float]:
        """Return wall seconds beyond waiting, and CPU seconds, per trained candidate.

        Args:
            waited_s: Waiting time of each candidate.
            under_way: Skip the first quarter of the trials, and everything after the last.
        """
        first, last = self.begun, self.ended
        if under_way:
            first, last = self.finished[len(self.finished) // 4], self.finished[-1]
        trained = last.trained - first.trained
        wall = (last.wall - first.wall) / trained - waited_s
        return wall, (last.processor - first.processor) / trained


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0, help="what a candidate waits")
    parser.add_argument("--sampler", default="auto", choices=(AUTO, *samplers))
    options = parser.parse_args()
    sampler = resolve(options.sampler)
    print(f"load before        {os.getloadavg()[0]:8.1f}")
    whole(options.trials, options.concurrency, options.seconds, sampler)
    share_of_ray(options.trials, options.seconds, sampler)


def whole(trials: int, concurrency: int, seconds: float, sampler: str) -> None:
    """Print the overhead of a search by Ray, including imports."""
    begin, cpu = time.perf_counter(), time.process_time()
    from studies.runners.ray import RayRunner

    search = run(RayRunner(concurrency), trials, seconds, sampler)
    total, cpu = time.perf_counter() - begin, time.process_time() - cpu
    ideal = trials * seconds / concurrency
    steady, _ = search.a_candidate(seconds / concurrency, under_way=True)
    raw = raw_seconds(search.records, seconds)
    asked = len(search.records)
    print(f"{trials} trained of {asked} asked for by {sampler}, {concurrency} at once")
    print(f"whole run          {total:8.2f} s, of which {ideal:.2f} s waiting")
    print(f"overhead           {(total - ideal) / trials:8.3f} s a trained candidate (goal: < 1)")
    print(f"of that, under way {steady:8.3f} s a trained candidate")
    print(f"driver's CPU time  {cpu / trials:8.3f} s a trained candidate")
    print(f"ratio              {total / (raw / concurrency):8.2f} of raw evaluation")


def share_of_ray(trials: int, seconds: float, sampler: str) -> None:
    """Print the cost of the same candidates, one at a time, by Ray and in this process."""
    from studies.runners.inline import InlineRunner
    from studies.runners.ray import RayRunner

    ours = run(InlineRunner(), trials, seconds, sampler)
    by_ray = run(RayRunner(), trials, seconds, sampler)
    same = [r.candidate.key for r in ours.records] == [r.candidate.key for r in by_ray.records]
    print("\nthe same candidates one at a time, seconds a trained candidate:")
    print(f"{'':41}{'in this process':>16}{'by Ray':>9}{'Ray alone':>11}")
    for what, under_way in (("under way", True), ("starting and ending included", False)):
        figures = [s.a_candidate(seconds, under_way=under_way) for s in (ours, by_ray)]
        for kind, here, there in zip(("wall", "processors"), *figures, strict=True):
            goal = "   (goal: < 0.3)" if under_way and kind == "wall" else ""
            line = f"{f'{kind}, {what}':41}{here:16.3f}{there:9.3f}{there - here:11.3f}{goal}"
            print(line)
    if not same:
        print("the two searches asked for different candidates: the last column is not Ray's alone")


def run(runner: Runner, trials: int, seconds: float, sampler: str) -> Search:
    """Search in a new folder."""
    from studies.runners.ray import RayRunner
    from studies.runners.ray_session import Session, ray_session
    from studies.search import run_study

    finished: list[Mark] = []
    trained = 0

    def note(event: Event) -> None:
        nonlocal trained
        if isinstance(event, Finished):
            trained += isinstance(event.record.outcome, Trained)
            finished.append(mark(trained))

    begun = mark(0)
    with tempfile.TemporaryDirectory(prefix="nas-overhead-") as folder, ExitStack() as stack:
        settings = StudySettings(
            name="overhead",
            store=Store(f"sqlite:///{folder}/studies.db"),
            space=load_space("lightweight"),
            budget=parse_budget(f"{LIMIT_MS}ms"),
            trials=trials,
            known={name: network.architecture for name, network in published.items()},
            sampler=sampler_factory(sampler, partial(known_costs, resolve_target("rtx4090"))),
        )
        if isinstance(runner, RayRunner):
            stack.enter_context(ray_session(Session(cpus=runner.concurrency)))
        summary = run_study(
            settings,
            Wait(seconds),
            runner,
            tracking_uri=f"sqlite:///{folder}/mlflow.db",
            on_event=note,
        )
        # While Ray's processes are there: with them goes the knowledge of what they used.
        processor = mark(trained).processor
    assert summary.counts.done == trials and summary.tracking_fault is None, summary
    ended = replace(mark(trained), processor=processor)
    return Search(summary.records, begun, tuple(finished), ended)


def mark(trained: int) -> Mark:
    """Record the time."""
    return Mark(time.perf_counter(), processor_seconds(), trained)


def processor_seconds() -> float:
    """Return the CPU seconds of this process and all its descendants so far."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended since: its parent knows what it used
            fields = stat.read_text().rpartition(")")[2].split()
            pid = int(stat.parent.name)
            parents[pid], ticks[pid] = int(fields[1]), sum(map(int, fields[11:15]))
    family, edge = set(), {os.getpid()}
    while edge:
        family |= edge
        edge = {pid for pid, parent in parents.items() if parent in edge} - family
    return sum(ticks[pid] for pid in family) / os.sysconf("SC_CLK_TCK")


def raw_seconds(records: tuple[Record, ...], seconds: float) -> float:
    """Evaluate the same candidates one after another, without anything else."""
    begin = time.perf_counter()
    for record in records:
        for _ in Wait(seconds / 100)(record.candidate):
            pass
    spent = time.perf_counter() - begin
    trained = sum(isinstance(record.outcome, Trained) for record in records)
    return spent + trained * seconds * 0.99


if __name__ == "__main__":
    main()
