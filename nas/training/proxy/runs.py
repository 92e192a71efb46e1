"""Many proxy runs in parallel processes, with a cache of finished runs.

The cache key is the hash of network, settings, dataset, teacher, device and `proxy.VERSION`.
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
class ProxyDataSpec:
    """Data of proxy runs. Small and picklable: workers load the content.

    Attributes:
        data: folder of a prepared dataset.
        teacher: name or path; None trains without.
        device: where networks are trained.
        plugins: files that register blocks.
    """

    data: Path
    teacher: str | None = None
    device: str = "cpu"
    plugins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProxyJob:
    """One run to do."""

    name: str
    architecture: Architecture
    settings: ProxySettings


@dataclass(frozen=True, slots=True)
class ProxyRun:
    """Result of a job.

    Attributes:
        gain_db: PSNR-Y over Lanczos; None where it diverged.
        loss_sum: Sum of training losses.
        loss_end: Their mean over the last third; None where nothing was trained.
        seconds: What it took.
        fault: why it diverged; empty if it did not.
    """

    gain_db: float | None
    loss_sum: float
    loss_end: float | None
    seconds: float
    fault: str = ""


def run_all(
    jobs: Sequence[ProxyJob], source: ProxyDataSpec, *, workers: int, progress: Progress = silent
) -> tuple[ProxyRun, ...]:
    """Run jobs, long ones first.

    Args:
        jobs: finished ones are read from the cache.
        source: the data.
        workers: processes of one thread each.
        progress: called with the number of steps done.

    Raises:
        InputError: dataset or teacher cannot be used, or a process was killed.
    """
    plugins.load_all(source.plugins)
    identity = _identity(source)
    paths = [_cache_path(job, identity) for job in jobs]
    finished = {index: run for index, path in enumerate(paths) if (run := _load_cached(path))}
    weights = [job.settings.steps + _MEASURING for job in jobs]
    done, total = sum(weights[index] for index in finished), sum(weights)
    progress(done, total, "")
    open_jobs = sorted(set(range(len(jobs))) - set(finished), key=lambda index: -weights[index])
    if open_jobs:
        _load(source)  # fills the caches before the workers read them
        with _Pool(min(workers, len(open_jobs))) as pool:
            futures = {pool.submit(jobs[index], source): index for index in open_jobs}
            for future in as_completed(futures):
                index, run = futures[future], _result(future)
                with suppress(OSError):  # the cache is best-effort
                    write_json(paths[index], asdict(run))
                finished[index] = run
                done += weights[index]
                progress(done, total, _describe(jobs[index], run))
    return tuple(finished[index] for index in range(len(jobs)))


_MEASURING = 40  # measuring a network takes as long as this many steps


def _identity(source: ProxyDataSpec) -> dict[str, Any]:
    teacher = None if source.teacher is None else load_teacher(source.teacher).digest
    return {
        "version": proxy.VERSION,
        "data": open_set(source.data).digest,
        "teacher": teacher,
        "device": torch.device(source.device).type,
    }


def _cache_path(job: ProxyJob, identity: dict[str, str | None]) -> Path:
    content = {
        **identity,
        "layout": layout(job.architecture).to_json(),
        "settings": asdict(job.settings),
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
    return cache_root() / "proxy-runs" / f"{digest}.json"


def _load_cached(path: Path) -> ProxyRun | None:
    with suppress(OSError, ValueError, TypeError):
        return ProxyRun(**(read_json(path) or {}))
    return None


def _describe(job: ProxyJob, run: ProxyRun) -> str:
    end = run.fault or f"{run.gain_db:+.3f} dB"
    return f"{job.name}, {job.settings.steps} steps, seed {job.settings.seed}: {end}"


def _result(future: Future[ProxyRun]) -> ProxyRun:
    try:
        return future.result()
    except BrokenProcessPool as fault:
        raise InputError(
            "a training process was killed, most likely for lack of memory: give --workers 1 and "
            "run the same command again, which keeps the finished runs"
        ) from fault


class _Pool:
    """Worker processes that end when this process closes them or dies."""

    def __init__(self, workers: int) -> None:
        # Workers are forked from a process without threads that has done the imports.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._reader, self._writer = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(workers, context, _init_worker, (self._reader,))

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._writer.close()  # do not wait for running jobs
        self._pool.shutdown(cancel_futures=True)
        self._writer.close()
        self._reader.close()

    def submit(self, job: ProxyJob, source: ProxyDataSpec) -> Future[ProxyRun]:
        """Run a job in a worker."""
        return self._pool.submit(_train, job, source)


def _init_worker(parent: Connection) -> None:
    """Set up a worker: one thread, and exit when the parent does."""

    def watch() -> None:
        with suppress(EOFError, OSError):
            parent.recv_bytes()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl+C needs no traceback of each worker
    torch.set_num_threads(1)
    threading.Thread(target=watch, daemon=True).start()


@lru_cache(maxsize=1)
def _load(source: ProxyDataSpec) -> ProxyData:
    plugins.load_all(source.plugins)
    teacher = None if source.teacher is None else load_teacher(source.teacher)
    return proxy_data(open_set(source.data), teacher, source.device)


def _train(job: ProxyJob, source: ProxyDataSpec) -> ProxyRun:
    data = _load(source)
    try:
        *_, result = proxy.run_proxy(job.architecture, data, job.settings)
    except Diverged as fault:
        return ProxyRun(None, 0.0, None, 0.0, str(fault))
    assert isinstance(result, ProxyResult)
    trained = job.settings.steps > 0
    return ProxyRun(
        result.gain_db, result.loss_sum, result.loss_end if trained else None, result.seconds
    )
