"""Many proxy runs at once, one a core; each finished one is kept, so that nothing runs twice.

A run's name in the cache is the hash of all that it depends on: network, settings, set, teacher,
device, and the source of the recipe itself. Whoever changes the recipe measures it anew.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from nas.common.checked_files import read_json, write_json
from nas.common.errors import InputError
from nas.common.files import cache_root
from nas.common.text import Progress, silent
from nas.data.store import open_set
from nas.training.proxy import proxy
from nas.training.proxy.proxy import (
    Diverged,
    ProxyData,
    ProxyResult,
    ProxySettings,
    proxy_data,
)
from search_spaces import plugins
from search_spaces.architecture import Architecture
from search_spaces.networks.factory import layout
from teachers.loading import load_teacher


@dataclass(frozen=True, slots=True)
class Source:
    """What runs train on and are measured by. Small and picklable: workers load the rest.

    Attributes:
        data: Folder of a prepared set.
        teacher: Name or path; None trains without.
        device: Where networks are trained.
        plugins: Files that bring blocks.
    """

    data: Path
    teacher: str | None = None
    device: str = "cpu"
    plugins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One run to do."""

    name: str
    architecture: Architecture
    settings: ProxySettings


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a job.

    Attributes:
        gain_db: PSNR-Y over Lanczos; None where it diverged.
        loss_sum: Sum of training losses.
        loss_end: Their mean over the last third; None where nothing was trained.
        seconds: What it took.
        fault: Why it diverged; empty where it did not.
    """

    gain_db: float | None
    loss_sum: float
    loss_end: float | None
    seconds: float
    fault: str = ""


def run_all(
    jobs: Sequence[Job], source: Source, *, workers: int, progress: Progress = silent
) -> tuple[Run, ...]:
    """Do the jobs, the long ones first, and return what came of each.

    Args:
        jobs: What to run; those that were run before are read from the cache.
        source: What they train on.
        workers: Processes at once, of one thread each.
        progress: Called with training steps done, of all.

    Raises:
        InputError: Set or teacher cannot be used, or a process was killed.
    """
    plugins.load_all(source.plugins)
    identity = _identity(source)
    places = [_place(job, identity) for job in jobs]
    found = {index: run for index, place in enumerate(places) if (run := _recall(place))}
    weights = [job.settings.steps + _MEASURING for job in jobs]
    done, total = sum(weights[index] for index in found), sum(weights)
    progress(done, total, "")
    open_jobs = sorted(set(range(len(jobs))) - set(found), key=lambda index: -weights[index])
    if open_jobs:
        _load(source)  # fills the caches once, before all workers ask
        with _Pool(min(workers, len(open_jobs))) as pool:
            futures = {pool.submit(jobs[index], source): index for index in open_jobs}
            for future in as_completed(futures):
                index, run = futures[future], _result(future)
                with suppress(OSError):  # the run stands without its cache
                    write_json(places[index], asdict(run))
                found[index] = run
                done += weights[index]
                progress(done, total, _told(jobs[index], run))
    return tuple(found[index] for index in range(len(jobs)))


_MEASURING = 40  # steps that measuring a network takes as long as


def _identity(source: Source) -> dict[str, Any]:
    teacher = None if source.teacher is None else load_teacher(source.teacher).digest
    return {
        "version": proxy.VERSION,
        "data": open_set(source.data).digest,
        "teacher": teacher,
        "device": torch.device(source.device).type,
    }


def _place(job: Job, identity: dict[str, str | None]) -> Path:
    told = {
        **identity,
        "layout": layout(job.architecture).to_json(),
        "settings": asdict(job.settings),
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]
    return cache_root() / "proxy-runs" / f"{digest}.json"


def _recall(place: Path) -> Run | None:
    with suppress(OSError, ValueError, TypeError):
        return Run(**(read_json(place) or {}))
    return None


def _told(job: Job, run: Run) -> str:
    end = run.fault or f"{run.gain_db:+.3f} dB"
    return f"{job.name}, {job.settings.steps} steps, seed {job.settings.seed}: {end}"


def _result(future: Future[Run]) -> Run:
    try:
        return future.result()
    except BrokenProcessPool as fault:
        raise InputError(
            "a training process was killed, most likely for want of memory: give --workers 1 and "
            "run the same command again, which keeps the finished runs"
        ) from fault


class _Pool:
    """Worker processes that end when this one lets go of them or dies, however it does."""

    def __init__(self, workers: int) -> None:
        # Workers are forked off a process that has done the imports, and that has no threads.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._reader, self._writer = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(workers, context, _begin, (self._reader,))

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._writer.close()  # what runs now is not waited for
        self._pool.shutdown(cancel_futures=True)
        self._writer.close()
        self._reader.close()

    def submit(self, job: Job, source: Source) -> Future[Run]:
        """Have a job done."""
        return self._pool.submit(_train, job, source)


def _begin(parent: Connection) -> None:
    """Set up a worker: one thread, and an end with whoever started it."""

    def watch() -> None:
        with suppress(EOFError, OSError):
            parent.recv_bytes()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl+C needs no traceback of each worker
    torch.set_num_threads(1)
    threading.Thread(target=watch, daemon=True).start()


@lru_cache(maxsize=1)
def _load(source: Source) -> ProxyData:
    plugins.load_all(source.plugins)
    teacher = None if source.teacher is None else load_teacher(source.teacher)
    return proxy_data(open_set(source.data), teacher, source.device)


def _train(job: Job, source: Source) -> Run:
    data = _load(source)
    try:
        *_, result = proxy.run_proxy(job.architecture, data, job.settings)
    except Diverged as fault:
        return Run(None, 0.0, None, 0.0, str(fault))
    assert isinstance(result, ProxyResult)
    trained = job.settings.steps > 0
    return Run(
        result.gain_db, result.loss_sum, result.loss_end if trained else None, result.seconds
    )
