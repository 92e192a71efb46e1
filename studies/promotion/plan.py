"""Plan of a promotion, made and checked before anything that takes long."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nas.common.errors import InputError
from nas.common.text import Progress, silent
from nas.data.sample import sample_set
from nas.data.store import PairSet, open_set
from nas.measure.device import usable_device
from nas.training.recipe.recipe import Recipe, load_recipe
from search_spaces.architecture import Architecture
from search_spaces.plugins import load_all
from studies.core.budget import Budget
from studies.core.info import StudyInfo
from studies.core.noise import Noise
from studies.core.record import Record
from studies.promotion.training_forms import SHARE, training_forms
from studies.results import promotions
from studies.results.front import Member
from studies.results.promotions import Promotion
from studies.results.recommendation import highest_gain
from studies.results.selection import Selection, select
from studies.results.snapshot import StudySnapshot, load
from studies.storage.store import DEFAULT_TRACKING, Store
from teachers.loading import Teacher, load_teacher

OF_THE_STUDY = "study"
"""Stands for the teacher of the study."""

_MODEL_NAME = re.compile(r"\w[\w .-]{0,199}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionSettings:
    """Options of ``nas promote``.

    Attributes:
        study: Name of the study.
        selection: Which candidates to promote.
        store: Where the study is stored.
        recipe: A shipped recipe or a YAML file.
        data: Prepared dataset; None for that of the study.
        teacher: `OF_THE_STUDY`, a name, a file, or None to train without a teacher.
        steps: Total number of steps; None for that of the recipe.
        seed: Seed of the training.
        licence: License recorded in the models; empty for none.
        name: Name of the registered model; None for the name of the study.
        tracking_uri: MLflow store; None to do without MLflow.
        device: ``cpu`` or ``cuda``; None for CUDA if there is a GPU.
        plugins: Python files that define blocks, beside those of the study.
        blocks: Training forms to compare, see `studies.promotion.training_forms`.
    """

    study: str
    selection: Selection = field(default_factory=Selection)
    store: Store = field(default_factory=Store)
    recipe: str = "standard"
    data: Path | None = None
    teacher: str | None = OF_THE_STUDY
    steps: int | None = None
    seed: int = 0
    licence: str = ""
    name: str | None = None
    tracking_uri: str | None = DEFAULT_TRACKING
    device: str | None = None
    plugins: tuple[str, ...] = ()
    blocks: str = "auto"


@dataclass(frozen=True, slots=True)
class Winner:
    """A candidate to promote.

    Attributes:
        member: The candidate with the figures of the study.
        forms: Its possible training forms by name of the block.
        folder: Folder of its full training.
        done: The result, if it has ended and no file is damaged.
    """

    member: Member
    forms: Mapping[str, Architecture]
    folder: Path
    done: Promotion | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked plan of a promotion.

    Attributes:
        info: The study.
        records: Its trials.
        winners: Candidates to train, the most valuable first.
        recipe: The recipe, scaled.
        pair_set: The dataset.
        teacher: The teacher, if any.
        device: ``cpu`` or ``cuda``.
        limits: Limits of a champion: those of the study, with the runtime of ``--under``.
        name: Name of the registered model.
        notes: Remarks for the user.
    """

    info: StudyInfo
    records: tuple[Record, ...]
    winners: tuple[Winner, ...]
    recipe: Recipe
    pair_set: PairSet
    teacher: Teacher | None
    device: str
    limits: Budget
    name: str
    notes: tuple[str, ...]


def prepare(settings: PromotionSettings, progress: Progress = silent) -> Plan:
    """Check all settings and make the plan.

    Raises:
        InputError: Something does not exist, differs from that of the study, or is damaged.
    """
    study = _read(settings)
    info, records = study.info, study.records
    chosen = select(study, settings.selection)
    recipe = load_recipe(settings.recipe)
    if settings.steps is not None:
        recipe = recipe.scaled(settings.steps)
    pair_set, notes = _data(info, settings.data, progress)
    teacher = _teacher(info, settings.teacher) if recipe.wants_teacher else None
    folder = settings.store.folder(info.name)
    identity: dict[str, Any] = {
        "recipe": recipe.model_dump(mode="json"),
        "data": pair_set.digest,
        "teacher": None if teacher is None else teacher.digest,
        "seed": settings.seed,
    }
    if settings.blocks != "auto":
        identity["blocks"] = settings.blocks
    forms_of_each = [
        training_forms(
            Architecture.from_dict(member.architecture),
            settings.blocks,
            folds=recipe.stages[0].fold,
        )
        for member in chosen
    ]
    folders = [promotions.folder_of(folder, m.trial, recipe.name, identity) for m in chosen]
    for other in promotions.iter_results(folder):
        if other not in folders:
            promotions.read(other)  # report a damaged one before the training, not after it
    under, noise = settings.selection.under_ms, study.noise
    highest = None if under is None else highest_gain(study.trained, noise, under)
    tie = "" if highest is None else highest.tie
    tint = _tint_note(chosen, info.budget, noise)
    return Plan(
        info=info,
        records=records,
        winners=tuple(
            Winner(member, forms, own, promotions.kept(own))
            for member, forms, own in zip(chosen, forms_of_each, folders, strict=True)
        ),
        recipe=recipe,
        pair_set=pair_set,
        teacher=teacher,
        device=usable_device(settings.device),
        limits=info.budget if under is None else replace(info.budget, runtime_ms=under),
        name=_model_name(settings.name or info.name),
        notes=(*notes, *filter(None, (tie, tint, _tries_note(forms_of_each)))),
    )


