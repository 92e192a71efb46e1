"""Upscaling pictures, against the tools that people would otherwise use.

    python benchmarks/upscale.py [--threads N]

A 960x540 picture in memory through ``nas.deploy.upscale``, against Pillow's Lanczos and against
onnxruntime running the exported file with the conversions from and to bytes that it needs; then
files, AVIF to PNG, decoded and encoded beside the network and one after the other. Megapixels are
those of the result.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data

from nas.deploy.export import export
from nas.deploy.jobs import Job
from nas.deploy.pictures import Picture, read_picture, write_picture
from nas.deploy.upscale import MAX_PIXELS, Settings, ready, upscale, upscale_files
from search_spaces import Model, Network, build, fuse, published

NAMES = ("RepTCN", "ANUNet", "XiaomiMM")
FILES = 8


def main() -> None:
    """Print one line a network, and one for files."""
    import onnxruntime

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    lr = Image.fromarray(data.astronaut()).resize((960, 540))
    pixels = np.asarray(lr)
    lanczos = _pace(lambda: lr.resize((3840, 2160), Image.Resampling.LANCZOS))
    print(f"{threads} threads, 960x540 to 3840x2160, megapixels a second of the result")
    print(f"{'Pillow Lanczos':12} {lanczos:7.1f}")
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            model = Model(name, fuse(build(published[name].architecture, seed=0)))
            network = ready(model.network, "cpu")
            path = Path(folder, f"{name}.onnx")
            export(model, path, "onnx")
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            session = onnxruntime.InferenceSession(str(path), options)
            ours = _pace(lambda network=network: upscale(network, Picture(pixels)))
            theirs = _pace(lambda session=session: _by_onnxruntime(session, pixels))
            print(
                f"{name:12} {ours:7.1f}   onnxruntime {theirs:7.1f}   "
                f"ratio {ours / theirs:5.2f}   to Lanczos {ours / lanczos:5.2f}"
            )
        _files(ready(fuse(build(published[NAMES[0]].architecture, seed=0)), "cpu"), lr, folder)


def _by_onnxruntime(session: object, pixels: np.ndarray) -> np.ndarray:
    x = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32) / 255
    (out,) = session.run(None, {"lr": x})  # type: ignore[attr-defined]
    return (out[0] * 255).round().astype(np.uint8).transpose(1, 2, 0)


def _files(network: Network, lr: Image.Image, folder: str) -> None:
    jobs = [Job(Path(folder, f"{i}.avif"), Path(folder, f"{i}.png")) for i in range(FILES)]
    for job in jobs:
        lr.save(job.source, quality=60)
    settings = Settings(force=True)

    def in_turn() -> None:
        for job in jobs:
            picture = read_picture(job.source, MAX_PIXELS)
            write_picture(upscale(network, picture), job.target, "png")

    overlapped = _pace(lambda: list(upscale_files(jobs, network, settings)), FILES, repeats=3)
    one_by_one = _pace(in_turn, FILES, repeats=3)
    print(
        f"{'files':12} {overlapped:7.1f}   one by one  {one_by_one:7.1f}   "
        f"ratio {overlapped / one_by_one:5.2f}   ({NAMES[0]}, AVIF to PNG)"
    )


def _pace(work: Callable[[], object], pictures: int = 1, repeats: int = 5) -> float:
    """Megapixels a second of the fastest of several runs."""
    work()
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return pictures * 3840 * 2160 / 1e6 / min(taken)


if __name__ == "__main__":
    main()
