"""Whether proxy runs can be trusted: their order of networks against a reference, with the noise.

A coefficient alone proves little: beside it stand what a lucky guess would reach, how far seeds
move it, and what guesses that train nothing reach (MACs, parameters, runtime, the start).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nas.common.errors import InputError
from nas.common.files import read_text
from nas.common.text import Progress, silent
from nas.measure.cost.cost import cost
from nas.measure.cost.trace import deploy_form
from nas.measure.latency.target import Target
from nas.measure.rank_metrics import SIMILAR, Field, Pairs, Verdict, judge
from nas.training.proxy.proxy import ProxySettings
from nas.training.proxy.runs import ProxyDataSpec, ProxyJob, ProxyRun, run_all
from search_spaces.architecture import Architecture

FEWEST = 3
"""Networks without which an order means nothing."""

GAIN = "gain"
"""How the names of guesses in dB begin."""

REFERENCE_SEED = 1000
"""Of the long trainings that serve as a reference: none of the proxy runs', so that no luck is
shared."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to check.

    Attributes:
        networks: Name -> network.
        budgets: Steps of the proxy runs.
        seeds: Runs for each network and budget.
        reference: Name -> gain in dB of each network; None to train it.
        long_steps: Steps of that training.
        settings: All else about the runs.
    """

    networks: Mapping[str, Architecture]
    budgets: tuple[int, ...]
    seeds: int
    reference: Mapping[str, float] | None
    long_steps: int = 0
    settings: ProxySettings = field(default_factory=ProxySettings)


@dataclass(frozen=True, slots=True)
class Subject:
    """One network with all that is known of it.

    Attributes:
        name: Its name.
        architecture: What it is.
        reference_db: Its gain by the reference.
        runtime_ms: Predicted or measured at 540x960.
        macs: Multiply-accumulates at 540x960.
        params: Parameters of the deploy form.
        runs: Steps -> a run a seed; 0 steps is the start, before any training.
    """

    name: str
    architecture: Architecture
    reference_db: float
    runtime_ms: float
    macs: int
    params: int
    runs: Mapping[int, tuple[ProxyRun, ...]]


@dataclass(frozen=True, slots=True)
class Guess:
    """Something that orders networks, and what it is worth.

    Attributes:
        name: What it is.
        steps: Training steps that it needs; 0 for those that need none.
        seconds: What a run takes, the mean; None where nothing runs.
        verdict: What it is worth.
    """

    name: str
    steps: int
    seconds: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome.

    Attributes:
        subjects: Networks, the best by the reference first.
        guesses: Proxies by steps, then what needs no training.
        failed: Networks that were left out -> why.
        chance_kendall_sd: How far luck alone moves Kendall's coefficient (1 sd).
    """

    subjects: tuple[Subject, ...]
    guesses: tuple[Guess, ...]
    failed: Mapping[str, str]
    chance_kendall_sd: float


def check(
    plan: Plan, source: ProxyDataSpec, target: Target, *, workers: int, progress: Progress = silent
) -> Check:
    """ProxyRun what was not run yet, and hold it against the reference.

    Raises:
        InputError: There are too few networks, the reference lacks one, or all runs of so many
            diverged that too few are left.
    """
    _refuse(plan)
    budgets = tuple(sorted({0, *plan.budgets}))
    jobs = [
        ProxyJob(name, architecture, replace(plan.settings, steps=steps, seed=seed))
        for name, architecture in plan.networks.items()
        for steps in budgets
        for seed in range(plan.seeds)
    ]
    if plan.reference is None:
        long = replace(plan.settings, steps=plan.long_steps, seed=REFERENCE_SEED)
        jobs += [ProxyJob(name, network, long) for name, network in plan.networks.items()]
    done = run_all(jobs, source, workers=workers, progress=progress)
    runs: dict[str, dict[tuple[int, int], ProxyRun]] = {name: {} for name in plan.networks}
    failed: dict[str, str] = {}
    for job, run in zip(jobs, done, strict=True):
        runs[job.name][job.settings.steps, job.settings.seed] = run
        if run.fault:
            failed[job.name] = f"after {job.settings.steps} steps or fewer: {run.fault}"
    subjects = [
        _subject(plan, name, runs[name], budgets, target)
        for name in plan.networks
        if name not in failed
    ]
    if len(subjects) < FEWEST:
        raise InputError(
            f"only {len(subjects)} networks are left to rank, because others diverged: "
            f"{next(iter(failed))} {failed[next(iter(failed))]}"
        )
    subjects.sort(key=lambda subject: -subject.reference_db)
    ranked = Field(
        tuple(subject.reference_db for subject in subjects),
        tuple(subject.runtime_ms for subject in subjects),
        tuple(subject.architecture.factor for subject in subjects),
    )
    return Check(
        tuple(subjects),
        tuple(_guesses(subjects, budgets, ranked)),
        failed,
        ranked.chance_kendall_sd,
    )


