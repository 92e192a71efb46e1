"""What a search costs beside training and measuring: Optuna, Ray, MLflow, starting a trial.

Every candidate waits a known time instead of being trained, so that all other time is overhead.
The study (SQLite), Ray's workers and the MLflow store (SQLite) are real, with weights, learning
curves and figures. The first run of the same loop in this process, with nothing stored, is what
the ratio refers to.

    python benchmarks/overhead.py --trials 24 --concurrency 2
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from search_spaces.space import load_space
from search_spaces.survey import published
from studies.candidate import Candidate, Evaluation
from studies.limits import parse_budget
from studies.outcome import Rejected, Rung, Runtime, Size, Trained, Underway, Weights
from studies.samplers import SAMPLERS, chosen
from studies.settings import StudySettings

BUDGET = parse_budget("2ms")


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
        if runtime.ms > BUDGET.runtime_ms:
            return Rejected("runtime_ms", runtime.ms, BUDGET.runtime_ms, runtime, size)
        curve: tuple[Rung, ...] = ()
        for step in (200, 400, 600):
            time.sleep(self.seconds / 3)
            curve += (Rung(step, params**0.5 * step / 1e5, self.seconds * step / 600),)
            if step < 600:
                yield Underway(runtime, size, curve)
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0, help="what a candidate waits")
    parser.add_argument("--sampler", default="auto", choices=SAMPLERS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nas-overhead-") as folder:
        sampler = chosen(options.sampler, options.trials, options.concurrency)
        measure(Path(folder), options.trials, options.concurrency, options.seconds, sampler)


def measure(folder: Path, trials: int, concurrency: int, seconds: float, sampler: str) -> float:
    """Return the overhead in seconds a trained candidate, everything included."""
    begin = time.perf_counter()
    from studies.runners.cluster import starting
    from studies.runners.ray import RayRunner
    from studies.search import conduct

    load = os.getloadavg()[0]
    cpu = time.process_time()
    ends: list[float] = []
    settings = StudySettings(
        name="overhead",
        storage=f"sqlite:///{folder}/studies.db",
        space=load_space("lightweight"),
        budget=BUDGET,
        trials=trials,
        known={name: network.architecture for name, network in published.items()},
        sampler=sampler,
    )
    runner = RayRunner(concurrency)
    with starting(runner):
        summary = conduct(
            settings,
            Wait(seconds),
            runner,
            tracking_uri=f"sqlite:///{folder}/mlflow.db",
            on_event=lambda event: ends.append(time.perf_counter()),
        )
    total = time.perf_counter() - begin
    cpu = time.process_time() - cpu
    assert summary.counts.done == trials and summary.tracking_fault is None, summary
    ideal = trials * seconds / concurrency
    overhead = (total - ideal) / trials
    steady = (ends[-1] - ends[len(ends) // 4]) - ideal * 0.75
    raw = raw_seconds(summary.records, seconds)
    kept = len(summary.records)
    print(f"{trials} trained of {kept} asked for by {sampler}, {concurrency} at once")
    print(f"load before        {load:8.1f}")
    print(f"whole run          {total:8.2f} s, of which {ideal:.2f} s waiting")
    print(f"overhead           {overhead:8.3f} s a trained candidate, all included (goal: < 1)")
    print(f"of that, under way {steady / (0.75 * trials):8.3f} s a trained candidate")
    print(f"driver's CPU time  {cpu / trials:8.3f} s a trained candidate")
    print(f"ratio              {total / (raw / concurrency):8.2f} of raw evaluation")
    return overhead


def raw_seconds(records: tuple, seconds: float) -> float:
    """Evaluate the same candidates one by one, with nothing around them."""
    begin = time.perf_counter()
    for record in records:
        for _ in Wait(seconds / 100)(replace(record.candidate)):
            pass
    spent = time.perf_counter() - begin
    trained = sum(isinstance(record.outcome, Trained) for record in records)
    return spent + trained * seconds * 0.99


if __name__ == "__main__":
    main()
