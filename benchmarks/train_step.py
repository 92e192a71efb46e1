"""A step of the proxy run, against the field's usual training loop.

    python -m benchmarks.train_step [--seconds 4] [--threads 1] [--workers N] [--json FILE]

The usual loop is built as BasicSR's trainer is, by its published defaults: sub-images of 480 pixels
with their LR, read from PNG files by the worker processes of a DataLoader, a random crop, flips and
a quarter turn on the CPU, the network eager in FP32 in its training form, L1 loss, Adam, the
loss read back at every step, a moving average of all parameters one by one, cuDNN's autotuning.
Ours is `nas.training.proxy.proxy` as a search runs it.

What differs, beside how the same thing is done:

- Ours trains the deploy form: branches that fold into one convolution cost time, and in short runs
  moved results by less than the seed. That is a choice of recipe. ``same form`` is the usual loop
  with the deploy form.
- Ours moves kernels by Muon, which costs more than Adam, and clips. ``our Adam`` is ours without.
- Ours fits a teacher beside the truth, out of a cache; the usual loop has none. (The teacher here
  is a copy of the truth, which takes as long.)
- Ours crops and turns a batch as one; the usual loop each picture by itself.
- PNG files are read by Pillow, BasicSR reads them by OpenCV. All are in the page cache.
- On a CPU the workers of the usual loop may use other cores, and ours has none.

On a CPU the processor's time of the training process is told beside the wall's: it depends less on
what else runs. Time in kernels is what `torch.profiler` says: operators' own on a CPU, kernels and
copies on CUDA. The rest is what a step takes without the profiler, waiting for data included.
"""

from __future__ import annotations

import copy
import gc
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, Dataset

from benchmarks.options import add_json, add_networks, alone, numbers, parser_of, write_json
from nas.data.sample import sample_set
from nas.data.store import PairSet, open_set
from nas.data.windows import windows
from nas.measure.device import usable_device
from nas.measure.latency.measure import versions
from nas.training.core.optim import Optimizer
from nas.training.data.patches import PatchBank, cut_patches
from nas.training.proxy import proxy
from nas.training.proxy.proxy import ProxySettings, ProxyTraining, starting_network
from nas.training.proxy.step import Learner
from search_spaces import Architecture, Network, Stage, build, fuse, published

NAMES = ("RepTCN", "ANUNet", "RVSR", "16x4", "16x4 luma", "32x8", "32x8 luma")


def _body(width: int, depth: int, **fields: str) -> Architecture:
    stages = (Stage("conv", width, depth),)
    return Architecture("conv", width, stages, residual="bicubic", **fields)  # type: ignore[arg-type]


NETWORKS = {
    **{name: each.architecture for name, each in published.items()},
    **{f"{w}x{d}": _body(w, d) for w, d in ((16, 4), (32, 8))},
    **{f"{w}x{d} luma": _body(w, d, output="luma") for w, d in ((16, 4), (32, 8))},
}
"""By name: the survey's, and channels x blocks at LR resolution over bicubic interpolation, whose
time is all in convolutions; of RGB or of luma alone."""
PATCH = 64
QP = 39
STEPS = 100_000
"""Length of the run that the steps are of: it says how long trying ways on a GPU may take."""
PICTURES = 1_000_000
"""Length of an epoch of the usual loop: sub-images are shown again and again."""


@dataclass(frozen=True)
class Row:
    """Both loops for one network and batch."""

    network: str
    batch: int
    device: str
    way: str
    usual_steps_per_s: float
    same_form_steps_per_s: float
    our_adam_steps_per_s: float
    ours_steps_per_s: float
    ratio: float
    usual_cpu_ms: float
    ours_cpu_ms: float
    usual_outside_kernels: float
    ours_outside_kernels: float
    ours_start_s: float