def read_reference(path: Path) -> dict[str, float]:
    """Read gains by name: ``{name: gain_db}``, or what ``nas evaluate`` wrote.

    Raises:
        InputError: The file cannot be read, or holds neither.
    """
    try:
        text = read_text(path)
    except InputError as fault:
        raise InputError(f"--reference {fault}") from fault
    try:
        document = json.loads(text)
        if isinstance(document, dict) and "models" in document:
            document = {model["name"]: model["gain_db"] for model in document["models"]}
        gains = {str(name): float(gain) for name, gain in document.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as fault:
        raise InputError(
            f"--reference {path} holds no gains: it must be JSON such as "
            '{"RepTCN": 0.355}, or the evaluation.json of nas evaluate'
        ) from fault
    if not all(map(math.isfinite, gains.values())):
        raise InputError(f"--reference {path} holds a gain that is NaN")
    return gains


def document(found: Check, plan: Plan, reference: str, runtime_kind: str) -> dict[str, Any]:
    """Return everything, fit for JSON."""
    return {
        "reference": reference,
        "seeds": plan.seeds,
        "budgets": list(plan.budgets),
        "settings": {k: v for k, v in asdict(plan.settings).items() if k not in ("steps", "seed")},
        "chance_kendall_sd": found.chance_kendall_sd,
        "similar_runtime_ratio": SIMILAR,
        "conclusion": conclusion(found),
        "guesses": [_guess(guess) for guess in found.guesses],
        "networks": [
            {
                "name": subject.name,
                "architecture": subject.architecture.to_dict(),
                "working_factor": subject.architecture.factor,
                "reference_gain_db": subject.reference_db,
                "runtime_ms": subject.runtime_ms,
                "runtime_kind": runtime_kind,
                "macs_g": subject.macs / 1e9,
                "params": subject.params,
                "runs": {
                    str(steps): [{"seed": seed, **asdict(run)} for seed, run in enumerate(runs)]
                    for steps, runs in subject.runs.items()
                },
            }
            for subject in found.subjects
        ],
        "failed": dict(found.failed),
    }


def conclusion(found: Check) -> str:
    """Say in a sentence what the longest proxy run is worth beside guesses that train nothing."""
    proxies = [guess for guess in found.guesses if guess.name.startswith(GAIN) and guess.steps]
    free = [guess for guess in found.guesses if not guess.steps]
    proxy = max(proxies, key=lambda guess: guess.steps)
    best = max(free, key=lambda guess: guess.verdict.kendall)
    sentence = f"The {proxy.name} orders these networks with Kendall {proxy.verdict.kendall:+.2f}"
    if proxy.verdict.kendall < 2 * found.chance_kendall_sd:
        sentence += ", which luck reaches too (2 sd)"
    rival = f"'{best.name}' ({best.verdict.kendall:+.2f})"
    if proxy.verdict.kendall_low > best.verdict.kendall:
        return (
            f"{sentence}, with every seed better than the best guess that trains nothing, {rival}."
        )
    return (
        f"{sentence}, no better than {rival}, which trains nothing: over a wide range of runtimes, "
        "trust size first, and the proxy among networks of similar runtime if it is right there."
    )


def _refuse(plan: Plan) -> None:
    if len(plan.networks) < FEWEST:
        raise InputError(
            f"{len(plan.networks)} networks have no order worth the name: "
            f"give at least {FEWEST}, better ten"
        )
    if plan.reference is not None and (lacking := set(plan.networks) - set(plan.reference)):
        known = ", ".join(plan.reference)
        raise InputError(
            f"the reference has no gain of {', '.join(sorted(lacking))}; it has {known or 'none'}"
        )


def _subject(
    plan: Plan,
    name: str,
    runs: Mapping[tuple[int, int], ProxyRun],
    budgets: Sequence[int],
    target: Target,
) -> Subject:
    architecture = plan.networks[name]
    if plan.reference is None:
        reference = _gain(runs[plan.long_steps, REFERENCE_SEED])
    else:
        reference = plan.reference[name]
    built = deploy_form(architecture)
    counted = cost(built)
    by_steps = {steps: tuple(runs[steps, seed] for seed in range(plan.seeds)) for steps in budgets}
    runtime = target.latency(built).ms
    return Subject(name, architecture, reference, runtime, counted.macs, counted.params, by_steps)


def _guesses(subjects: Sequence[Subject], budgets: Sequence[int], ranked: Field) -> list[Guess]:
    def of_runs(name: str, steps: int, figure: str, sign: int) -> Guess:
        rows = zip(*(subject.runs[steps] for subject in subjects), strict=True)
        values = [[sign * getattr(run, figure) for run in row] for row in rows]
        seconds = [run.seconds for subject in subjects for run in subject.runs[steps]]
        return Guess(name, steps, sum(seconds) / len(seconds), judge(values, ranked))

    def of_size(name: str, figure: str) -> Guess:
        sizes = [[float(getattr(subject, figure)) for subject in subjects]]
        return Guess(name, 0, None, judge(sizes, ranked))

    found = []
    for steps in budgets[1:]:
        found.append(of_runs(f"{GAIN} after {steps} steps", steps, "gain_db", 1))
        found.append(of_runs(f"sum of losses, {steps} steps", steps, "loss_sum", -1))
        found.append(of_runs(f"last third's loss, {steps} steps", steps, "loss_end", -1))
    found.append(of_runs(f"{GAIN} before any training", 0, "gain_db", 1))
    found.append(of_size("more MACs", "macs"))
    found.append(of_size("more parameters", "params"))
    found.append(of_size("longer runtime", "runtime_ms"))
    return found


def _gain(run: ProxyRun) -> float:
    assert run.gain_db is not None
    return run.gain_db


def _guess(guess: Guess) -> dict[str, Any]:
    verdict = guess.verdict
    return {
        "name": guess.name,
        "steps": guess.steps,
        "seconds": guess.seconds,
        "kendall": verdict.kendall,
        "kendall_low": verdict.kendall_low,
        "kendall_high": verdict.kendall_high,
        "kendall_of_means": verdict.kendall_of_means,
        "spearman": verdict.spearman,
        "seed_sd": verdict.seed_sd,
        "order_sd": verdict.order_sd,
        "resolved": None if verdict.resolved is None else _told(verdict.resolved),
        "similar_runtime": _told(verdict.similar),
        "same_resolution": _told(verdict.within),
        "across_resolutions": _told(verdict.across),
    }


def _told(pairs: Pairs) -> dict[str, Any]:
    return {**asdict(pairs), "kendall": pairs.kendall}
