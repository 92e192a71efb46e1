"""The survey's 17 networks measured as the challenge did, beside their published runtimes.

    python -m benchmarks.survey [--networks RepTCN,RVSR] [--size 540x960] [--json FILE]

On CUDA: FP16, 540x960, eager, 50 warm-ups, the mean of 100 forwards. Table 1 has runtimes of an RTX
4090, so what compares with another device is their order. On a CPU the medians of `measure_cpu`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from nas.measure.agreement import kendall, spearman
from nas.measure.latency import measure_cpu, measure_cuda, versions
from search_spaces import published


@dataclass(frozen=True)
class Row:
    """One network."""

    network: str
    device: str
    runtime_ms: float
    published_ms: float
    ratio: float


def main() -> None:
    """Measure and print a line a network, then how the orders agree."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default=",".join(published), help="of the survey's")
    parser.add_argument("--size", default="540x960", help="LR height x width")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds of a network on a CPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the rows")
    options = parser.parse_args()
    height, width = (int(side) for side in options.size.split("x"))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"{versions(device)}, {options.size}", flush=True)
    rows = []
    for name in options.networks.split(","):
        network, stated = published[name].architecture, published[name].table1.runtime_ms
        if device == "cuda":
            found = measure_cuda(network, mode="challenge", height=height, width=width)
        else:
            found = measure_cpu(network, height=height, width=width, seconds=options.limit)
        rows.append(Row(name, device, found.ms, stated, found.ms / stated))
        print(
            f"{name:14} {found.ms:8.3f} ms   published {stated:7.3f} ms   {found.ms / stated:.2f}"
        )
    if len(rows) > 2:
        both = [row.runtime_ms for row in rows], [row.published_ms for row in rows]
        print(f"order as published: Spearman {spearman(*both):.3f}, Kendall {kendall(*both):.3f}")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
