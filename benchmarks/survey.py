"""The survey's 17 networks, measured as in the challenge, beside their published runtimes.

    python -m benchmarks.survey [--networks RepTCN,RVSR] [--size 540x960] [--json FILE]

On CUDA: FP16, 540x960, eager, 50 warm-ups, the mean of 100 forward passes. Runtimes of Table 1 are
of an RTX 4090: on another device only their ranking compares. On a CPU: medians of `measure_cpu`.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass

from benchmarks.options import add_json, add_networks, add_size, alone, parser_of, write_json
from nas.measure.device import usable_device
from nas.measure.latency.measure import measure_cpu, measure_cuda, versions
from nas.measure.rank_metrics import kendall, spearman
from search_spaces import published


@dataclass(frozen=True)
class Row:
    """A network."""

    network: str
    device: str
    runtime_ms: float
    published_ms: float
    ratio: float


def main() -> None:
    """Measure and print a line per network, then the rank correlation."""
    parser = parser_of(__doc__)
    add_networks(parser, published)
    add_size(parser)
    parser.add_argument("--limit", type=float, default=10.0, help="seconds of a network on a CPU")
    add_json(parser)
    options = parser.parse_args()
    height, width = options.size
    device = usable_device()
    print(f"{versions(device)}, {height}x{width}", flush=True)
    rows: list[Row] = []
    failed: list[str] = []
    for name in options.networks:
        network, stated = published[name].architecture, published[name].table1.runtime_ms
        with alone(name, failed):
            if device == "cuda":
                found = measure_cuda(network, mode="challenge", height=height, width=width)
            else:
                found = measure_cpu(network, height=height, width=width, seconds=options.limit)
            rows.append(Row(name, device, found.ms, stated, ratio := found.ms / stated))
            print(f"{name:14} {found.ms:8.3f} ms   published {stated:7.3f} ms   {ratio:.2f}")
        write_json(options.json, [asdict(row) for row in rows])
    if len(rows) > 2:
        both = [row.runtime_ms for row in rows], [row.published_ms for row in rows]
        print(f"order as published: Spearman {spearman(*both):.3f}, Kendall {kendall(*both):.3f}")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
