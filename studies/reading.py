"""Reading studies, also while searches run on them: what `nas front` and reviews begin with."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage

from search_spaces.errors import InputError
from studies.record import Record
from studies.settings import StudyInfo
from studies.storage import check_url, driven, explained, masked, set_pragmas, sqlite_file
from studies.trials import records_of

optuna.logging.set_verbosity(optuna.logging.ERROR)

_PATIENCE_S = 15.0  # readers hold an SQLite file for milliseconds: longer is one that hangs


def read_study(storage: str, name: str) -> tuple[StudyInfo, tuple[Record, ...]]:
    """Read a study without holding it; a search may be running on it.

    Raises:
        InputError: The storage cannot be used, or has no such study.
    """
    with explained(storage, OSError), _existing(storage) as database:
        found = _names(database)
        if name not in found:
            choices = ", ".join(found) or "none yet"
            raise InputError(f"There is no study {name!r} in {masked(storage)}: it has {choices}.")
        return _read(storage, database, name)


def list_studies(storage: str) -> tuple[tuple[StudyInfo, tuple[Record, ...]], ...]:
    """Read all studies of a storage that this tool made.

    Raises:
        InputError: The storage cannot be used or does not exist.
    """
    with explained(storage, OSError), _existing(storage) as database:
        return tuple(_read(storage, database, name) for name in _names(database))


@contextmanager
def _existing(storage: str) -> Iterator[BaseStorage]:
    """Open a database that is there; one whose tables a search is making is taken for empty."""
    file = sqlite_file(check_url(storage))
    if file is not None and not file.exists():
        raise InputError(f"There is no study database {file}: run nas search first, or name it.")
    if file is not None and not _is_made(file):
        yield InMemoryStorage()  # opening it would make them too, and meet half of them
        return
    with opened(storage) as database:
        yield database


def _names(database: BaseStorage) -> list[str]:
    summaries = optuna.get_all_study_summaries(database, include_best_trial=False)
    # The last that a study gets before its first trial: it may have been killed sooner.
    return [s.study_name for s in summaries if "runs" in s.user_attrs]


def _read(storage: str, database: BaseStorage, name: str) -> tuple[StudyInfo, tuple[Record, ...]]:
    raw = optuna.load_study(study_name=name, storage=database)
    identity, runs = raw.user_attrs["identity"], tuple(raw.user_attrs["runs"])
    return StudyInfo(name, identity, runs, masked(storage)), records_of(raw)


def _is_made(file: Path) -> bool:
    """Whether an SQLite database has all its tables: Optuna notes their version last."""
    try:
        with closing(sqlite3.connect(file, timeout=_PATIENCE_S)) as database:
            return bool(database.execute("SELECT count(*) FROM alembic_version").fetchone()[0])
    except sqlite3.Error as error:
        return "no such table" not in str(error)  # whatever else it is, Optuna will meet it


@contextmanager
def opened(url: str) -> Iterator[RDBStorage]:
    """Have Optuna's storage at a database URL, which it makes where there is none, and close it."""
    with explained(url, ImportError, RuntimeError):  # no driver, tables of another Optuna
        if sqlite_file(url) is None:
            storage = RDBStorage(driven(url), engine_kwargs={"pool_pre_ping": True})
        else:
            storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": _PATIENCE_S}})
            set_pragmas(storage.engine)
    try:
        yield storage
    finally:
        storage.scoped_session.remove()
        storage.engine.dispose()
