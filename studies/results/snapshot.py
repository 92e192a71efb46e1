"""Reading studies, also while searches run on them: what `nas front` and reviews begin with."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from nas.common.errors import InputError
from studies.core.budget import Budget
from studies.core.record import Record
from studies.core.trials import records_of, repeats_of
from studies.settings import StudyInfo
from studies.storage.store import Store

optuna.logging.set_verbosity(optuna.logging.ERROR)

LATEST = "latest"
"""Stands for the study that was searched last."""

_TRIALS = sqlalchemy.table(
    "trials",
    sqlalchemy.column("trial_id"),
    sqlalchemy.column("study_id"),
    sqlalchemy.column("number"),
    sqlalchemy.column("state", sqlalchemy.Enum(TrialState)),
    sqlalchemy.column("datetime_start", sqlalchemy.DateTime),
    sqlalchemy.column("datetime_complete", sqlalchemy.DateTime),
)
_ATTRIBUTES = sqlalchemy.table(
    "trial_user_attributes",
    sqlalchemy.column("trial_id"),
    sqlalchemy.column("key"),
    sqlalchemy.column("value_json"),
)
"""Tables of Optuna's."""


def read_study(store: Store, name: str) -> tuple[StudyInfo, tuple[Record, ...]]:
    """Read a study without holding it; a search may be running on it.

    Args:
        store: Its database.
        name: The study's name, a beginning that no other one has, or `LATEST`.

    Raises:
        InputError: The storage cannot be used, or has no such study.
    """
    with store.faults(OSError), store.open_existing() as database:
        return _read(store, database, _named(_studies(database), name, str(store)))


def list_studies(store: Store) -> tuple[tuple[StudyInfo, tuple[Record, ...]], ...]:
    """Read all studies of a storage that this tool made.

    Raises:
        InputError: The storage cannot be used or does not exist.
    """
    with store.faults(OSError), store.open_existing() as database:
        return tuple(_read(store, database, study) for study in _studies(database).values())


def _studies(database: BaseStorage) -> dict[str, FrozenStudy]:
    """Those that this tool made, by name."""
    # The last that a study gets before its first trial: it may have been killed sooner.
    found = [study for study in database.get_all_studies() if "runs" in study.user_attrs]
    return {study.study_name: study for study in found}


def _named(found: Mapping[str, FrozenStudy], name: str, where: str) -> FrozenStudy:
    if name in found:
        return found[name]
    if name == LATEST and found:
        return max(found.values(), key=lambda study: study.user_attrs["runs"][-1]["time"])
    begun = [each for each in found if each.startswith(name)]
    if len(begun) == 1:
        return found[begun[0]]
    choices = ", ".join(begun or found) or "none yet"
    if begun:
        raise InputError(f"Several studies in {where} begin with {name!r}: {choices}.")
    raise InputError(f"There is no study {name!r} in {where}: it has {choices}.")


def _read(
    store: Store, database: BaseStorage, study: FrozenStudy
) -> tuple[StudyInfo, tuple[Record, ...]]:
    assert isinstance(database, RDBStorage)  # one in memory has no studies
    identity, runs = study.user_attrs["identity"], tuple(study.user_attrs["runs"])
    trials = _trials(database, study._study_id)
    repeats, budget = repeats_of(study.user_attrs), Budget.from_dict(identity["budget"])
    info = StudyInfo(study.study_name, identity, runs, str(store))
    return info, records_of(trials, repeats, budget)


def _trials(database: RDBStorage, study_id: int) -> list[FrozenTrial]:
    """A study's trials by number, with all that records are made of: parameters are left out.

    Optuna makes objects of every parameter of every trial, which takes ten times as long.
    """
    attributes: dict[int, dict[str, Any]] = defaultdict(dict)
    of_study = _TRIALS.c.study_id == study_id
    with database.engine.connect() as connection:
        joined = _ATTRIBUTES.join(_TRIALS, _ATTRIBUTES.c.trial_id == _TRIALS.c.trial_id)
        chosen = sqlalchemy.select(*_ATTRIBUTES.c).select_from(joined).where(of_study)
        rows = connection.execute(sqlalchemy.select(*_TRIALS.c).where(of_study)).all()
        for trial_id, key, value in connection.execute(chosen):
            attributes[trial_id][key] = json.loads(value)
    return [
        FrozenTrial(
            number=row.number,
            state=row.state,
            value=None,
            datetime_start=row.datetime_start,
            datetime_complete=row.datetime_complete,
            params={},
            distributions={},
            user_attrs=attributes[row.trial_id],
            system_attrs={},
            intermediate_values={},
            trial_id=row.trial_id,
        )
        for row in sorted(rows, key=lambda row: row.number)
    ]
