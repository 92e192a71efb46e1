"""From what the user asked for to what a study and its workers need, all checked."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nas.common.errors import InputError
from nas.common.text import Progress, silent
from nas.data.sample import sample_set
from nas.data.store import PairSet, open_set
from nas.data.windows import windows
from nas.measure.cost.counts import count, layers_as_run
from nas.measure.device import gpus_alike, usable_device
from nas.measure.latency.predict import LatencyModel
from nas.measure.latency.target import DEFAULT_PROFILE, Target, resolve_target
from nas.training.data.teacher_quality import evaluate_teacher, require_gain
from nas.training.proxy.proxy import HELD_OUT_AREA, VERSION, ProxySettings, proxy_data
from search_spaces.architecture import Architecture
from search_spaces.plugins import load_all, loaded_files
from search_spaces.space import Space, load_space
from search_spaces.zoo.survey import published
from studies.core.budget import Budget
from studies.core.info import StudySettings
from studies.evaluation import EvaluationSettings
from studies.runners.bundle import material_of
from studies.sampling.pool import Costs, CostsOf
from studies.sampling.samplers import sampler_factory
from studies.sampling.slack import slack
from studies.settings import MAX_WORKERS, SearchSettings
from studies.storage.store import masked
from teachers.loading import Teacher, load_teacher, named_input

if TYPE_CHECKING:
    from studies.runners.ray_session import Facilities


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything a search needs, and what to say about it.

    Attributes:
        study: How to open the study.
        evaluation: What workers evaluate candidates by.
        concurrency: Candidates at once.
        notes: Sentences the user should read first: the target's trust, the sample set's limits.
        slack: Returns sentences on limits that exclude nothing; it takes seconds, once.
    """

    study: StudySettings
    evaluation: EvaluationSettings
    concurrency: int
    notes: tuple[str, ...]
    slack: Callable[[], tuple[str, ...]]


def prepare(
    settings: SearchSettings,
    progress: Progress = silent,
    cluster: Facilities | None = None,
) -> Prepared:
    """Check everything that was asked for, before anything that takes long.

    Args:
        settings: What the user asked for.
        progress: Called while the sample set is made, if it is needed and not cached.
        cluster: What the search will run on; None for this machine.

    Raises:
        InputError: Something asked for does not exist, is malformed, or cannot work.
    """
    load_all(settings.plugins)
    _check_counts(settings)
    space = load_space(settings.space)
    target = (resolve_target if cluster is None else cluster.target)(settings.target)
    pair_set = _usable_set(settings.data, progress)
    teacher = None if settings.teacher is None else load_teacher(settings.teacher)
    device = usable_device() if cluster is None else ("cuda" if cluster.gpus else "cpu")
    evaluation = _evaluation(settings, target, pair_set, device)
    at_once = workers(settings, device, cluster)
    predicted = target.kind == "predicted"
    costs_of = cache(partial(known_costs, target))
    study = StudySettings(
        name="",
        store=settings.store,
        space=space,
        budget=settings.budget,
        identity=_identity(evaluation, pair_set, teacher),
        trials=settings.trials,
        known=_given(space, settings.budget, costs_of, predicted),
        sampler=sampler_factory(settings.sampler, costs_of),
        seed=settings.seed,
        sources={
            "data": str(evaluation.data),
            "teacher": evaluation.teacher,
            "plugins": list(evaluation.plugins),
            "tracking_uri": settings.tracking_uri and masked(settings.tracking_uri),
        },
    )
    named = replace(study, name=settings.study or default_name(space, settings.budget, study.fixed))
    return Prepared(
        named,
        evaluation,
        at_once,
        _notes(target, pair_set, settings.budget),
        cache(partial(slack, space, settings.budget, costs_of, settings.seed, predicted=predicted)),
    )


def known_costs(target: Target, architecture: Architecture) -> Costs:
    """Return what is known of a network before it is measured; see `studies.sampling.pool.Costs`.

    Where runtimes are measured it is the prediction for another device, which orders networks.
    """
    model = target.model or LatencyModel.load(DEFAULT_PROFILE)
    size = target.height, target.width
    counts = count(architecture, *size, target.precision)
    runtime_ms = model.predict_ms(layers_as_run(architecture, model.mode, *size))
    return Costs(runtime_ms, counts.macs, counts.params, counts.memory_mb)


def _given(
    space: Space, budget: Budget, costs_of: CostsOf, predicted: bool
) -> dict[str, Architecture]:
    """The survey's networks within the budget, so that the first few spread over its runtimes."""
    inside = {}
    for name, network in published.items():
        if space.parameters(network.architecture) is None:
            continue
        costs = costs_of(network.architecture)
        over = budget.violations(
            runtime_ms=costs.runtime_ms if predicted else None,
            macs=costs.macs,
            params=costs.params,
            memory_mb=costs.memory_mb,
        )
        if all(by <= 0 for by in over.values()):
            inside[name] = math.log(costs.runtime_ms)
    # The slowest, then always the one that is farthest from all before.
    spread = sorted(inside, key=lambda name: inside[name])[-1:]
    while left := inside.keys() - spread:
        away = {name: min(abs(inside[name] - inside[other]) for other in spread) for name in left}
        spread.append(max(sorted(left), key=lambda name: away[name]))
    return {name: published[name].architecture for name in spread}


