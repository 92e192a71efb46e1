"""Preparing a dataset, compared with a shell loop of the survey's command over images and QPs.

    python -m benchmarks.prepare [HR_DIR] [--workers N] [--rounds N]

The loop starts ffmpeg once per image and QP and decodes each image five times. Preparing decodes it
once, and also writes what the loop does not: the HR copy, the clean LR, the hashes. Without a
folder, 4K images are tiled from photos of scikit-image. Both alternate, and the minimum of each
counts. Wall seconds depend on other processes; CPU seconds much less.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.options import parser_of
from nas.data.encode import LR_FILTER, QPS, encoder, ffmpeg_binary
from nas.data.image_files import find_sources
from nas.data.prepare import prepare


def main() -> None:
    """Time both and print the ratio."""
    parser = parser_of(__doc__)
    parser.add_argument("hr_dir", nargs="?", type=Path)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        hr_dir = options.hr_dir or _tiled(work / "hr")
        pictures = [source.path for source in find_sources(hr_dir, leave_out=work / "set")]
        rounds: dict[str, list[tuple[float, float]]] = {"loop": [], "prepare": [], "again": []}
        for number in range(options.rounds):
            out = work / f"set{number}"

            def make(out: Path = out) -> None:
                prepare(hr_dir, out, workers=options.workers, validation=0)

            rounds["loop"].append(_seconds(lambda: _shell_loop(pictures, work)))
            rounds["prepare"].append(_seconds(make))
            rounds["again"].append(_seconds(make))
            shutil.rmtree(out)
    best = {name: tuple(map(min, zip(*seconds, strict=True))) for name, seconds in rounds.items()}
    loop, ours = best["loop"], best["prepare"]
    print(f"{encoder()}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    print(
        f"{len(pictures)} pictures, QPs {QPS}, {options.workers} workers, {options.rounds} rounds"
    )
    for name, (wall, processor) in best.items():
        each = wall / len(pictures)
        print(f"{name:8} {wall:7.2f} s wall {processor:7.2f} s processor {each:6.2f} s a picture")
    print(f"ratio    {loop[0] / ours[0]:7.2f}   wall {loop[1] / ours[1]:7.2f}   processor")


def _tiled(folder: Path) -> Path:
    """Write two 3840x2160 images tiled from photos."""
    from skimage import data

    folder.mkdir()
    for photograph in (data.coffee, data.astronaut):
        tile = photograph()
        rows, columns = -(-2160 // tile.shape[0]), -(-3840 // tile.shape[1])
        picture = np.tile(tile, (rows, columns, 1))[:2160, :3840]
        Image.fromarray(picture).save(folder / f"{photograph.__name__}.png", compress_level=1)
    return folder


def _shell_loop(pictures: list[Path], folder: Path) -> None:
    for picture in pictures:
        for qp in QPS:
            command = [ffmpeg_binary(), "-hide_banner", "-y", "-loglevel", "error", "-i", picture]
            command += ["-vf", LR_FILTER, "-c:v", "libsvtav1", "-qp", str(qp), "-preset", "5"]
            subprocess.run([*command, folder / "lr.avif"], check=True, capture_output=True)


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall seconds, and CPU seconds of this process and its children."""
    start, used = time.perf_counter(), _processor()
    work()
    return time.perf_counter() - start, _processor() - used


def _processor() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
