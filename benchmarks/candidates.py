"""Candidates per hour: real short proxy runs, several at a time on one device.

    python -m benchmarks.candidates [--at-once 1,2,4,8] [--steps 600] [--seconds 15] [--json FILE]

Each parallel run is a process with one thread, as in a search: all train on one GPU (or a core
each), and yield the device to measurements. A candidate includes all that a search does after the
gates: building, choosing how steps run, training, and measuring on held-out windows of the sample
dataset. It has no teacher, whose share of a step is one more image to read. The start of the
processes, once per search, is not included. Processes on one GPU take turns, unless NVIDIA's MPS
runs their kernels in parallel; the output says whether it does.

Several streams in one process are not compared: a process can capture only one graph at a time,
and other streams may not allocate memory at the same time.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import torch

from benchmarks.options import add_json, add_networks, alone, numbers, parser_of, write_json
from nas.data.sample import sample_set
from nas.data.store import open_set
from nas.measure.device import usable_device
from nas.measure.latency.measure import versions
from nas.training.proxy.proxy import ProxyData, ProxyResult, ProxySettings, proxy_data, run_proxy
from search_spaces import published

NAMES = ("RepTCN", "ANUNet", "BasicVision", "URPNet")
_WAITING_S = 120.0  # for all processes to have started


@dataclass(frozen=True)
class Row:
    """Result of one number of parallel runs."""

    at_once: int
    device: str
    steps: int
    candidates: int
    candidates_per_hour: float
    speedup: float
    seconds_each: float
    mps: bool


@dataclass(frozen=True)
class Share:
    """Result of one process: runs, and seconds until its last one ended."""

    runs: int
    seconds: float
    ways: tuple[str, ...]


def main() -> None:
    """Measure and print a line for each number of parallel runs."""
    device = usable_device()
    gpu = device == "cuda"
    cores = len(os.sched_getaffinity(0))
    parser = parser_of(__doc__)
    default = "1,2,4,8" if gpu else ",".join(str(n) for n in (1, 2) if n <= cores)
    parser.add_argument(
        "--at-once", type=numbers, default=default, help=f"numbers of processes ({default})"
    )
    parser.add_argument("--steps", type=int, default=600 if gpu else 60, help="of each run")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    add_networks(parser, NAMES)
    add_json(parser)
    options = parser.parse_args()
    names = options.networks
    load(device)  # fills the caches for the processes
    print(f"{versions(device)}, load {os.getloadavg()[0]:.1f}", flush=True)
    print(f"{options.steps} steps of {', '.join(names)} in turn", flush=True)
    rows: list[Row] = []
    failed: list[str] = []
    for at_once in options.at_once:
        shares: list[Share] = []
        with alone(f"{at_once} at once", failed):
            shares = run(at_once, names, options.steps, options.seconds, device)
        if not shares:
            continue
        pace = sum(share.runs / share.seconds for share in shares)
        first = rows[0].candidates_per_hour / rows[0].at_once if rows else 3600 * pace / at_once
        row = Row(
            at_once=at_once,
            device=device,
            steps=options.steps,
            candidates=sum(share.runs for share in shares),
            candidates_per_hour=3600 * pace,
            speedup=3600 * pace / first,
            seconds_each=at_once / pace,
            mps=gpu and mps_runs(),
        )
        rows.append(row)
        print(
            f"{at_once} at once   {row.candidates_per_hour:8.0f} an hour   "
            f"{row.speedup:5.2f} times one   {row.seconds_each:6.2f} s each   "
            f"{row.candidates} done   {', '.join(sorted({w for s in shares for w in s.ways}))}"
            f"{'   MPS' if row.mps else ''}",
            flush=True,
        )
        write_json(options.json, [asdict(row) for row in rows])
    if failed:
        sys.exit(1)


def run(at_once: int, names: list[str], steps: int, seconds: float, device: str) -> list[Share]:
    """Run candidates in several processes."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(at_once)
    with ProcessPoolExecutor(at_once, context, initializer=_begin, initargs=(barrier,)) as pool:
        jobs = [
            pool.submit(work, names[first:] + names[:first], steps, seconds, device)
            for first in (index % len(names) for index in range(at_once))
        ]
        return [job.result() for job in jobs]


def work(names: list[str], steps: int, seconds: float, device: str) -> Share:
    """Run all candidates in turn until the time is over, in whole rounds: they differ in length."""
    try:
        data = load(device)
        settings = ProxySettings(steps=steps)
        # The first use of everything is slow.
        train(names[0], data, replace(settings, steps=min(steps, 30)))
    except BaseException:
        _started.abort()  # the others need not wait for this one
        raise
    _started.wait(_WAITING_S)
    began, runs, ways = time.perf_counter(), 0, []
    while runs % len(names) or not runs or time.perf_counter() - began < seconds:
        ways.append(train(names[runs % len(names)], data, settings))
        runs += 1
    return Share(runs, time.perf_counter() - began, tuple(dict.fromkeys(ways)))


def train(name: str, data: ProxyData, settings: ProxySettings) -> str:
    """Run one candidate and return how its steps ran."""
    *_, result = run_proxy(published[name].architecture, data, settings)
    assert isinstance(result, ProxyResult)
    return result.mode


def load(device: str) -> ProxyData:
    """Load the sample dataset with smaller held-out windows: training is what counts here."""
    data = proxy_data(open_set(sample_set()), device=device)
    return replace(data, validation=data.validation[:2], qps=data.qps[::2])


def mps_runs() -> bool:
    """Whether NVIDIA's multi-process service is running."""
    place = os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps")
    return Path(place, "control").exists()


_started: Barrier


def _begin(barrier: Barrier) -> None:
    global _started
    _started = barrier
    torch.set_num_threads(1)


if __name__ == "__main__":
    main()
