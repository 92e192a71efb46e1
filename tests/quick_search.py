"""A search whose candidates are evaluated by arithmetic, with all else real; also a program.

Tests run it in this process, or start it in another one to kill it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from studies.core.budget import parse_budget
from studies.core.candidate import Candidate, Evaluation
from studies.core.info import StudySettings
from studies.core.outcome import (
    Broken,
    Outcome,
    PartialResult,
    Rejected,
    Rung,
    Runtime,
    Size,
    Trained,
    Weights,
)
from studies.sampling.samplers import sampler_factory
from studies.storage.store import Store

if TYPE_CHECKING:  # workers can do without torch, which it imports
    from search_spaces.space import Space

BUDGET = parse_budget("2ms")
TRIALS = 8
DIMENSIONS = {
    "stem": ["conv", "unshuffle2", "unshuffle3", "strided2", "strided2x4"],
    "width": {"min": 8, "max": 32, "step": 2},
    "depth": {"min": 0, "max": 4},
    "block": [
        "conv",
        "repvgg",
        "ecb",
        "reprfn",
        "nrb",
        "resr",
        "casr",
        "lrsrn",
        "lanczospp",
        "dconv",
    ],
    "ends": ["plain", "block", "ecb"],
    "activation": ["relu", "prelu", "gelu"],
    "bias": [True, False],
    "skip": ["none", "long"],
    "tail": ["conv3", "conv1", "cascade3", "cascade8", "cascade16"],
    "residual": ["none", "nearest", "bilinear", "bicubic", "learned", "lr"],
}


@dataclass(frozen=True)
class Quick:
    """Evaluates in no time: wide and deep gains, and costs; PReLU breaks.

    Attributes:
        log: Where each training leaves a line, so that tests can count them.
        seconds: What a rung takes.
    """

    log: Path | None = None
    seconds: float = 0.0

    def __call__(self, candidate: Candidate) -> Evaluation:
        network = candidate.architecture
        params = network.width**2 * 9 * (network.depth + 1)
        size, runtime = (
            Size(params, 500_000 * params),
            Runtime(figure(network), "predicted", "quick"),
        )
        if runtime.ms > BUDGET.runtime_ms:
            return Rejected("runtime_ms", runtime.ms, BUDGET.runtime_ms, runtime, size)
        if network.activation == "prelu":
            return Broken("out_of_memory", "it asked for too much", runtime, size)
        if self.log is not None:
            with self.log.open("a") as lines:
                lines.write(f"{candidate.key}\n")
        gain = params**0.5 / 200 + (network.residual != "none") / 10
        curve: tuple[Rung, ...] = ()
        for step in (1, 2, 3):
            time.sleep(self.seconds)
            curve += (Rung(step, gain * step / 3, self.seconds * step),)
            if step < 3:
                yield PartialResult(runtime, size, curve)
        return Trained(
            gain_db=gain,
            gain_db_per_qp={31: gain + 0.1, 63: gain - 0.1},
            psnr_y_db={31: 34 + gain, 63: 29 + gain},
            runtime=runtime,
            size=size,
            curve=curve,
            steps=3,
            seconds=3 * self.seconds,
            weights=weights(b"weights of " + candidate.key.encode()),
        )


@dataclass(frozen=True)
class Noisy(Quick):
    """As the quick search, with a gain that depends on the seed."""

    sd_db: float = 0.02

    def __call__(self, candidate: Candidate) -> Evaluation:
        outcome = yield from super().__call__(candidate)
        if isinstance(outcome, Trained):
            seed = f"{candidate.key}/{candidate.repeat}"
            noise = random.Random(seed).gauss(0, self.sd_db)
            outcome = replace(outcome, gain_db=outcome.gain_db + noise)
        return outcome


@dataclass(frozen=True)
class Tinting(Quick):
    """As the quick search, with colour as far below Lanczos as luma is above it."""

    def __call__(self, candidate: Candidate) -> Evaluation:
        outcome = yield from super().__call__(candidate)
        if isinstance(outcome, Trained):
            outcome = replace(outcome, gain_cb_db=0.05, gain_cr_db=-outcome.gain_db)
        return outcome


class Real(Quick):
    """As the quick search, with weights that are models as proxy runs write them."""

    def __call__(self, candidate: Candidate) -> Evaluation:
        from search_spaces.model_file import model_bytes
        from search_spaces.networks.factory import build

        outcome = yield from super().__call__(candidate)
        if isinstance(outcome, Trained):
            content = model_bytes(build(candidate.architecture, seed=0), candidate.name)
            outcome = replace(outcome, weights=weights(content))
        return outcome


def weights(content: bytes) -> Weights:
    """As they come from a worker."""
    return Weights(hashlib.sha256(content).hexdigest(), data=content)


def figure(network) -> float:
    """Runtime in ms."""
    return network.width**2 * 9 * (network.depth + 1) / 3000 / network.factor + 0.1


def outcome(candidate) -> Outcome:
    """What `Quick` finds of a candidate."""
    evaluation = Quick()(candidate)
    while True:
        try:
            next(evaluation)
        except StopIteration as end:
            return end.value


def settings(folder: Path, **changes) -> StudySettings:
    """A study of a space of plain networks in ``folder/studies.db``, or in ``$QUICK_STORAGE``."""
    from search_spaces.space import Space

    defaults = {
        "name": "quick",
        "store": Store(os.environ.get("QUICK_STORAGE", f"sqlite:///{folder}/studies.db")),
        "space": Space.from_dict({"name": "plain", "dimensions": DIMENSIONS}, "plain"),
        "budget": BUDGET,
        "identity": {"target": {"name": "quick"}, "data": {"name": "none", "digest": "0"}},
        "trials": TRIALS,
    }
    sampler, costs_of = changes.pop("sampler", "tpe"), changes.pop("costs_of", None)
    if isinstance(sampler, str):
        sampler = sampler_factory(sampler, costs_of)
    return StudySettings(**{**defaults, **changes, "sampler": sampler})


def states(folder: Path, name: str = "quick") -> Counter[str]:
    """How many trials Optuna has in each state."""
    import optuna

    study = optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/studies.db")
    return Counter(trial.state.name for trial in study.trials)


def small_space(**dimensions) -> Space:
    """A space of few candidates."""
    from search_spaces.space import Space

    return Space.from_dict({"name": "small", "dimensions": dimensions}, "small")


def run(folder: Path, trials: int, concurrency: int, seconds: float, ray: bool) -> None:
    """Search, and print each event and how it ended."""
    from nas.cli.child_process import progressed
    from studies.events import Finished
    from studies.runners.inline import InlineRunner
    from studies.search import conduct

    if ray:
        from studies.runners.ray import RayRunner as Runner
    else:
        Runner = InlineRunner

    def on_event(event) -> None:
        if isinstance(event, Finished):
            progressed()
        print(type(event).__name__, flush=True)

    summary = conduct(
        settings(folder, trials=trials),
        Quick(folder / "log", seconds),
        Runner(concurrency),
        on_event=on_event,
    )
    print("interrupted" if summary.interrupted else "done")


if __name__ == "__main__":
    import signal

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.05)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--supervised", action="store_true")
    options = vars(parser.parse_args())
    if options.pop("supervised"):
        from nas.cli.child_process import supervised

        supervised(lambda: run(**options))
    else:
        run(**options)
