"""Where a study lives: database URLs, and their faults in one sentence."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.common.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

DEFAULT_STORAGE = "sqlite:///studies.db"
DEFAULT_TRACKING = "sqlite:///mlflow.db"
MASK = "***"
"""What `masked` leaves of a secret."""
_SQLITE = "sqlite:///"
_STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PASSWORD = re.compile(r"(?P<head>\w[\w+.-]*://[^\s/:@]*:)\S+@")
_SECRET_QUERY = re.compile(
    r"(?i)(?P<head>[?&](?:password|passwd|pwd|token|secret|\w*key)=)[^&\s#]+"
)

_FAULTS = (
    # what the message contains, what to tell the user
    ("database is locked", "is locked by another program: close it and run the same command again"),
    ("no longer compatible", "was written by another version of Optuna: install that version"),
    ("file is not a database", "is no SQLite database: name another file"),
    ("malformed", "is damaged: restore it from a copy or name another file"),
    ("disk is full", "cannot grow because the disk is full: make room and run the command again"),
    ("disk i/o error", "cannot be read or written (disk error or no space): check the disk"),
    ("readonly database", "may not be written by you: give yourself permission or name another"),
    ("unable to open database", "cannot be opened: the folder must exist and be writable"),
    ("no module named", "needs a driver: for PostgreSQL install 'nas-workbench[postgres]'"),
    ("can't load plugin", "names a kind of database that is not known: sqlite or postgresql, say"),
    ("could not parse", f"is no database URL: write for instance {DEFAULT_STORAGE}"),
)


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


def check_url(url: str) -> str:
    """Return a usable database URL.

    Raises:
        InputError: When it is no URL, or when the folder of an SQLite file does not exist.
    """
    if "://" not in url:
        raise InputError(
            f"--storage {masked(url)!r} is no database URL: write for instance {_SQLITE}{url}."
        )
    file = sqlite_file(url)
    if file is not None and not file.absolute().parent.is_dir():
        raise InputError(f"--storage {url}: there is no folder {file.absolute().parent}; make it.")
    return url


def driven(url: str) -> str:
    """Return the URL with the driver that is installed, where it names a kind of database alone.

    ``postgresql://`` means psycopg2 to SQLAlchemy; where that is not there, psycopg is meant.
    ``postgres://``, which servers hand out, is the same.
    """
    scheme, separator, rest = url.partition("://")
    if scheme not in ("postgres", "postgresql"):
        return url
    driver = "" if find_spec("psycopg2") or not find_spec("psycopg") else "+psycopg"
    return f"postgresql{driver}{separator}{rest}"


def check_name(name: str) -> str:
    """Return a study's name when it can also name a folder.

    Raises:
        InputError: When it is empty, too long, or has other than letters, digits, ``.``, ``_``
            and ``-``.
    """
    if not _STUDY_NAME.fullmatch(name):
        raise InputError(
            f"--study {name!r} must be letters, digits, '.', '_' and '-', such as lightweight-8ms."
        )
    return name


def study_folder(url: str, name: str) -> Path:
    """Return where a study's files lie: weights and figures.

    It is beside the file of an SQLite database, and in the user's data folder for a database
    server (not in the cache: nothing there can be computed again).
    """
    file = sqlite_file(url)
    if file is not None:
        return file.with_name(f"{file.stem}-files") / name
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    server = hashlib.sha256(masked(url).encode()).hexdigest()[:12]
    return home / "nas-workbench" / server / name


def set_pragmas(engine: Engine) -> None:
    """Let SQLite append to a log instead of waiting for the disk at each of a trial's 20 writes.

    What is written survives any end of the process. A power cut may take the last trials with it,
    never the database.
    """
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    engine.dispose()  # so that connections made before get them too


@contextmanager
def explained(url: str, *faults: type[Exception]) -> Iterator[None]:
    """Turn a database's faults into an `InputError` of one sentence without secrets.

    Args:
        url: Of the database.
        faults: What else is its fault here, as `OSError` is where its files are opened. Code that
            is not the database's, such as a sampler, must be able to fail under its own name.
    """
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    all_faults: tuple[type[Exception], ...] = (SQLAlchemyError, OptunaError, *faults)
    try:
        yield
    except all_faults as error:
        raise InputError(f"The study database {masked(url)} {_explanation(error)}.") from error


def _explanation(error: BaseException) -> str:
    chain: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        chain.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    text = " | ".join(chain).lower()
    for sign, advice in _FAULTS:
        if sign in text:
            return advice
    first_line = (chain[-1].strip() or type(error).__name__).splitlines()[0]
    return f"cannot be used: {masked(first_line)}"
