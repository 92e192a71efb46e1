"""Where studies live: a database named by a URL, its folder of files, and its faults."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.common.errors import InputError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage
    from sqlalchemy.engine import Engine

DEFAULT_STORAGE = "sqlite:///studies.db"
DEFAULT_TRACKING = "sqlite:///mlflow.db"
MASK = "***"
"""What `masked` writes in place of a secret."""
_STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PASSWORD = re.compile(r"(?P<head>\w[\w+.-]*://[^\s/:@]*:)\S+@")
_SECRET_QUERY = re.compile(
    r"(?i)(?P<head>[?&](?:password|passwd|pwd|token|secret|\w*key)=)[^&\s#]+"
)
_TIMEOUT_S = 15.0  # readers lock an SQLite file for milliseconds: a longer lock means a hang

_ADVICE = (
    # part of the error message, what to tell the user
    ("database is locked", "is locked by another program: close it and run the same command again"),
    ("no longer compatible", "was written by another version of Optuna: install that version"),
    ("file is not a database", "is not an SQLite database: name another file"),
    ("malformed", "is damaged: restore it from a copy or name another file"),
    ("disk is full", "cannot grow because the disk is full: make room and run the command again"),
    ("disk i/o error", "cannot be read or written (disk error or no space): check the disk"),
    ("readonly database", "is read-only for you: change its permissions or name another"),
    ("unable to open database", "cannot be opened: the folder must exist and be writable"),
    ("no module named", "needs a driver: for PostgreSQL install 'nas-workbench[postgres]'"),
    ("can't load plugin", "is of an unknown kind: use for instance sqlite or postgresql"),
    ("could not parse", f"has an invalid URL: write for instance {DEFAULT_STORAGE}"),
)


@dataclass(frozen=True, slots=True, repr=False)
class Store:
    """A database of studies. As text it is its URL without secrets.

    Attributes:
        url: Database URL as SQLAlchemy reads it, such as ``sqlite:///studies.db``.
    """

    url: str = DEFAULT_STORAGE

    @classmethod
    def parse(cls, url: str) -> Store:
        """Check the value of ``--storage``.

        Raises:
            InputError: It is not a URL, or the folder of an SQLite file does not exist.
        """
        if "://" not in url:
            raise InputError(
                f"--storage {masked(url)!r} is not a database URL: "
                f"write for instance sqlite:///{url}."
            )
        store = cls(url)
        if store.file is not None and not store.file.absolute().parent.is_dir():
            folder = store.file.absolute().parent
            raise InputError(f"--storage {url}: there is no folder {folder}; create it.")
        return store

    def __str__(self) -> str:
        return masked(self.url)

    def __repr__(self) -> str:
        return f"Store({str(self)!r})"

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database, None for any other."""
        return sqlite_file(self.url)

    @property
    def driver_url(self) -> str:
        """The URL with an installed PostgreSQL driver, where it names none.

        To SQLAlchemy ``postgresql://`` means psycopg2. ``postgres://``, which servers hand out,
        means the same.
        """
        scheme, separator, rest = self.url.partition("://")
        if scheme not in ("postgres", "postgresql"):
            return self.url
        driver = "" if find_spec("psycopg2") or not find_spec("psycopg") else "+psycopg"
        return f"postgresql{driver}{separator}{rest}"

    def folder(self, study: str) -> Path:
        """Return the folder of a study's weights and figures.

        It is beside the file of an SQLite database, and in the user's data folder for a server
        (not in the cache: nothing there can be computed again).
        """
        if self.file is not None:
            return self.file.with_name(f"{self.file.stem}-files") / study
        home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
        server = hashlib.sha256(str(self).encode()).hexdigest()[:12]
        return home / "nas-workbench" / server / study

    @contextmanager
    def open(self) -> Iterator[RDBStorage]:
        """Open Optuna's storage, which creates missing tables, and close it after the block."""
        from optuna.logging import ERROR, set_verbosity
        from optuna.storages import RDBStorage

        set_verbosity(ERROR)
        with self.faults(ImportError, RuntimeError):  # no driver, tables of another Optuna
            if self.file is None:
                storage = RDBStorage(self.driver_url, engine_kwargs={"pool_pre_ping": True})
            else:
                arguments = {"connect_args": {"timeout": _TIMEOUT_S}}
                storage = RDBStorage(self.url, engine_kwargs=arguments)
                _set_pragmas(storage.engine)
        try:
            yield storage
        finally:
            storage.scoped_session.remove()
            storage.engine.dispose()

    @contextmanager
    def open_existing(self) -> Iterator[BaseStorage]:
        """Open the storage for reading; while another process creates its tables it is empty.

        Raises:
            InputError: There is no such SQLite file.
        """
        if self.file is not None and not self.file.exists():
            raise InputError(
                f"There is no study database {self.file}: run nas search first, or name it."
            )
        if self.file is not None and not _has_tables(self.file):
            from optuna.storages import InMemoryStorage

            yield InMemoryStorage()  # opening the file would create them too, and meet half of them
            return
        with self.open() as storage:
            yield storage

    @contextmanager
    def faults(self, *more: type[Exception]) -> Iterator[None]:
        """Turn the database's errors into an `InputError` of one sentence without secrets.

        Args:
            more: Further exceptions that are the database's here, as `OSError` is where files are
                opened. What may fail for another reason, such as a sampler, does not belong inside.
        """
        from optuna.exceptions import OptunaError
        from sqlalchemy.exc import SQLAlchemyError

        kinds: tuple[type[Exception], ...] = (SQLAlchemyError, OptunaError, *more)
        try:
            yield
        except kinds as error:
            raise InputError(f"The study database {self} {_explanation(error)}.") from error


def masked(text: str) -> str:
    """Return ``text`` with the secrets of every URL in it replaced by `MASK`."""
    text = _PASSWORD.sub(rf"\g<head>{MASK}@", text)
    return _SECRET_QUERY.sub(rf"\g<head>{MASK}", text)


def sqlite_file(url: str) -> Path | None:
    """Return the file of an SQLite URL, None for any other database."""
    scheme, _, path = url.partition(":///")
    if not path or scheme.split("+")[0] != "sqlite":
        return None
    return Path(path.partition("?")[0])


def check_name(name: str) -> str:
    """Return a study's name if it can also name a folder.

    Raises:
        InputError: It is empty, too long, or has other than letters, digits, ``.``, ``_``, ``-``.
    """
    if not _STUDY_NAME.fullmatch(name):
        raise InputError(
            f"--study {name!r} must be letters, digits, '.', '_' and '-', such as lightweight-8ms."
        )
    return name


def _set_pragmas(engine: Engine) -> None:
    """Let SQLite append to a log instead of waiting for the disk at each of a trial's 20 writes.

    What is written survives the end of the process. A power failure may lose the last trials,
    never the database.
    """
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    engine.dispose()  # connections opened before get them too


def _has_tables(file: Path) -> bool:
    """Whether an SQLite database has all tables: Optuna writes their version last."""
    try:
        with closing(sqlite3.connect(file, timeout=_TIMEOUT_S)) as database:
            return bool(database.execute("SELECT count(*) FROM alembic_version").fetchone()[0])
    except sqlite3.Error as error:
        return "no such table" not in str(error)  # Optuna reports any other error


def _explanation(error: BaseException) -> str:
    chain: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        chain.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    text = " | ".join(chain).lower()
    for sign, advice in _ADVICE:
        if sign in text:
            return advice
    first_line = (chain[-1].strip() or type(error).__name__).splitlines()[0]
    return f"cannot be used: {masked(first_line)}"