def main() -> None:
    """Measure and print a line a network and batch."""
    parser = parser_of(__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--threads", type=int, default=1, help="of the training on a CPU")
    parser.add_argument(
        "--workers", type=int, default=min(6, len(os.sched_getaffinity(0))), help="that read PNGs"
    )
    add_networks(parser, NAMES)
    parser.add_argument("--batches", type=numbers, default="16,64")
    add_json(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = usable_device()
    print(f"{versions(device)}, {options.threads} threads, {options.workers} workers", flush=True)
    print(f"load {os.getloadavg()[0]:.1f}, LR patch {PATCH}, steps a second", flush=True)
    pair_set = open_set(sample_set())
    rows: list[Row] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="sub-images-") as folder:
        count = write_sub_images(pair_set, Path(folder))
        print(f"{count} sub-images", flush=True)
        bank = bank_of(pair_set, device)
        for name in options.networks:
            for batch in options.batches:
                usual = Usual(Path(folder), batch, options.workers)
                with alone(f"{name} batch {batch}", failed):
                    rows.append(measure(name, usual, bank, options.seconds))
                    print(line(rows[-1]), flush=True)
                write_json(options.json, [asdict(row) for row in rows])
    if failed:
        sys.exit(1)


def line(row: Row) -> str:
    """A row to read."""
    processor = ""
    if row.device == "cpu":
        ratio = row.usual_cpu_ms / row.ours_cpu_ms
        processor = (
            f"   processor {row.usual_cpu_ms:.0f} ms, ours {row.ours_cpu_ms:.0f}, ratio {ratio:.2f}"
        )
    return (
        f"{row.network:8} batch {row.batch:2}   usual {row.usual_steps_per_s:7.2f}   "
        f"same form {row.same_form_steps_per_s:7.2f}   our Adam {row.our_adam_steps_per_s:7.2f}   "
        f"ours {row.ours_steps_per_s:7.2f}   ratio {row.ratio:5.2f}{processor}   "
        f"outside kernels {row.usual_outside_kernels:.0%}, ours {row.ours_outside_kernels:.0%}"
        f"   ({row.way}; started in {row.ours_start_s:.1f} s)"
    )


def measure(name: str, loop: Usual, bank: PatchBank, seconds: float) -> Row:
    """Both loops for one network, so many seconds each."""
    architecture, batch = NETWORKS[name], loop.batch
    device = bank.lr.device
    training_form = build(architecture, seed=0)
    usual, usual_cpu, usual_outside = pace_of_usual(training_form, loop, device, seconds)
    same_form = fuse(training_form).requires_grad_(True)
    form, *_ = pace_of_usual(same_form, loop, device, seconds, profiled=False)
    settings = ProxySettings(steps=STEPS, batch=batch, patch=PATCH)
    began = time.perf_counter()
    training = ProxyTraining(starting_network(architecture, bank, settings), bank, settings)
    start = time.perf_counter() - began
    ours, ours_cpu = pace(training.step, seconds, device)
    outside = outside_kernels(training.step, 1 / ours, device)
    way = training.steps.way
    del training
    with mock.patch.object(proxy, "Learner", _AdamLearner):
        training = ProxyTraining(starting_network(architecture, bank, settings), bank, settings)
    adam, _ = pace(training.step, seconds, device)
    return Row(
        network=name,
        batch=batch,
        device=device.type,
        way=way,
        usual_steps_per_s=usual,
        same_form_steps_per_s=form,
        our_adam_steps_per_s=adam,
        ours_steps_per_s=ours,
        ratio=ours / usual,
        usual_cpu_ms=1e3 * usual_cpu,
        ours_cpu_ms=1e3 * ours_cpu,
        usual_outside_kernels=usual_outside,
        ours_outside_kernels=outside,
        ours_start_s=start,
    )


def pace(step: Callable[[], None], seconds: float, device: torch.device) -> tuple[float, float]:
    """Steps a second, and seconds of the processor a step."""
    for _ in range(2):
        step()
    wait(device)
    began, cpu, done = time.perf_counter(), time.process_time(), 0
    while done < 2 or time.perf_counter() - began < seconds:
        step()
        done += 1
    wait(device)
    return done / (time.perf_counter() - began), (time.process_time() - cpu) / done


def outside_kernels(step: Callable[[], None], seconds: float, device: torch.device) -> float:
    """The share of a step's time in which no kernel runs.

    Args:
        step: does a step.
        seconds: what one takes without the profiler.
        device: where kernels run.
    """
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    steps = 10 if device.type == "cuda" else 2
    with profile(activities=activities) as profiled:
        for _ in range(steps):
            step()
        wait(device)
    if device.type == "cuda":
        kernels = sum(
            event.time_range.elapsed_us()
            for event in profiled.events()
            if event.device_type == torch.autograd.DeviceType.CUDA
            and not getattr(event, "is_user_annotation", False)
        )
    else:
        averages = profiled.key_averages()
        kernels = sum(e.self_cpu_time_total for e in averages if e.key.startswith("aten::"))
    return max(0.0, 1 - kernels / 1e6 / (steps * seconds))


def wait(device: torch.device) -> None:
    """Until all that was launched is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def bank_of(pair_set: PairSet, device: str) -> PatchBank:
    """Patches of the sample set, large enough to crop from, with a stand-in for a teacher."""
    seen = windows(pair_set.train, proxy.TRAINING_AREA)
    bank = cut_patches(seen, pair_set.qps, side=PATCH + 8, limit=256)
    return PatchBank(bank.lr, bank.hr, teacher=bank.hr.clone()[:, None]).to(device)


class _AdamLearner(Learner):
    """Moves all parameters by Adam."""

    def __init__(self, network: Network, *arguments: Any, **options: Any) -> None:
        super().__init__(network, *arguments, **options)
        self._optimizer = Optimizer(self._parameters, muon=False, tensor_rates=True)


# The usual loop.


@dataclass(frozen=True)
class Usual:
    """What the usual loop reads: sub-images in a folder, in batches, by so many processes."""

    folder: Path
    batch: int
    workers: int


def write_sub_images(pair_set: PairSet, folder: Path, side: int = 480, stride: int = 240) -> int:
    """Cut training pictures as BasicSR's script cuts DIV2K, and return how many there are."""
    for part in ("hr", "lr"):
        (folder / part).mkdir()
    count = 0
    for picture in pair_set.train:
        hr, lr = picture.hr(), picture.lr(QP if QP in pair_set.qps else pair_set.qps[0])
        for top in range(0, picture.height - side + 1, stride):
            for left in range(0, picture.width - side + 1, stride):
                large = hr[top : top + side, left : left + side]
                small = lr[top // 4 : (top + side) // 4, left // 4 : (left + side) // 4]
                for part, pixels in (("hr", large), ("lr", small)):
                    Image.fromarray(pixels).save(
                        folder / part / f"{count:04}.png", compress_level=3
                    )
                count += 1
    return count


class SubImages(Dataset):
    """Pairs of crops out of sub-images, as floats."""

    def __init__(self, folder: Path, patch: int, length: int) -> None:
        self.names = sorted(path.name for path in (folder / "hr").iterdir())
        self.folder, self.patch, self.length = folder, patch, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        name = self.names[index % len(self.names)]
        lr, hr = (self._read(part, name) for part in ("lr", "hr"))
        top = random.randint(0, lr.shape[0] - self.patch)
        left = random.randint(0, lr.shape[1] - self.patch)
        lr = lr[top : top + self.patch, left : left + self.patch]
        hr = hr[4 * top : 4 * (top + self.patch), 4 * left : 4 * (left + self.patch)]
        turns = [random.random() < 0.5 for _ in range(3)]
        return {"lq": self._tensor(lr, turns), "gt": self._tensor(hr, turns)}

    def _read(self, part: str, name: str) -> np.ndarray:
        with Image.open(self.folder / part / name) as picture:
            return np.asarray(picture, dtype=np.float32) / 255

    @staticmethod
    def _tensor(pixels: np.ndarray, turns: list[bool]) -> Tensor:
        mirrored, flipped, transposed = turns
        pixels = pixels[:, ::-1] if mirrored else pixels
        pixels = pixels[::-1] if flipped else pixels
        pixels = pixels.transpose(1, 0, 2) if transposed else pixels
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def pace_of_usual(
    network: Network,
    loop: Usual,
    device: torch.device,
    seconds: float,
    *,
    profiled: bool = True,
) -> tuple[float, float, float]:
    """Steps a second, seconds of the processor a step, share of time outside kernels."""
    loader = DataLoader(
        SubImages(loop.folder, PATCH, length=PICTURES),
        batch_size=loop.batch,
        shuffle=True,
        num_workers=loop.workers,
        drop_last=True,
        persistent_workers=loop.workers > 0,
    )
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    batches = iter(loader)
    steps = usual_steps(network, batches, device)
    try:
        found, cpu = pace(lambda: next(steps), seconds, device)
        outside = outside_kernels(lambda: next(steps), 1 / found, device) if profiled else 0.0
    finally:
        torch.backends.cudnn.benchmark = before
        steps.close()
        del batches, loader
        gc.collect()  # and with them the workers
    return found, cpu, outside


def usual_steps(
    network: nn.Module, batches: Iterator[dict[str, Tensor]], device: torch.device
) -> Generator[None]:
    """Train, a step at each ``next``."""
    network = network.to(device).train()
    average = copy.deepcopy(network).eval()
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.9, 0.99))
    criterion = nn.L1Loss()
    log = {}
    for data in batches:
        lq, gt = data["lq"].to(device), data["gt"].to(device)
        optimiser.zero_grad()
        loss = criterion(network(lq), gt)
        loss.backward()
        optimiser.step()
        log["l_pix"] = loss.mean().item()
        averages, live = dict(average.named_parameters()), dict(network.named_parameters())
        for name in averages:
            averages[name].data.mul_(0.999).add_(live[name].data, alpha=0.001)
        yield


if __name__ == "__main__":
    main()
