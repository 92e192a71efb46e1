"""Upscaling images, compared with common tools.

    python -m benchmarks.upscale [--threads N]

A 960x540 image in memory through ``nas.deploy.upscale``, against Pillow's Lanczos and against
onnxruntime with the exported file and the conversions from and to bytes that it needs, alternating;
then files, AVIF to PNG, with decoding and encoding in parallel to the network and in sequence.
Megapixels are those of the result. The ratio of CPU time is printed too: it depends less on other
processes, particularly with one thread.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data

from benchmarks.options import parser_of
from nas.deploy.export import export
from nas.deploy.images import Picture, read_picture, write_picture
from nas.deploy.paths import Job
from nas.deploy.upscale import MAX_PIXELS, Settings, ready, upscale, upscale_files
from search_spaces import Model, Network, build, fuse, published

NAMES = ("RepTCN", "ANUNet", "XiaomiMM", "URPNet")
FILES = 8


def main() -> None:
    """Print a line per network, and one for files."""
    import onnxruntime

    parser = parser_of(__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    lr = Image.fromarray(data.astronaut()).resize((960, 540))
    pixels = np.asarray(lr)
    ((lanczos, _),) = _paces(lambda: lr.resize((3840, 2160), Image.Resampling.LANCZOS))
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
            (ours, our_cpu), (theirs, their_cpu) = _paces(
                lambda network=network: upscale(network, Picture(pixels)),
                lambda session=session: _by_onnxruntime(session, pixels),
            )
            print(
                f"{name:12} {ours:7.1f}   onnxruntime {theirs:7.1f}   ratio {ours / theirs:5.2f}   "
                f"by the processor's time {their_cpu / our_cpu:5.2f}   "
                f"to Lanczos {ours / lanczos:5.2f}",
                flush=True,
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

    (overlapped, _), (one_by_one, _) = _paces(
        lambda: list(upscale_files(jobs, network, settings)), in_turn, pictures=FILES, repeats=3
    )
    print(
        f"{'files':12} {overlapped:7.1f}   one by one  {one_by_one:7.1f}   "
        f"ratio {overlapped / one_by_one:5.2f}   ({NAMES[0]}, AVIF to PNG)"
    )


def _paces(
    *works: Callable[[], object], pictures: int = 1, repeats: int = 5
) -> list[tuple[float, float]]:
    """Return megapixels per second, and CPU seconds, of the fastest of several alternating runs."""
    taken: list[list[tuple[float, float]]] = [[] for _ in works]
    for _ in range(repeats + 1):
        for work, times in zip(works, taken, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
    fastest = [(min(t[0] for t in times[1:]), min(t[1] for t in times[1:])) for times in taken]
    return [(pictures * 3840 * 2160 / 1e6 / wall, cpu) for wall, cpu in fastest]


if __name__ == "__main__":
    main()
