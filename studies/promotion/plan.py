"""From what the user asked for to what a promotion will do, all checked."""

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
"""The teacher that the study had."""

_MODEL_NAME = re.compile(r"\w[\w .-]{0,199}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionSettings:
    """What a user asks for: the options of ``nas promote``.

    Attributes:
        study: Name of the study.
        selection: Which candidates.
        store: Where the study is stored.
        recipe: A shipped name or a YAML file.
        data: A prepared set; None for the study's own.
        teacher: `OF_THE_STUDY`, a name, a file, or None to train without.
        steps: Of all stages together; None for the recipe's own.
        seed: Of the training.
        licence: Of the models, if they shall say one.
        name: In the model registry; None for the study's.
        tracking_uri: MLflow's; None leaves MLflow out.
        device: Where to train; None for CUDA if there is any.
        plugins: Python files that bring blocks, beside those of the study.
        blocks: Training forms to try, see `studies.promotion.training_forms`.
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
        member: The candidate as the front has it.
        forms: What it may be trained as, by the name of the block.
        folder: Where its full training lies.
        done: What it ended with, if it has, and nothing of it was damaged since.
    """

    member: Member
    forms: Mapping[str, Architecture]
    folder: Path
    done: Promotion | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a promotion will do, all checked.

    Attributes:
        info: The study.
        records: Its trials.
        winners: Candidates, the most valuable first.
        recipe: How each is trained.
        pair_set: On what.
        teacher: By whom; None for nobody.
        device: Where.
        limits: Of a champion: the study's, with the runtime that was asked for.
        name: In the model registry.
        notes: Sentences the user should read first.
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
    """Check everything that was asked for, before anything that takes long.

    Raises:
        InputError: Something asked for does not exist, is not what the study had, or is damaged.
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
    places = [promotions.folder_of(folder, m.trial, recipe.name, identity) for m in chosen]
    for other in promotions.told(folder):
        if other not in places:
            promotions.read(other)  # a damaged one is told before the training, not after it
    under, noise = settings.selection.under_ms, study.noise
    highest = None if under is None else highest_gain(study.trained, noise, under)
    tie = "" if highest is None else highest.tie
    tint = _tint_note(chosen, info.budget, noise)
    return Plan(
        info=info,
        records=records,
        winners=tuple(
            Winner(member, forms, place, promotions.kept(place))
            for member, forms, place in zip(chosen, forms_of_each, places, strict=True)
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
    """A sentence on those that were named although they tint; empty without any."""
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
    """A sentence on the training forms that are tried first; empty without any."""
    tried = list(dict.fromkeys(name for forms in forms_of_each if len(forms) > 1 for name in forms))
    if not tried:
        return ""
    return (
        f"Training forms {', '.join(tried)} are tried for 1/{SHARE} of the recipe each; "
        "the best one is trained."
    )


def _model_name(name: str) -> str:
    """Return a name that ``models:/NAME@champion`` can say: learnt before anything is trained."""
    if not _MODEL_NAME.fullmatch(name):
        raise InputError(
            f"--name {name!r}: a registered model is called by letters, digits, '_', '-', '.' and "
            "blanks, such as avif4x"
        )
    return name


def _read(settings: PromotionSettings) -> StudySnapshot:
    """Read the study, with the blocks that its networks may need."""
    load_all(settings.plugins)
    study = load(settings.store, settings.study)
    load_all(path for path in study.info.sources.get("plugins", ()) if Path(path).is_file())
    return study


def _data(
    info: StudyInfo, given: Path | None, progress: Progress
) -> tuple[PairSet, tuple[str, ...]]:
    """Open the set: the one that is given, or exactly the study's own."""
    had = info.identity.get("data", {})
    if given is not None:
        pair_set = open_set(given)
        if pair_set.digest == had.get("digest"):
            return pair_set, ()
        told = f"the study was made on another set, {had.get('name')}: gains of its proxy runs are"
        return pair_set, (f"{told} of other pictures than those of the full training.",)
    source = info.sources.get("data")
    if had.get("name") == "sample":
        note = "Training on the small sample set: enough to see it work, too little to ship."
        pair_set, notes = open_set(sample_set(progress)), [note]
    elif source is not None and Path(source).is_dir():
        pair_set, notes = open_set(Path(source)), []
    else:
        where = f"is not in {source} any more" if source else "is not known to lie anywhere"
        raise InputError(f"the set {had.get('name')!r} of {info.name!r} {where}: give it as --data")
    if pair_set.digest != had.get("digest"):
        raise InputError(
            f"{pair_set.path} is not the set that {info.name!r} was made on any more "
            f"(its digest was {str(had.get('digest'))[:12]}, and is {pair_set.digest[:12]}): "
            f"give --data {pair_set.path} to train on it all the same"
        )
    return pair_set, tuple(notes)


def _teacher(info: StudyInfo, given: str | None) -> Teacher | None:
    """Load the teacher: the one that is given, or exactly the study's own."""
    if given != OF_THE_STUDY:
        return None if given is None else load_teacher(given)
    had = info.identity.get("teacher")
    if had is None:
        return None
    try:
        teacher = load_teacher(info.sources.get("teacher") or had["name"])
    except InputError as fault:
        raise InputError(f"the teacher of {info.name!r} is gone: {fault}") from fault
    if teacher.digest != had["digest"]:
        raise InputError(
            f"the teacher {teacher.name} is not the one that {info.name!r} was made with any more: "
            "give --teacher to say which one to learn from"
        )
    return teacher