def teach(prepared: Prepared, progress: Progress = silent) -> Prepared:
    """Compute once what all workers read: the teacher's proof and its outputs.

    Returns what was prepared, with the teacher's gain.

    Args:
        prepared: As `prepare` made it.
        progress: Called after every picture.

    Raises:
        InputError: The teacher does not beat Lanczos, or the cache cannot be written.
    """
    evaluation = prepared.evaluation
    pair_set = open_set(evaluation.data)
    teacher = None if evaluation.teacher is None else load_teacher(evaluation.teacher)
    gain_db = None if teacher is None else _proven(teacher, pair_set, usable_device(), progress)
    proxy_data(pair_set, teacher, usable_device(), progress=progress)
    torch.cuda.empty_cache()  # what this process has used of a GPU is for its workers
    return replace(prepared, study=replace(prepared.study, teacher_gain_db=gain_db))


def on_cluster(evaluation: EvaluationSettings, cluster: Facilities) -> EvaluationSettings:
    """Return settings that workers on other machines can use too; after `teach`.

    Raises:
        InputError: The cache cannot be written.
    """
    from studies.runners.ray_session import Elsewhere

    material = material_of(evaluation.data, evaluation.teacher, evaluation.plugins)
    if evaluation.target.kind == "predicted" or not cluster.measures:
        return replace(evaluation, material=material)
    return replace(evaluation, material=material, measure=Elsewhere(material))


def default_name(space: Space, budget: Budget, identity: Mapping[str, Any]) -> str:
    """Return a name that is the same for the same settings: the same command continues its study.

    For instance ``lightweight-8ms-3fa2c1``; the last part is a hash of all that results depend on.
    """
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:6]
    limit = "" if budget.runtime_ms is None else f"{budget.runtime_ms:g}ms-"
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", space.name).strip("-.") or "space"
    return f"{stem[:60]}-{limit}{digest}"


def workers(settings: SearchSettings, device: str, cluster: Facilities | None = None) -> int:
    """Return how many candidates to evaluate at once: as asked, else one a GPU or one a core."""
    if settings.concurrency is not None:
        return settings.most_at_once
    if cluster is not None:
        return max(
            1, min(cluster.gpus or cluster.cpus, settings.trials or MAX_WORKERS, MAX_WORKERS)
        )
    most = settings.most_at_once
    return max(1, min(gpus_alike(), most)) if device == "cuda" else most


def _check_counts(settings: SearchSettings) -> None:
    for option, value in (
        ("--trials", settings.trials),
        ("--steps", settings.steps),
        ("--concurrency", settings.concurrency),
    ):
        if value is not None and value < 1:
            raise InputError(f"{option} {value} must be a whole number above zero.")


def _usable_set(data: Path | None, progress: Progress) -> PairSet:
    """Open a set, or the sample set, and refuse one that lacks pictures of either kind."""
    pair_set = open_set(data or sample_set(progress))
    if not pair_set.train or not pair_set.validation:
        raise InputError(
            f"{pair_set.path} needs pictures to train on and held-out ones, and has "
            f"{len(pair_set.train)} and {len(pair_set.validation)}: prepare a larger set."
        )
    return pair_set


def _evaluation(
    settings: SearchSettings, target: Target, pair_set: PairSet, device: str
) -> EvaluationSettings:
    proxy = replace(ProxySettings(), seed=settings.seed)
    if settings.steps is not None:
        proxy = replace(proxy, steps=settings.steps)
    return EvaluationSettings(
        target=target,
        data=pair_set.path.absolute(),
        teacher=_absolute(settings.teacher),
        device=device,
        proxy=proxy,
        rungs=(proxy.steps // 3, 2 * proxy.steps // 3) if proxy.steps >= 3 else (),
        budget=settings.budget,
        time_limit_s=settings.time_limit_s,
        plugins=loaded_files(),
    )


def _identity(
    evaluation: EvaluationSettings, pair_set: PairSet, teacher: Teacher | None
) -> dict[str, Any]:
    """What the study's results depend on, beside what `StudySettings` knows by itself."""
    return {
        "target": evaluation.target.identity,
        "data": {
            "name": "sample" if pair_set.is_sample else pair_set.path.name,
            "digest": pair_set.digest,
        },
        "teacher": None if teacher is None else {"name": teacher.name, "digest": teacher.digest},
        "proxy": {**asdict(evaluation.proxy), "version": VERSION},
    }


def _proven(teacher: Teacher, pair_set: PairSet, device: str, progress: Progress) -> float:
    """Return a teacher's gain in dB; refuse one that does not beat Lanczos on held-out pictures."""
    seen = windows(pair_set.validation, HELD_OUT_AREA)
    quality = evaluate_teacher(teacher, pair_set, pictures=seen, device=device, progress=progress)
    require_gain(teacher, quality)
    return quality.gain_db


def _absolute(teacher: str | None) -> str | None:
    """Workers run elsewhere: a file needs its whole path, a shipped name stays."""
    bare, _ = named_input(teacher or "")
    if teacher is None or not Path(bare).is_file():
        return teacher
    return teacher.replace(bare, str(Path(bare).absolute()), 1)


def _notes(target: Target, pair_set: PairSet, budget: Budget) -> tuple[str, ...]:
    precision = target.precision.replace("float", "FP")
    how = "measured" if target.name == "cuda" else "computed, libraries' work space left out"
    notes = [f"Runtimes: {target.note}.", f"Memory: peak of an eager pass in {precision}, {how}."]
    if budget.colour_loss_db is not None:
        notes.append(
            "Colour: known after training; Cb or Cr more than "
            f"{budget.colour_loss_db:g} dB below Lanczos is left out of the front."
        )
    if pair_set.is_sample:
        notes.append(
            "Training on the built-in sample set: good for a first look. "
            "Prepare your own pictures with 'nas data prepare' and give --data."
        )
    return tuple(notes)
