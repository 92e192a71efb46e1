"""Making a prepared set from a folder of pictures: parallel, and resumable at any moment.

A picture is done when its record is written, and its record names the hash of every file made.
So a run after kill -9 redoes at most the pictures that were under way, a changed source is another
hash and so another picture, and QPs asked for later are added to what is there.
"""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from nas.common.errors import InputError
from nas.common.locks import lock_file
from nas.common.text import Progress, silent
from nas.data.decode import BACKGROUND, UnusablePicture
from nas.data.encode import QPS
from nas.data.image_files import Source, find_sources
from nas.data.manifest import (
    MANIFEST,
    RECORDS,
    Entry,
    Manifest,
    Record,
    read_manifest,
    sha256_of,
)
from nas.data.pairs import WORK, make_picture
from nas.data.split import TRAIN, VALIDATION, held_out

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
        skipped: source and reason of each picture that cannot be used.
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
        raise InputError(f"a validation share of {validation} cannot be: give one from 0 to 1")

    def choose(records: Mapping[str, Record]) -> frozenset[str]:
        if len(records) == 1 and 0 < validation < 1:
            raise InputError(
                f"{hr_dir} holds one usable picture: a set needs two, one of them to validate on"
            )
        names = held_out(list(records.values()), validation)
        return frozenset(source for source, record in records.items() if record.name in names)

    sources = find_sources(hr_dir, leave_out=out)
    return prepare_sources(
        sources, out, choose, qps=qps, workers=workers, strict=strict, progress=progress
    )


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
    """Make or complete a prepared set from given files; `prepare` explains the rest.

    Args:
        sources: the files, with names that differ.
        out: the set's folder.
        choose: picks the sources to validate on.
        qps: the QPs wanted.
        workers: pictures worked on at once.
        strict: raise at the end where any picture was skipped.
        is_sample: mark the set as the built-in sample.
        progress: called after every picture.
    """
    if not qps or not all(1 <= qp <= 63 for qp in qps):
        raise InputError(f"QPs {list(qps)} cannot be encoded: give whole numbers from 1 to 63")
    if workers is not None and workers < 1:
        raise InputError(f"{workers} workers cannot work: give at least 1")
    other = "set NAS_CACHE to another folder" if is_sample else "choose another folder"
    with _faults_of(out, other), _alone(out, len(sources), progress):
        shutil.rmtree(out / WORK, ignore_errors=True)  # what a killed run left
        wanted = tuple(sorted({*qps, *_earlier_qps(out)}))
        run = _Run(out, wanted, workers or _cores(), progress)
        with warnings.catch_warnings():  # here, as it is not for threads
            warnings.simplefilter("ignore")  # Pillow warns of what is refused or noted anyway
            records = run.make(sources)
        _refuse_if_useless(records, run.skipped, len(sources), strict)
        chosen = choose(records)
        entries = tuple(
            Entry(record, source, VALIDATION if source in chosen else TRAIN)
            for source, record in sorted(records.items())
        )
        Manifest(wanted, is_sample, BACKGROUND, entries).write(out)
        shutil.rmtree(out / WORK, ignore_errors=True)
    return PrepareReport(
        run.made, run.reused, tuple(sorted(run.skipped)), tuple(sorted(run.duplicates))
    )


@dataclass
class _Run:
    """One pass over the sources, and the tally of what became of them."""

    out: Path
    qps: tuple[int, ...]
    workers: int
    progress: Progress
    made: int = 0
    reused: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)

    def make(self, sources: Sequence[Source]) -> dict[str, Record]:
        """Work on every source; return the records by source name, duplicates left out."""
        self.progress(0, len(sources), "reading")
        digests = self._each(sources, _digest, lambda done, source: None)
        by_file = self._first_of(sources, digests)
        # Pictures are the better unit of parallel work; the encoder gets what cores are left. At
        # level 1 the five encoders take turns, level 6 is the highest.
        spare = _cores() // min(self.workers, len(by_file) or 1)
        threads = min(max(spare, 2), 6)
        outcomes = self._each(
            by_file,
            lambda source: make_picture(
                source, digests[source.name], self.out, self.qps, threads=threads
            ),
            lambda done, source: self.progress(done, len(by_file), source.name),
        )
        self.made = sum(new for _, new in outcomes.values())
        self.reused = len(outcomes) - self.made
        pixels = {name: record.pixels_sha256 for name, (record, _) in outcomes.items()}
        return {source.name: outcomes[source.name][0] for source in self._first_of(by_file, pixels)}

    def _first_of(self, sources: Sequence[Source], keys: Mapping[str, str]) -> list[Source]:
        """Of the sources with equal keys, the first; the others are noted as its duplicates."""
        first: dict[str, Source] = {}
        for source in sources:
            if source.name in keys:
                same = first.setdefault(keys[source.name], source)
                if same is not source:
                    self.duplicates.append((source.name, same.name))
        return list(first.values())

    def _each(
        self,
        sources: Sequence[Source],
        work: Callable[[Source], T],
        done: Callable[[int, Source], None],
    ) -> dict[str, T]:
        """Do work on every source. Threads will do: the load is in ffmpeg and Pillow's codecs."""
        results: dict[str, T] = {}
        with ThreadPoolExecutor(self.workers) as pool:
            pending = {pool.submit(work, source): source for source in sources}
            try:
                for count, future in enumerate(as_completed(pending), 1):
                    source = pending[future]
                    try:
                        results[source.name] = future.result()
                    except (UnusablePicture, RuntimeError) as fault:
                        self.skipped.append((source.name, str(fault)))
                    done(count, source)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        return results


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _digest(source: Source) -> str:
    try:
        return sha256_of(source.path)
    except OSError as fault:
        raise UnusablePicture(f"cannot be read ({fault.strerror})") from fault


def _earlier_qps(out: Path) -> tuple[int, ...]:
    return read_manifest(out).qps if (out / MANIFEST).exists() else ()


def _refuse_if_useless(
    records: Mapping[str, Record], skipped: Sequence[tuple[str, str]], total: int, strict: bool
) -> None:
    if skipped and (strict or not records):
        name, reason = min(skipped)
        raise InputError(
            f"{len(skipped)} of {total} pictures cannot be used, the first is {name}: {reason}"
        )


@contextmanager
def _alone(out: Path, total: int, progress: Progress) -> Iterator[None]:
    """Hold the set alone: another preparation of it waits here, and then finds the work done."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: name a new folder, or a prepared set")
    ours = any((out / mark).exists() for mark in (MANIFEST, RECORDS, LOCK))
    if out.is_dir() and not ours and any(out.iterdir()):
        raise InputError(f"{out} holds other files: name a new folder, or a prepared set")
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open("w") as lock:
        if not lock_file(lock, wait=False):
            progress(0, total, "waiting for another preparation of this set")
            lock_file(lock)
        yield


@contextmanager
def _faults_of(out: Path, other: str) -> Iterator[None]:
    """Turn what a disk can refuse into one sentence."""
    try:
        yield
    except OSError as fault:
        if fault.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"no space left for {out}: free some and run the same command again, "
                "it goes on where it stopped"
            ) from fault
        if fault.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(
                f"{out} cannot be written ({fault.strerror}): {other}, or change its permissions"
            ) from fault
        raise InputError(f"{out} cannot be prepared: {fault.strerror or fault}") from fault
