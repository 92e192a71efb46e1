"""How well a latency model predicts networks that it has not seen, on the device at hand.

    python -m benchmarks.fit [--networks 240] [--seconds 170] [--profile FILE] [--json FILE]

Networks are drawn from the presets in turn, by a fixed seed, no structure twice. Every fourth is
held out; the model is fitted to the others. ``--runtimes`` keeps what was measured as a table that
``nas latency fit`` reads, ``--profile`` the model, which every ``--target`` takes.
"""

from __future__ import annotations

import json
import math
import random
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.options import add_json, add_size, alone, parser_of, write_json
from nas.measure.cost.trace import LayerCost, inference_form, trace
from nas.measure.device import usable_device
from nas.measure.latency.fit import FEWEST
from nas.measure.latency.interleave import BUSY
from nas.measure.latency.measure import Latency, measure_cpu, measure_cuda, versions
from nas.measure.latency.predict import FEATURES, LatencyModel, fit
from nas.measure.latency.store import structure_of
from nas.measure.rank_metrics import kendall, mape, spearman
from search_spaces import Architecture
from search_spaces.space import PRESETS, load_space

HELD_OUT = 4  # every fourth


@dataclass(frozen=True)
class Measured:
    """One network with its runtime."""

    architecture: Architecture
    layers: list[LayerCost]
    latency: Latency


def main() -> None:
    """Measure, fit, and print the error on the held-out networks."""
    parser = parser_of(__doc__)
    default = usable_device()
    parser.add_argument("--target", choices=("cuda", "cpu"), default=default)
    parser.add_argument("--networks", type=int, default=240, help="to measure")
    parser.add_argument("--seconds", type=float, default=170.0, help="after which none is begun")
    add_size(parser)
    parser.add_argument("--limit", type=float, default=10.0, help="seconds of a network on a CPU")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runtimes", type=Path, metavar="FILE", help="the runtimes as JSON")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="the fitted model")
    add_json(parser, "errors, profile and runtimes")
    options = parser.parse_args()
    height, width = options.size
    about = versions(options.target)
    print(f"{about}, {height}x{width}", flush=True)
    begun, anchor_baseline_ms = time.monotonic(), math.inf
    measured: list[Measured] = []
    failed: list[str] = []
    for architecture, layers in sampled(options.networks, options.seed, height, width):
        if time.monotonic() - begun > options.seconds:
            break
        with alone(architecture.label, failed):
            latency = measure(
                architecture, options.target, height, width, options.limit, anchor_baseline_ms
            )
            measured.append(Measured(architecture, layers, latency))
            anchor_baseline_ms = min(anchor_baseline_ms, latency.details["anchor_ms"])
    taken = time.monotonic() - begun
    rows = [
        row for row in measured if row.latency.details["anchor_ms"] <= BUSY * anchor_baseline_ms
    ]
    busy = len(measured) - len(rows)
    print(f"{len(measured)} networks in {taken:.0f} s, {busy} left out: the device was not free")
    runtimes = [told(row) for row in rows]
    write_json(options.runtimes, runtimes)
    kept = [row for i, row in enumerate(rows) if (i + 1) % HELD_OUT]
    held = [row for i, row in enumerate(rows) if not (i + 1) % HELD_OUT]
    if len(kept) < FEWEST or len(held) < 2:
        sys.exit(f"{len(rows)} networks are too few to fit and to hold out: give more --seconds")
    name = re.sub(r"[^a-z0-9]+", "-", str(about["device"]).lower()).strip("-") or options.target
    model = fitted(kept, name, height, width)
    found = errors(model, held)
    print(
        f"fitted to {len(kept)}, on {len(held)} held out: error {found['mape']:.1%}, "
        f"worst {found['worst']:.0%}, Spearman {found['spearman']:.3f}, "
        f"Kendall {found['kendall']:.3f}"
    )
    if options.profile:
        options.profile.write_text(model.to_json())
    summary = {
        "device": options.target,
        "networks": len(rows),
        "held_out": len(held),
        "steady": sum(bool(row.latency.details["steady"]) for row in rows),
        "seconds": taken,
        **found,
        "profile": json.loads(model.to_json()),
        "runtimes": runtimes,
    }
    write_json(options.json, summary)
    if failed:
        sys.exit(1)


def sampled(
    count: int, seed: int, height: int, width: int
) -> Iterator[tuple[Architecture, list[LayerCost]]]:
    """Draw networks from the presets in turn, each structure once."""
    draw, seen = random.Random(seed), set()
    spaces = [load_space(name) for name in PRESETS]
    for number in range(100 * count):
        if len(seen) == count:
            return
        space = spaces[number % len(spaces)]
        chosen = {d.name: draw.choice(d.choices) for d in space.dimensions}
        architecture = space.architecture(chosen)
        layers = list(trace(inference_form(architecture, "device"), height, width))
        structure = structure_of(layers)
        if structure not in seen:
            seen.add(structure)
            yield architecture, layers


def measure(
    architecture: Architecture,
    target: str,
    height: int,
    width: int,
    limit_s: float,
    anchor_baseline_ms: float,
) -> Latency:
    """Measure one network as a search does."""
    if target == "cuda":
        return measure_cuda(
            architecture, height=height, width=width, anchor_baseline_ms=anchor_baseline_ms
        )
    return measure_cpu(
        architecture,
        height=height,
        width=width,
        seconds=limit_s,
        anchor_baseline_ms=anchor_baseline_ms,
    )


def fitted(rows: list[Measured], device: str, height: int, width: int) -> LatencyModel:
    """Fit a latency model to what was measured."""
    first = rows[0].latency
    return fit(
        {
            f"{i} {row.architecture.label}": (row.layers, row.latency.ms)
            for i, row in enumerate(rows)
        },
        dict.fromkeys(FEATURES, 0.0),
        device=device,
        mode=first.mode,
        source=f"{len(rows)} networks sampled from the presets",
        height=height,
        width=width,
        precision=first.details["precision"],
    )


def errors(model: LatencyModel, rows: list[Measured]) -> dict[str, float]:
    """How far predictions are from what was measured, as fractions and rank correlations."""
    predicted = [model.predict_ms(row.layers) for row in rows]
    true = [row.latency.ms for row in rows]
    return {
        "mape": mape(predicted, true),
        "worst": max(abs(p / t - 1) for p, t in zip(predicted, true, strict=True)),
        "spearman": spearman(predicted, true),
        "kendall": kendall(predicted, true),
    }


def told(row: Measured) -> dict[str, object]:
    """A runtime as ``nas latency fit`` reads it."""
    return {
        "network": row.architecture.to_dict(),
        "runtime_ms": row.latency.ms,
        "backend": row.latency.backend,
        "steady": row.latency.details["steady"],
    }


if __name__ == "__main__":
    main()
