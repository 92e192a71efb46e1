"""A study read from its database, also while searches run on it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from nas.common.errors import InputError
from studies.core.budget import Budget
from studies.core.info import StudyInfo
from studies.core.noise import Noise, seed_noise
from studies.core.record import Counts, Record, count
from studies.core.trials import records_of, repeats_of
from studies.results.front import (
    Member,
    Reference,
    front,
    hypervolume,
    reference_of,
    trained,
    with_probabilities,
)
from studies.storage.store import Store

LATEST = "latest"
"""Name for the study that was searched last."""

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
"""Optuna's tables."""


@dataclass(frozen=True)
class StudySnapshot:
    """A study as it is stored at one moment, with what follows from its trials.

    Attributes:
        info: What the study is for.
        records: Its trials in the order of asking, failed ones left out.
    """

    info: StudyInfo
    records: tuple[Record, ...]

    @property
    def name(self) -> str:
        """The study's name."""
        return self.info.name

    @property
    def budget(self) -> Budget:
        """The study's limits."""
        return self.info.budget

    @cached_property
    def by_trial(self) -> Mapping[int, Record]:
        """The records by the number of their trial."""
        return {record.trial: record for record in self.records}

    @cached_property
    def counts(self) -> Counts:
        """Number of trials by status."""
        return count(self.records)

    @cached_property
    def noise(self) -> Noise:
        """The seed noise of its gains."""
        return seed_noise(self.records)

    @cached_property
    def trained(self) -> tuple[Member, ...]:
        """All trained candidates."""
        return trained(self.records)

    @cached_property
    def trained_with_probability(self) -> tuple[Member, ...]:
        """All trained candidates, each with its probability to be on the front."""
        return with_probabilities(self.trained, self.noise)

    @cached_property
    def front(self) -> tuple[Member, ...]:
        """The Pareto front, fastest first."""
        return front(self.trained)

    @cached_property
    def front_with_probability(self) -> tuple[Member, ...]:
        """The Pareto front with probabilities, fastest first."""
        return front(self.trained_with_probability)

    @cached_property
    def reference(self) -> Reference:
        """The reference point of its hypervolume."""
        return reference_of(self.trained, self.budget)

    @cached_property
    def hypervolume(self) -> float:
        """The area that the front covers, in dB x octaves."""
        return hypervolume(self.front, self.reference)


def load(store: Store, study: str) -> StudySnapshot:
    """Read a study; a search may be running on it.

    Args:
        store: Its database.
        study: The study's name, an unambiguous beginning of it, or `LATEST`.

    Raises:
        InputError: The database cannot be used, or has no such study.
    """
    with store.faults(OSError), store.open_existing() as database:
        return _load(store, database, _find(_studies(database), study, str(store)))


def load_all(store: Store) -> tuple[StudySnapshot, ...]:
    """Read all studies of this tool in a database.

    Raises:
        InputError: The database cannot be used or does not exist.
    """
    with store.faults(OSError), store.open_existing() as database:
        return tuple(_load(store, database, study) for study in _studies(database).values())


def _studies(database: BaseStorage) -> dict[str, FrozenStudy]:
    """The studies of this tool, by name."""
    # "runs" is written last before the first trial: a killed run may not have got there.
    return {s.study_name: s for s in database.get_all_studies() if "runs" in s.user_attrs}


def _find(found: Mapping[str, FrozenStudy], name: str, where: str) -> FrozenStudy:
    if name in found:
        return found[name]
    if name == LATEST and found:
        return max(found.values(), key=lambda study: study.user_attrs["runs"][-1]["time"])
    matches = [each for each in found if each.startswith(name)]
    if len(matches) == 1:
        return found[matches[0]]
    choices = ", ".join(matches or found) or "none yet"
    if matches:
        raise InputError(f"Several studies in {where} begin with {name!r}: {choices}.")
    raise InputError(f"There is no study {name!r} in {where}: it has {choices}.")


def _load(store: Store, database: BaseStorage, study: FrozenStudy) -> StudySnapshot:
    assert isinstance(database, RDBStorage)  # one in memory has no studies
    identity, runs = study.user_attrs["identity"], tuple(study.user_attrs["runs"])
    info = StudyInfo(study.study_name, identity, runs, str(store))
    trials, repeats = _trials(database, study._study_id), repeats_of(study.user_attrs)
    return StudySnapshot(info, records_of(trials, repeats, info.budget))


def _trials(database: RDBStorage, study_id: int) -> list[FrozenTrial]:
    """Return a study's trials by number, without parameters, which records do not need.

    Optuna builds an object for every parameter of every trial, which takes ten times as long.
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
