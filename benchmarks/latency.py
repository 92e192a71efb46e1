"""How repeatable a measured runtime is: medians of fresh processes, and what one costs.

    python -m benchmarks.latency [--target cuda] [--processes 10] [--size 540x960] [--json FILE]

Each process measures the same networks once, as a search does, after it has warmed up on a small
one. Of the medians that the processes found, the spread is half of the range as a share of the
middle one: 1 % means that all lie within 1 % of each other's middle. Beside it stands the spread
of the medians divided by their anchor's: where that is smaller, the whole machine had moved.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch

from nas.measure.latency import ANCHOR_NETWORK, Latency, measure_cpu, measure_cuda, versions
from search_spaces import Architecture, published

NAMES = ("RepTCN", "ANUNet", "RVSR")


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


def main() -> None:
    """Measure in fresh processes and print a line a network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--target", choices=("cuda", "cpu"), default=default)
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--networks", default=",".join(NAMES), help="of the survey's")
    parser.add_argument("--size", default="540x960", help="LR height x width")
    parser.add_argument("--threads", type=int, help="on a CPU; default all")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds of a network on a CPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the rows")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure_all(options)))
        return
    load = f"load {os.getloadavg()[0]:.1f}"
    print(f"{versions(options.target)}, {options.size}, {load}", flush=True)
    found = [fresh(sys.argv[1:]) for _ in range(options.processes)]
    rows = [row_of(name, options.target, found) for name in options.networks.split(",")]
    for row in rows:
        print(
            f"{row.network:12} {row.median_ms:8.3f} ms   spread {row.spread:6.2%}   "
            f"to the anchor {row.spread_to_anchor:6.2%}   steady {row.steady}/{row.processes}   "
            f"{row.seconds_each:5.2f} s each"
        )
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def fresh(arguments: Sequence[str]) -> dict[str, dict[str, float]]:
    """Measure in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.latency", *arguments, "--one"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def measure_all(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure every network once in this process, which a small one warms up."""
    height, width = (int(side) for side in options.size.split("x"))

    def measure(architecture: Architecture) -> Latency:
        if options.target == "cuda":
            return measure_cuda(architecture, height=height, width=width)
        return measure_cpu(
            architecture,
            height=height,
            width=width,
            threads=options.threads,
            seconds=options.limit,
        )

    measure(ANCHOR_NETWORK)
    found = {}
    for name in options.networks.split(","):
        begun = time.perf_counter()
        latency = measure(published[name].architecture)
        found[name] = {
            "ms": latency.ms,
            "anchor_ms": latency.details["anchor_ms"],
            "steady": latency.details["steady"],
            "seconds": time.perf_counter() - begun,
        }
    return found


def row_of(name: str, device: str, found: Sequence[dict[str, dict[str, float]]]) -> Row:
    """Put together what the processes found of one network."""
    each = [measured[name] for measured in found]
    return Row(
        network=name,
        device=device,
        processes=len(each),
        median_ms=median(one["ms"] for one in each),
        spread=spread([one["ms"] for one in each]),
        spread_to_anchor=spread([one["ms"] / one["anchor_ms"] for one in each]),
        steady=sum(bool(one["steady"]) for one in each),
        seconds_each=median(one["seconds"] for one in each),
    )


def spread(values: Sequence[float]) -> float:
    """Half of the range, as a share of the median."""
    return (max(values) - min(values)) / 2 / median(values)


if __name__ == "__main__":
    main()
