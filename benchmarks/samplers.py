"""How many trainings each sampler needs for how good a front.

    python -m benchmarks.samplers [--seeds N] [--trainings N] [--only tpe,random] [--quick]
    python -m benchmarks.samplers --real FOLDER --data SET --only ehvi,tpe --seeds 3 --trainings 40

Searches are real ones, study and all; only the training is left out: gains come from a surrogate
learned from really trained networks (`benchmarks.surrogate`), with the noise of a seed that
differs between networks. Runtimes are those that the latency profile ``rtx4090`` predicts, as in a
real search, and the budget leaves about a third of the space. Counted is the hypervolume of what
was found, by gains without noise, above 0 dB and below the budget: dB times octaves.

gate        candidates over the budget are rejected untrained, as `nas search` does; without it they
            are trained, and the sampler is told how far they are over
known       the survey's networks in the space are asked for first, as `nas search` does

With ``--real`` every training is made, and FOLDER keeps the studies: the same command continues.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.options import names, parser_of
from benchmarks.real_search import RealSearch, real_table, run_real
from benchmarks.surrogate import (
    NOISE_DB,
    SPACE,
    Surrogate,
    cross_validated,
    learned,
)
from nas.measure.cost.counts import count
from nas.measure.latency.predict import LatencyModel
from nas.measure.latency.target import resolve_target
from search_spaces import published
from search_spaces.architecture import Architecture
from search_spaces.networks.factory import layout
from search_spaces.space import load_space
from studies.core.budget import Budget
from studies.core.candidate import Candidate, Evaluation
from studies.core.info import StudySettings
from studies.core.outcome import Rejected, Runtime, Size, Trained
from studies.results.front import Member, hypervolume, reference_of, trained
from studies.runners.inline import InlineRunner
from studies.sampling.gain_model import features
from studies.sampling.samplers import sampler_factory
from studies.search import conduct
from studies.setup import known_costs
from studies.storage.store import Store

BUDGET_MS = 1.0
MARKS = (25, 50, 100)
RANDOM = 150
"""Trainings of plain random search, whose last hypervolume is the goal for all others."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to search."""

    sampler: str
    gate: bool = True
    known: bool = True
    workers: int = 1

    def __str__(self) -> str:
        words = [self.sampler, "gate" if self.gate else "", "known" if self.known else ""]
        return ", ".join(word for word in words if word) + (
            f", {self.workers} workers" if self.workers > 1 else ""
        )


OFF_ON = (False, True)
PLAIN = Arm("random", gate=False, known=False)


def arms() -> list[Arm]:
    """Every sampler with and without gate and known networks, and with 8 workers.

    ``ehvi`` asks for nothing over the budget. Its prior is the table of the surrogate, which
    flatters it here: only real trainings can judge it.
    """
    kinds = ("random", "qmc", "nsga2", "tpe", "gp")
    alone = [Arm(kind, gate, known) for kind in kinds for gate in OFF_ON for known in OFF_ON]
    alone += [Arm("ehvi", True, known) for known in OFF_ON]
    return alone + [Arm(kind, True, True, 8) for kind in (*kinds, "ehvi")]


@cache
def _learned() -> tuple[Surrogate, LatencyModel]:
    return learned(), LatencyModel.load()


@dataclass(frozen=True, slots=True)
class Figures:
    """What a search is told of a network, and what it is worth without noise."""

    runtime: Runtime
    size: Size
    gain_db: float


@cache
def figures(same: Architecture) -> Figures:
    """What all networks of one deploy form have in common."""
    surrogate, model = _learned()
    counted = count(same)
    runtime = Runtime(model.predict_ms(counted.layers), "predicted", model.device)
    size = Size(counted.params, counted.macs)
    gain_db = surrogate.predict(features(same, size.macs, size.params)[None])[0]
    return Figures(runtime, size, float(gain_db))


def _noise_db(key: str, seed: int) -> float:
    digest = hashlib.sha256(f"{key}/{seed}".encode()).digest()
    return NOISE_DB * float(np.random.default_rng(list(digest)).standard_normal())


def evaluate(candidate: Candidate, gate: bool, seed: int) -> Evaluation:
    """What a trial comes to, without its training."""
    same = layout(candidate.architecture)
    known = figures(same)
    if gate and known.runtime.ms > BUDGET_MS:
        return Rejected("runtime_ms", known.runtime.ms, BUDGET_MS, known.runtime, known.size)
    return Trained(known.gain_db + _noise_db(same.key, seed), {}, {}, known.runtime, known.size)
    yield  # a generator without rungs


