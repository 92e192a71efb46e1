"""How repeatable a measured runtime is: medians of fresh processes, and what one costs.

    python -m benchmarks.latency [--target cuda] [--processes 10] [--size 540x960] [--json FILE]
    python -m benchmarks.latency --processes 1 --backends eager,compiled,onnxruntime,tensorrt

Each process measures the same networks once, as a search does, after it has warmed up on a small
one. Of the medians that the processes found, the spread is half of the range as a share of the
middle one: 1 % means that all lie within 1 % of each other's middle. Beside it stands the spread
of the medians divided by their anchor's: where that is smaller, the whole machine had moved.
On a CPU the last line is what no measuring can do better: the spread of arithmetic that never
leaves a core's cache. Clocks and neighbours on the same hardware move that as well.
Where backends are named, each one's median stands below, or why it could not run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, TypeAlias

import torch

from benchmarks.options import add_json, add_networks, add_size, alone, names, parser_of, write_json
from nas.measure.device import usable_device
from nas.measure.latency.measure import ANCHOR_NETWORK, Latency, measure_cpu, measure_cuda, versions
from nas.measure.latency.timers import pinned, wall_sampler
from search_spaces import Architecture, published

NAMES = ("RepTCN", "ANUNet", "RVSR")

ARITHMETIC = "arithmetic"

Found: TypeAlias = dict[str, dict[str, Any]]
"""What one process found: network, or `ARITHMETIC` on a CPU -> figures."""


@dataclass(frozen=True)
class Row:
    """What the processes found of one network."""

    network: str
    device: str
    processes: int
    median_ms: float
    spread: float
    spread_to_anchor: float
    steady: int
    seconds_each: float
    backends_ms: dict[str, float]
    """The median of each backend that could run."""
    unavailable: dict[str, str]
    """Why others could not."""


def main() -> None:
    """Measure in fresh processes and print a line a network."""
    parser = parser_of(__doc__)
    default = usable_device()
    parser.add_argument("--target", choices=("cuda", "cpu"), default=default)
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=math.inf, help="after which none is begun")
    add_networks(parser, NAMES)
    add_size(parser)
    parser.add_argument("--backends", type=names, metavar="A,B", help="default the target's own")
    parser.add_argument("--threads", type=int, help="on a CPU; default all")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds of a network on a CPU")
    add_json(parser)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure_all(options)))
        return
    load = f"load {os.getloadavg()[0]:.1f}"
    height, width = options.size
    print(f"{versions(options.target)}, {height}x{width}, {load}", flush=True)
    found: list[Found] = []
    failed: list[str] = []
    begun = time.monotonic()
    for number in range(1, options.processes + 1):
        if time.monotonic() - begun > options.seconds:
            break
        with alone(f"process {number}", failed):
            found.append(fresh(sys.argv[1:]))
    if not found:
        sys.exit(1)
    rows = [row_of(name, options.target, found) for name in options.networks]
    for row in rows:
        print(
            f"{row.network:12} {row.median_ms:8.3f} ms   spread {row.spread:6.2%}   "
            f"to the anchor {row.spread_to_anchor:6.2%}   steady {row.steady}/{row.processes}   "
            f"{row.seconds_each:5.2f} s each"
        )
        for backend, ms in row.backends_ms.items() if options.backends else ():
            print(f"  {backend:13} {ms:8.3f} ms")
        for backend, reason in row.unavailable.items():
            print(f"  {backend:13} could not run: {reason}")
    if options.target == "cpu":
        values = [process[ARITHMETIC]["ms"] for process in found]
        print(f"{ARITHMETIC:12} {median(values):8.3f} ms   spread {spread(values):6.2%}")
    write_json(options.json, [asdict(row) for row in rows])
    if failed:
        sys.exit(1)


def fresh(arguments: Sequence[str]) -> Found:
    """Measure in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.latency", *arguments, "--one"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: Found = json.loads(done.stdout.splitlines()[-1])  # runtimes print what they like
    return found


def measure_all(options: argparse.Namespace) -> Found:
    """Measure every network once in this process, which a small one warms up."""
    height, width = options.size

    def measure(architecture: Architecture, backends: Sequence[str] | None) -> Latency:
        asked = {"height": height, "width": width, "backends": backends}
        if options.target == "cuda":
            return measure_cuda(architecture, **asked)
        return measure_cpu(architecture, threads=options.threads, seconds=options.limit, **asked)

    measure(ANCHOR_NETWORK, None)
    found = {}
    for name in options.networks:
        begun = time.perf_counter()
        latency = measure(published[name].architecture, options.backends)
        found[name] = {
            "ms": latency.ms,
            "anchor_ms": latency.details["anchor_ms"],
            "steady": latency.details["steady"],
            "seconds": time.perf_counter() - begun,
            "backends_ms": latency.details["backends_ms"],
            "unavailable": latency.details["unavailable"],
        }
    if options.target == "cpu":
        found[ARITHMETIC] = {"ms": arithmetic_ms()}
    return found


def arithmetic_ms() -> float:
    """Return the median time of products of small matrices on one core, in ms, over some 2 s."""
    matrix = torch.rand(256, 256)

    def products() -> torch.Tensor:
        for _ in range(50):
            product = matrix @ matrix
        return product

    with pinned(1), torch.no_grad():
        sample = wall_sampler(products)
        return median(sample() for _ in range(80))


def row_of(name: str, device: str, found: Sequence[Found]) -> Row:
    """Put together what the processes found of one network."""
    each = [measured[name] for measured in found]
    by_backend: dict[str, list[float]] = {}
    for one in each:
        for backend, ms in one["backends_ms"].items():
            by_backend.setdefault(backend, []).append(ms)
    return Row(
        network=name,
        device=device,
        processes=len(each),
        median_ms=median(one["ms"] for one in each),
        spread=spread([one["ms"] for one in each]),
        spread_to_anchor=spread([one["ms"] / one["anchor_ms"] for one in each]),
        steady=sum(bool(one["steady"]) for one in each),
        seconds_each=median(one["seconds"] for one in each),
        backends_ms={backend: median(values) for backend, values in by_backend.items()},
        unavailable=each[0]["unavailable"],
    )


def spread(values: Sequence[float]) -> float:
    """Half of the range, as a share of the median."""
    return (max(values) - min(values)) / 2 / median(values)


if __name__ == "__main__":
    main()
