"""Worth of a luma output and of grey patches: proxy runs of equal bodies on one dataset.

    python -m benchmarks.colour --data wallpapers --out colour.jsonl

Each row is one training: PSNR gains over Lanczos of luma, Cb and Cr, the 99th percentile of the
colour of upscaled grey lines (largest minus smallest channel, in levels), and CPU seconds. Rows in
the file are not repeated, so that the run can be stopped and continued.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import torch
from PIL import Image, ImageDraw

from benchmarks.options import parser_of
from nas.data.store import open_set
from nas.measure.cost.counts import count
from nas.measure.latency.predict import LatencyModel
from nas.measure.tiling import upscale_picture
from nas.training.proxy.proxy import ProxyData, ProxyResult, ProxySettings, proxy_data, run_proxy
from search_spaces import Architecture, Stage, Tail, load_model
from teachers.loading import load_teacher


def _body(stem: str, width: int, depth: int, **fields: object) -> Architecture:
    stages = (Stage("conv", width, depth),)
    given = {"activation": "prelu", "residual": "bicubic", **fields}
    return Architecture(stem=stem, width=width, stages=stages, **given)  # type: ignore[arg-type]


BODIES = {
    "16x1": _body("conv", 16, 1),
    "16x4": _body("conv", 16, 4),
    "12x2, GELU, 1x1 tail": _body("conv", 12, 2, activation="gelu", tail=Tail(kernel=1)),
    "24x3, cascade of 8": _body("conv", 24, 3, tail=Tail(cascade=8)),
    "unshuffle 2, 26x2": _body("unshuffle2", 26, 2),
    "unshuffle 2, 32x4, bilinear": _body(
        "unshuffle2", 32, 4, activation="relu", skip="long", residual="bilinear"
    ),
    "unshuffle 3, 32x2": _body("unshuffle3", 32, 2),
    "strided, 28x3, nearest": _body("strided2x4", 28, 3, activation="gelu", residual="nearest"),
}
"""Channels x blocks, at LR resolution unless it says so; over bicubic interpolation likewise."""

ARMS: dict[str, tuple[dict[str, str], float]] = {
    "RGB": ({}, 0.0),
    "RGB, grey patches": ({}, ProxySettings().grey),
    "luma": ({"output": "luma"}, 0.0),
    "luma of luma": ({"output": "luma", "inputs": "luma"}, 0.0),
}
"""Fields of the architecture, and the share of grey patches."""


def grey_lines() -> np.ndarray:
    """Draw grey lines on white, 128x128, as after light compression."""
    drawn = Image.new("L", (512, 512), 255)
    for place in range(40):
        line = [(place * 30 - 300, 0), (place * 28, 512)]
        ImageDraw.Draw(drawn).line(line, fill=(place * 4) % 90, width=1 + place % 4)
    return np.asarray(drawn.convert("RGB").resize((128, 128), Image.Resampling.LANCZOS))


def trained(architecture: Architecture, data: ProxyData, settings: ProxySettings) -> ProxyResult:
    """Return the end of a proxy run."""
    *_, result = run_proxy(architecture, data, settings)
    assert isinstance(result, ProxyResult)
    return result


def tint(result: ProxyResult) -> float:
    """Return the 99th percentile of the colour of upscaled grey lines, in levels of 255."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(result.state)
        drawn = upscale_picture(load_model(path).network, grey_lines()).int()
    return float(np.percentile((drawn.amax(-1) - drawn.amin(-1)).numpy(), 99))


def row(body: str, arm: str, seed: int, data: ProxyData, steps: int) -> dict[str, object]:
    """Train one body with one output."""
    fields, grey = ARMS[arm]
    settings = ProxySettings(steps=steps, seed=seed, grey=grey)
    begun = time.process_time()
    result = trained(replace(BODIES[body], **fields), data, settings)  # type: ignore[arg-type]
    return {
        "body": body,
        "arm": arm,
        "seed": seed,
        "gain_db": result.gain_db,
        "gain_cb_db": result.gain_cb_db,
        "gain_cr_db": result.gain_cr_db,
        "tint": tint(result),
        "seconds": time.process_time() - begun,
    }


def table(rows: list[dict[str, object]]) -> Iterator[str]:
    """Return means over seeds as a Markdown table."""
    model = LatencyModel.load()
    yield "| body | output | Y (± over seeds) | Cb | Cr | tint | ms | parameters | s |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for body, architecture in BODIES.items():
        for arm, (fields, _) in ARMS.items():
            found = [r for r in rows if (r["body"], r["arm"]) == (body, arm)]
            if not found:
                continue

            def mean(name: str, found: list[dict[str, object]] = found) -> float:
                return fmean(float(str(each[name])) for each in found)

            gains = [float(str(each["gain_db"])) for each in found]
            spread = f" ±{stdev(gains):.3f} ({len(gains)})" if len(gains) > 1 else ""
            made = replace(architecture, **fields)  # type: ignore[arg-type]
            yield (
                f"| {body} | {arm} | {mean('gain_db'):+.3f}{spread} | {mean('gain_cb_db'):+.3f} | "
                f"{mean('gain_cr_db'):+.3f} | {mean('tint'):.0f} | {model.predict(made).ms:.2f} | "
                f"{count(made).params:,} | {mean('seconds'):.0f} |"
            )


def main() -> None:
    """Train what is missing and print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="prepared dataset")
    parser.add_argument("--out", type=Path, default=Path("colour.jsonl"))
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = proxy_data(open_set(options.data), load_teacher("hat-tiny"), "cpu")
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(r["body"], r["arm"], r["seed"]) for r in rows}
    for seed in range(options.seeds):
        for body in BODIES:
            for arm in ARMS:
                if (body, arm, seed) not in done:
                    rows.append(row(body, arm, seed, data, options.steps))
                    with options.out.open("a") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