def run(arm: Arm, seed: int, trainings: int) -> dict[str, object]:
    """One search; returns its hypervolume after every training, and what it cost."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        settings = StudySettings(
            name="s",
            store=Store(f"sqlite:///{folder}/s.db"),
            space=load_space(SPACE),
            budget=Budget(runtime_ms=BUDGET_MS),
            trials=trainings,
            known={n: p.architecture for n, p in published.items()} if arm.known else {},
            sampler=sampler_factory(arm.sampler, partial(known_costs, resolve_target("rtx4090"))),
            seed=seed,
            patience=3000,
        )
        begun = time.process_time()
        summary = conduct(
            settings, lambda c: evaluate(c, arm.gate, seed), InlineRunner(arm.workers)
        )
        seconds = time.process_time() - begun
    return {
        **asdict(arm),
        "seed": seed,
        "asked": len(summary.records),
        "seconds_an_ask": seconds / len(summary.records),
        "hypervolume": list(_history(trained(summary.records))),
    }


def _history(members: Iterable[Member]) -> Iterable[float]:
    so_far: list[Member] = []
    for member in members:
        architecture = layout(Architecture.from_dict(member.architecture))
        so_far.append(replace(member, gain_db=figures(architecture).gain_db))
        yield hypervolume(so_far, reference_of((), Budget(BUDGET_MS)))


def _memory() -> str | None:
    """Where files cost no disk: the benchmark is not of SQLite."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def summarised(found: list[dict[str, object]]) -> list[dict[str, object]]:
    """One row an arm: means and standard deviations over seeds at the marks."""
    rows = []
    for arm in dict.fromkeys(_arm(one) for one in found):
        curves = [np.array(one["hypervolume"]) for one in found if _arm(one) == arm]
        same = [one for one in found if _arm(one) == arm]
        row: dict[str, object] = {"arm": str(arm), "seeds": len(curves)}
        for mark in MARKS:
            at = [curve[mark - 1] for curve in curves if len(curve) >= mark]
            row[f"at_{mark}"] = float(np.mean(at)) if at else None
            row[f"sd_{mark}"] = float(np.std(at, ddof=1)) if len(at) > 1 else None
        row["asked"] = float(np.mean([one["asked"] for one in same]))
        row["ms_an_ask"] = 1e3 * float(np.mean([one["seconds_an_ask"] for one in same]))
        rows.append(row)
    return rows


def _arm(one: dict[str, object]) -> Arm:
    return Arm(**{name: one[name] for name in Arm.__slots__})  # type: ignore[arg-type]


def needed(found: list[dict[str, object]], goal: float) -> dict[str, int | None]:
    """Trainings after which the mean over seeds has reached a hypervolume, by arm."""
    after: dict[str, int | None] = {}
    for arm in dict.fromkeys(_arm(one) for one in found):
        curves = [one["hypervolume"] for one in found if _arm(one) == arm]
        length = min(map(len, curves))  # type: ignore[arg-type]
        mean = np.mean([curve[:length] for curve in curves], axis=0)  # type: ignore[index]
        reached = np.flatnonzero(mean >= goal)
        after[str(arm)] = int(reached[0]) + 1 if len(reached) else None
    return after


def table(found: list[dict[str, object]]) -> str:
    """A Markdown table of all arms."""
    plain = [one for one in found if _arm(one) == PLAIN]
    goal = float(np.mean([one["hypervolume"][-1] for one in plain])) if plain else None  # type: ignore[index]
    after = {} if goal is None else needed(found, goal)
    marks = "".join(f" {mark} |" for mark in MARKS)
    lines = [f"| search | seeds |{marks} reaches random's last after | asked | ms an ask |"]
    lines.append("|---|---|" + "---|" * (len(MARKS) + 3))
    for row in summarised(found):
        cells = "".join(
            " |"
            if row[f"at_{m}"] is None
            else f" {row[f'at_{m}']:.4f} ±{row[f'sd_{m}'] or 0:.4f} |"
            for m in MARKS
        )
        reached = after.get(str(row["arm"])) or "never"
        lines.append(
            f"| {row['arm']} | {row['seeds']} |{cells} {reached} "
            f"| {row['asked']:.0f} | {row['ms_an_ask']:.0f} |"
        )
    return "\n".join(lines)


def _trainings(arm: Arm, options: argparse.Namespace) -> int:
    if arm == PLAIN and not options.quick:
        return RANDOM
    return options.gp_trainings if arm.sampler == "gp" else options.trainings


def _real(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    options.real.mkdir(parents=True, exist_ok=True)
    found = []
    for seed in range(options.seeds):
        for sampler in options.only or ["ehvi", "tpe"]:
            wanted = RealSearch(
                options.space,
                options.budget,
                sampler,
                seed,
                options.trainings,
                options.steps,
                options.data,
            )
            found.append((wanted, run_real(wanted, options.real)))
            print("\n".join(real_table(found)), flush=True)


def main() -> None:
    """Run all arms and print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--gp-seeds", type=int, default=3, help="GP takes a second an ask")
    parser.add_argument("--trainings", type=int, default=100)
    parser.add_argument("--gp-trainings", type=int, default=60)
    parser.add_argument("--only", type=names, metavar="A,B", help="samplers")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path, help="keep every curve there, and go on from it")
    parser.add_argument("--quick", action="store_true", help="one seed, 12 trainings, no GP")
    parser.add_argument("--real", type=Path, metavar="FOLDER", help="train, on one core")
    parser.add_argument("--space", default="lightweight", help="of real searches")
    parser.add_argument("--budget", default="1ms", help="of real searches")
    parser.add_argument("--steps", type=int, default=600, help="of real trainings")
    parser.add_argument("--data", type=Path, help="a prepared set for real trainings")
    options = parser.parse_args()
    if options.real:
        _real(options)
        return
    if options.quick:
        options.seeds, options.gp_seeds, options.trainings = 1, 0, 12
    chosen = [arm for arm in arms() if not options.only or arm.sampler in options.only]
    work = [
        (arm, seed, _trainings(arm, options))
        for arm in chosen
        for seed in range(options.gp_seeds if arm.sampler == "gp" else options.seeds)
    ]
    work.sort(key=lambda one: one[1])
    found = json.loads(options.json.read_text()) if options.json and options.json.exists() else []
    done = {(_arm(one), one["seed"]) for one in found}
    with ProcessPoolExecutor(options.processes) as pool:
        jobs = [pool.submit(run, *one) for one in work if one[:2] not in done]
        for number, job in enumerate(as_completed(jobs), 1):
            found.append(job.result())
            print(f"\r{number}/{len(jobs)} searches", end="", flush=True)
            if options.json:
                options.json.write_text(json.dumps(found))
    print()
    print(", ".join(f"{name} {value:.3g}" for name, value in cross_validated().items()))
    print(table(found))


if __name__ == "__main__":
    main()