def _tint_note(chosen: Sequence[Member], budget: Budget, noise: Noise) -> str:
    """Note which chosen candidates tint; empty if none does."""
    tinted = [
        f"trial {member.trial} ({member.colour_shown(noise.digits)})"
        for member in chosen
        if member.tints
    ]
    if not tinted:
        return ""
    return (
        f"{', '.join(tinted)}: Cb or Cr is more than {budget.colour_loss_db:g} dB below Lanczos in "
        "the proxy run."
    )


def _tries_note(forms_of_each: Sequence[Mapping[str, Architecture]]) -> str:
    """Note which training forms are compared; empty if none are."""
    tried = list(dict.fromkeys(name for forms in forms_of_each if len(forms) > 1 for name in forms))
    if not tried:
        return ""
    return (
        f"Training forms {', '.join(tried)} are compared over 1/{SHARE} of the recipe each; "
        "the best one is trained."
    )


def _model_name(name: str) -> str:
    """Check that ``models:/NAME@champion`` can hold the name."""
    if not _MODEL_NAME.fullmatch(name):
        raise InputError(
            f"--name {name!r}: use letters, digits, '_', '-', '.' and blanks only, such as avif4x"
        )
    return name


def _read(settings: PromotionSettings) -> StudySnapshot:
    """Read the study, and load the plugins of its networks."""
    load_all(settings.plugins)
    study = load(settings.store, settings.study)
    load_all(path for path in study.info.sources.get("plugins", ()) if Path(path).is_file())
    return study


def _data(
    info: StudyInfo, given: Path | None, progress: Progress
) -> tuple[PairSet, tuple[str, ...]]:
    """Open the given dataset, or exactly that of the study."""
    had = info.identity.get("data", {})
    if given is not None:
        pair_set = open_set(given)
        if pair_set.digest == had.get("digest"):
            return pair_set, ()
        note = (
            f"the study used another dataset, {had.get('name')}: gains of its proxy runs and of "
            "the full training are of different images."
        )
        return pair_set, (note,)
    source = info.sources.get("data")
    if had.get("name") == "sample":
        note = "Training on the small sample dataset: a demonstration, not for production."
        pair_set, notes = open_set(sample_set(progress)), [note]
    elif source is not None and Path(source).is_dir():
        pair_set, notes = open_set(Path(source)), []
    else:
        where = f"is not in {source} any more" if source else "has no known path"
        raise InputError(
            f"the dataset {had.get('name')!r} of {info.name!r} {where}: give it with --data"
        )
    if pair_set.digest != had.get("digest"):
        raise InputError(
            f"{pair_set.path} has changed since the study {info.name!r} used it "
            f"(its digest was {str(had.get('digest'))[:12]}, and is {pair_set.digest[:12]}): "
            f"give --data {pair_set.path} to train on it anyway"
        )
    return pair_set, tuple(notes)


def _teacher(info: StudyInfo, given: str | None) -> Teacher | None:
    """Load the given teacher, or exactly that of the study."""
    if given != OF_THE_STUDY:
        return None if given is None else load_teacher(given)
    had = info.identity.get("teacher")
    if had is None:
        return None
    try:
        teacher = load_teacher(info.sources.get("teacher") or had["name"])
    except InputError as fault:
        raise InputError(f"the teacher of {info.name!r} is not available: {fault}") from fault
    if teacher.digest != had["digest"]:
        raise InputError(
            f"the teacher {teacher.name} has changed since the study {info.name!r} used it: "
            "choose one with --teacher"
        )
    return teacher
