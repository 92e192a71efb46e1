"""Who works on a study now: locks that die with their process, whatever the clocks say.

SQLite: locks on files beside the database. PostgreSQL: advisory locks of the server. Other
databases, and file systems without ``flock``, have no lock here: one search at a time on a study is
then the user's care.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from nas.common.errors import InputError
from nas.common.locks import lock_file
from studies.storage.store import driven, explained, sqlite_file


@contextmanager
def held(url: str, name: str, work: str) -> Iterator[None]:
    """Hold one kind of work on a study alone, until the block or the process ends.

    Args:
        url: Of the study's database.
        name: The study.
        work: What is done with it, such as ``promoted``.

    Raises:
        InputError: When another process holds it.
    """
    with _locked(url, f"{name}.{work}", wait=False) as holder:
        if holder is not None:
            raise InputError(f"The study {name!r} is being {work} by {holder}: wait for it to end.")
        yield


@contextmanager
def turn(url: str, name: str, work: str = "turn") -> Iterator[None]:
    """Wait until nobody else does this with the study, and do it; for what takes moments."""
    with _locked(url, f"{name}.{work}", wait=True):
        yield


@contextmanager
def once(url: str, name: str) -> Iterator[None]:
    """Wait for a turn at what is done once; whoever waited must look whether it has been done.

    The lock's file goes when the block ends well: nobody will ask for it again.
    """
    with _locked(url, name, wait=True):
        yield
        _forget(url, name)


@contextmanager
def presence(url: str, name: str, run: str) -> Iterator[None]:
    """Show that a run works on a study, until the block or the process ends, however it ends."""
    with _locked(url, f"{name}.{run}", wait=False):
        try:
            yield
        finally:
            _forget(url, f"{name}.{run}")


def is_present(url: str, name: str, run: str) -> bool:
    """Say whether a run still works on a study; its trials may be taken over when it does not."""
    file = sqlite_file(url)
    if file is not None and not _lock_file(file, f"{name}.{run}").exists():
        return False
    with _locked(url, f"{name}.{run}", wait=False) as holder:
        if holder is None:
            _forget(url, f"{name}.{run}")
        return holder is not None


def _forget(url: str, key: str) -> None:
    """Remove the file of a lock that nobody will ask for again; call it while holding the lock."""
    file = sqlite_file(url)
    if file is not None:
        _lock_file(file, key).unlink(missing_ok=True)


@contextmanager
def _locked(url: str, key: str, *, wait: bool) -> Iterator[str | None]:
    """Try to hold a lock for the block: yields None when it is held, else who has it."""
    file = sqlite_file(url)
    if file is not None:
        with ExitStack() as stack:
            with explained(url, OSError):
                # Not aside: a lock belongs to the inode. Unbuffered: closing it writes nothing.
                lock = stack.enter_context(_lock_file(file, key).open("ab+", buffering=0))
                holder = stack.enter_context(_flocked(lock, wait))
            yield holder
    elif url.startswith("postgres"):
        with _postgres_lock(url, key, wait) as holder:
            yield holder
    else:
        yield None


def _lock_file(database: Path, key: str) -> Path:
    return database.with_name(f".{database.stem}-{key}.lock")


@contextmanager
def _flocked(lock: IO[bytes], wait: bool) -> Iterator[str | None]:
    if not lock_file(lock, wait=wait):
        lock.seek(0)
        yield lock.read().decode().strip() or "another process"
        return
    lock.truncate(0)
    lock.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
    yield None


@contextmanager
def _postgres_lock(url: str, key: str, wait: bool) -> Iterator[str | None]:
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
    asked = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
    with explained(url, ImportError):
        connection = create_engine(driven(url), poolclass=NullPool).connect()
    with connection:
        with explained(url):
            got = connection.execute(text(f"SELECT {asked}(:number)"), {"number": number}).scalar()
            connection.commit()
        # The blocking form returns nothing, the other one whether it has the lock.
        yield None if wait or got else "another process"
