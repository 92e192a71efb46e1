"""Making a prepared set from a folder of pictures: parallel, and resumable at any moment.

A picture is done when its record is written, and its record names the hash of every file made.
So a run after kill -9 redoes at most the pictures that were under way, a changed source is another
hash and so another picture, and QPs asked for later are added to what is there.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from nas.data.degrade import QPS, encoder
from nas.data.making import WORK, Source, make_picture
from nas.data.manifest import (
    MANIFEST,
    RECORDS,
    Entry,
    Manifest,
    Record,
    read_manifest,
    sha256_of,
)
from nas.data.normalise import BACKGROUND, SUFFIXES, UnusablePicture
from nas.data.split import TRAIN, VALIDATION, held_out
from search_spaces.errors import InputError
from search_spaces.progress import Progress, silent

LOCK = ".lock"

Chooser = Callable[[Mapping[str, Record]], frozenset[str]]
"""Given the records by source name, names the sources to validate on."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """What a preparation did.

    Attributes:
        made: pictures for which at least one file was made.
        reused: pictures that were complete already.
        skipped: source and reason of each picture that could not be used.
        duplicates: source, and the source of the same picture that stands for it.
    """

    made: int
    reused: int
    skipped: tuple[tuple[str, str], ...]
    duplicates: tuple[tuple[str, str], ...]


def prepare(
    hr_dir: Path,
    out: Path,
    *,
    qps: Sequence[int] = QPS,
    workers: int | None = None,
    validation: float = 0.2,
    strict: bool = False,
    progress: Progress = silent,
) -> PrepareReport:
    """Make or complete a prepared set from every picture under a folder.

    The set then holds exactly the pictures of the folder. Files of pictures that went away are
    left in place, and used again should they come back.

    Args:
        hr_dir: the folder, searched with its subfolders.
        out: the set's folder. What is there already is used again, and its QPs are kept.
        qps: the QPs wanted, each 1 to 63.
        workers: pictures worked on at once; one a core when None.
        validation: the share of pictures held out, 0 to 1.
        strict: raise at the end where any picture was skipped, instead of naming it.
        progress: called after every picture.

    Raises:
        InputError: a bad argument, nothing usable, no disk space, no permission, or (strict)
            a skipped picture.
    """
    if not 0 <= validation <= 1:
        raise InputError(f"validation {validation} is not a share: give a number from 0 to 1.")

    def choose(records: Mapping[str, Record]) -> frozenset[str]:
        names = held_out(list(records.values()), validation)
        return frozenset(source for source, record in records.items() if record.name in names)

    sources = find_sources(hr_dir, leave_out=out)
    return prepare_sources(
        sources, out, choose, qps=qps, workers=workers, strict=strict, progress=progress
    )


def find_sources(folder: Path, leave_out: Path) -> list[Source]:
    """List the picture files under a folder in the order of their names.

    Hidden files and folders, and the folder ``leave_out``, are passed over; links are followed.

    Raises:
        InputError: no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: name a folder of pictures.")
    seen = {leave_out.resolve()}
    found = []
    for here, folders, files in os.walk(folder, followlinks=True):
        inside = Path(here).resolve()
        if inside in seen:  # a link back up, or the set itself
            folders.clear()
            continue
        seen.add(inside)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(here, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                told = os.fsencode(path.relative_to(folder)).decode(errors="replace")
                found.append(Source(path, told))
    if not found:
        kinds = " ".join(sorted(SUFFIXES))
        raise InputError(f"{folder} holds no picture: files named {kinds} are looked for.")
    return sorted(found, key=lambda source: source.name)


def prepare_sources(
    sources: Sequence[Source],
    out: Path,
    choose: Chooser,
    *,
    qps: Sequence[int] = QPS,
    workers: int | None = None,
    strict: bool = False,
    is_sample: bool = False,
    progress: Progress = silent,
) -> PrepareReport:
    """Make or complete a prepared set from given files; :func:`prepare` explains the rest.

    Args:
        sources: the files.
        out: the set's folder.
        choose: picks the sources to validate on.
        qps: the QPs wanted.
        workers: pictures worked on at once.
        strict: raise at the end where any picture was skipped.
        is_sample: mark the set as the built-in sample.
        progress: called after every picture.
    """
    if not qps or not all(1 <= qp <= 63 for qp in qps):
        raise InputError(f"QPs {list(qps)} cannot be encoded: give whole numbers from 1 to 63.")
    with _faults_of(out), _exclusive(out, len(sources), progress):
        shutil.rmtree(out / WORK, ignore_errors=True)
        wanted = tuple(sorted({*qps, *_earlier_qps(out)}))
        done = _Work(sources, out, wanted, workers or len(os.sched_getaffinity(0)), progress)
        records = done.run()
        if not records:
            name, reason = done.skipped[0]
            raise InputError(f"None of {len(sources)} pictures can be used: {name}: {reason}.")
        if strict and done.skipped:
            name, reason = done.skipped[0]
            raise InputError(
                f"{len(done.skipped)} of {len(sources)} pictures cannot be used "
                f"(the first: {name}: {reason}): remove them, or prepare without strict."
            )
        chosen = choose(records)
        entries = tuple(
            Entry(record, source, VALIDATION if source in chosen else TRAIN)
            for source, record in sorted(records.items())
        )
        Manifest(wanted, is_sample, BACKGROUND, entries).write(out)
        shutil.rmtree(out / WORK, ignore_errors=True)
    return PrepareReport(
        done.made, done.reused, tuple(sorted(done.skipped)), tuple(sorted(done.duplicates))
    )


class _Work:
    """One run over all sources, and the tally of what became of them."""

    def __init__(
        self,
        sources: Sequence[Source],
        out: Path,
        qps: Sequence[int],
        workers: int,
        progress: Progress,
    ) -> None:
        self.made = self.reused = 0
        self.skipped: list[tuple[str, str]] = []
        self.duplicates: list[tuple[str, str]] = []
        self._sources, self._out, self._qps = sources, out, qps
        self._workers, self._progress = workers, progress

    def run(self) -> dict[str, Record]:
        """Work on every source; return the records by source name, duplicates left out."""
        digests = self._each(self._sources, lambda source: sha256_of(source.path), "reading")
        first: dict[str, Source] = {}
        for source in self._sources:
            if (digest := digests.get(source.name)) is None:
                continue
            if (same := first.setdefault(digest, source)) is not source:
                self.duplicates.append((source.name, same.name))
        encoder()  # fails here, once, where there is no encoder
        threads = max(1, (os.cpu_count() or 1) // self._workers)
        outcomes = self._each(
            list(first.values()),
            lambda source: make_picture(
                source, digests[source.name], self._out, self._qps, threads=threads
            ),
            "",
        )
        self.made = sum(new for _, new in outcomes.values())
        self.reused = len(outcomes) - self.made
        records: dict[str, Record] = {}
        by_pixels: dict[str, str] = {}
        for source in first.values():
            if source.name in outcomes:
                record = outcomes[source.name][0]
                same_pixels = by_pixels.setdefault(record.pixels_sha256, source.name)
                if same_pixels == source.name:
                    records[source.name] = record
                else:
                    self.duplicates.append((source.name, same_pixels))
        return records

    def _each(
        self, sources: Sequence[Source], work: Callable[[Source], T], note: str
    ) -> dict[str, T]:
        """Do work on every source in threads; ffmpeg and Pillow's codecs run outside Python."""
        results: dict[str, T] = {}
        total = len(sources)
        with ThreadPoolExecutor(self._workers) as pool:
            pending = {pool.submit(work, source): source for source in sources}
            try:
                for done, future in enumerate(as_completed(pending), 1):
                    source = pending[future]
                    try:
                        results[source.name] = future.result()
                    except (UnusablePicture, RuntimeError) as fault:
                        self.skipped.append((source.name, str(fault)))
                    except OSError as fault:
                        if fault.filename != str(source.path):  # the set's fault, not the source's
                            raise
                        self.skipped.append((source.name, f"cannot be read ({fault.strerror})"))
                    if not note:
                        self._progress(done, total, source.name)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        return results


def _earlier_qps(out: Path) -> tuple[int, ...]:
    return read_manifest(out).qps if (out / MANIFEST).exists() else ()


@contextmanager
def _exclusive(out: Path, total: int, progress: Progress) -> Iterator[None]:
    """Hold the set alone: another preparation of it waits here, and then finds the work done."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: name a new folder, or a prepared set.")
    ours = any((out / mark).exists() for mark in (MANIFEST, RECORDS, LOCK))
    if out.is_dir() and not ours and any(out.iterdir()):
        raise InputError(f"{out} holds other files: name a new folder, or a prepared set.")
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(0, total, "waiting for another preparation of this set")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield  # the system lets go of the lock when the process ends, however it ends


@contextmanager
def _faults_of(out: Path) -> Iterator[None]:
    """Turn what a disk can refuse into one sentence."""
    try:
        yield
    except OSError as fault:
        if fault.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"No space left for {out}: free some and run the same command again, "
                "it goes on where it stopped."
            ) from fault
        if fault.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(
                f"No permission to write in {out} ({fault.strerror}): "
                "choose another folder, or change its permissions."
            ) from fault
        raise InputError(f"{out} cannot be written: {fault.strerror or fault}.") from fault
