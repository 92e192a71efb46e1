"""Locks between the runs of a study, which end with their process.

SQLite: locks on files beside the database. PostgreSQL: advisory locks of the server. Other
databases, and file systems without ``flock``, have no locks: the user must then run one search at a
time on a study.
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
from studies.storage.store import Store


@contextmanager
def try_lock(store: Store, study: str, work: str) -> Iterator[None]:
    """Hold the lock for one kind of work on a study, such as ``promoted``.

    Raises:
        InputError: Another process holds it.
    """
    with _locked(store, f"{study}.{work}", wait=False) as holder:
        if holder is not None:
            raise InputError(
                f"The study {study!r} is being {work} by {holder}: wait for it to end."
            )
        yield


@contextmanager
def mutex(store: Store, study: str, work: str = "turn") -> Iterator[None]:
    """Wait for the lock for one kind of work on a study, and hold it; for short work."""
    with _locked(store, f"{study}.{work}", wait=True):
        yield


@contextmanager
def run_once(store: Store, key: str) -> Iterator[None]:
    """Wait for the lock for work that is done once; check inside whether it has been done.

    The lock file is removed when the block ends without an error.
    """
    with _locked(store, key, wait=True):
        yield
        _remove(store, key)


@contextmanager
def mark_alive(store: Store, study: str, run: str) -> Iterator[None]:
    """Mark a run as working on a study, until the block or the process ends."""
    with _locked(store, f"{study}.{run}", wait=False):
        try:
            yield
        finally:
            _remove(store, f"{study}.{run}")


def is_alive(store: Store, study: str, run: str) -> bool:
    """Whether a run still works on a study; otherwise its trials can be recovered."""
    key = f"{study}.{run}"
    if store.file is not None and not _lock_file(store.file, key).exists():
        return False
    with _locked(store, key, wait=False) as holder:
        if holder is None:
            _remove(store, key)
        return holder is not None


def _remove(store: Store, key: str) -> None:
    """Remove the file of a lock that nobody will take again; call it while holding the lock."""
    if store.file is not None:
        _lock_file(store.file, key).unlink(missing_ok=True)


@contextmanager
def _locked(store: Store, key: str, *, wait: bool) -> Iterator[str | None]:
    """Try to hold a lock for the block: yields None on success, else the holder."""
    if store.file is not None:
        with ExitStack() as stack:
            with store.faults(OSError):
                # In place: a lock belongs to the inode. Unbuffered: closing it writes nothing.
                file = _lock_file(store.file, key).open("ab+", buffering=0)
                holder = stack.enter_context(_flocked(stack.enter_context(file), wait))
            yield holder
    elif store.url.startswith("postgres"):
        with _postgres_lock(store, key, wait) as holder:
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
def _postgres_lock(store: Store, key: str, wait: bool) -> Iterator[str | None]:
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
    function = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
    query = text(f"SELECT {function}(:number)")
    with store.faults(ImportError):
        connection = create_engine(store.driver_url, poolclass=NullPool).connect()
    with connection:
        with store.faults():
            got = connection.execute(query, {"number": number}).scalar()
            connection.commit()
        # The blocking function returns nothing, the other one whether it has the lock.
        yield None if wait or got else "another process"
