"""The deploy form against the limit of memory: reading the picture and writing the result once.

    python -m benchmarks.deploy_tail [--networks A,B] [--size 540x960] [--threads N] [--json FILE]

Small networks are bound by memory, and their ends most: what leaves them has 16 times the numbers
of what came in. Each row is one form of a network, run one way, from a picture on the device:

- ``deploy form`` is the network as its file holds it, ``simplest`` the same after
  `search_spaces.networks.inference`, ``one kernel`` that with its end in Triton (CUDA with Triton
  only).
- To ``floats`` the result is (1, 3, 4H, 4W) in the precision of the network; to ``bytes`` it is
  uint8 (4H, 4W, 3), clamped and rounded, as a picture is written.

GB/s are the bytes that must move, picture in and result out, over the time of the whole network.
``of copy`` compares with a copy that moves as many bytes, on the same device in the same run: 1
would be a network that costs no more than touching its picture and result. On CUDA all is FP16
and a device is held alone; ``graph`` is a CUDA graph. On a CPU all is FP32, ``strips`` is how
pictures are upscaled there, and the processor's time is told beside the wall's, as it depends less
on what else runs.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from benchmarks.options import add_json, add_networks, add_size, alone, parser_of, write_json
from nas.deploy.fused_tail import fused_end
from nas.deploy.uint8_network import EightBit
from nas.deploy.upscale import STRIP_PIXELS
from nas.measure.device import usable_device
from nas.measure.device_lock import exclusive
from nas.measure.latency.measure import versions
from nas.measure.latency.timers import graph_sampler
from nas.measure.tiling import to_uint8, upscale_picture
from search_spaces import Network, build, fuse, published
from search_spaces.networks.inference import simplified

NAMES = ("RepTCN", "URPNet", "ANUNet")
COMPILED = ("RepTCN", "URPNet")
"""Compiling takes seconds each."""


Times: TypeAlias = tuple[float, float | None]
"""Milliseconds of the wall's time, and of the processor's on a CPU."""


@dataclass(frozen=True)
class Row:
    """One network in one form, run one way."""

    network: str
    output: str
    form: str
    way: str
    runtime_ms: float
    cpu_ms: float | None
    """None on CUDA."""
    gb_per_s: float
    of_copy: float


class ToBytes(nn.Module):
    """A network's floats as bytes, the usual way."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(1, 3, H, W) in [0, 1] to uint8 (4H, 4W, 3)."""
        return to_uint8(self.network(x)[0]).contiguous()


class Simplest(nn.Module):
    """The same by `EightBit`."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.eight_bit = EightBit(network)

    def forward(self, x: Tensor) -> Tensor:
        """(1, 3, H, W) in [0, 1] to uint8 (4H, 4W, 3)."""
        return self.eight_bit.plain(x)


def main() -> None:
    """Print a line a row, and write all of them as JSON if asked."""
    parser = parser_of(__doc__)
    add_networks(parser, NAMES)
    add_size(parser)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    add_json(parser, "rows, versions and copies")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    height, width = options.size
    device = torch.device(usable_device())
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    print(f"{versions(device)}, {height}x{width}, {str(dtype).removeprefix('torch.')}")
    rows: list[Row] = []
    copies: dict[str, float] = {}
    failed: list[str] = []
    with exclusive(device), torch.no_grad():
        torch.backends.cudnn.benchmark = True
        noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
        picture = noise.to(device, dtype)
        for output in ("floats", "bytes"):
            moved = picture.nbytes + 16 * picture.numel() * (
                1 if output == "bytes" else dtype.itemsize
            )
            best, _ = copied(moved, device)
            copies[output] = moved / 1e6 / best
            print(f"copy that moves {moved / 1e6:.0f} MB: {best:.3f} ms, {copies[output]:.0f} GB/s")
            for name in options.networks:
                network = fuse(build(published[name].architecture, seed=0))
                for form, module in forms(network, output):
                    with alone(f"{name} to {output}, {form}", failed):
                        for way, (wall, cpu) in runtimes(name, form, module, picture):
                            shares = moved / 1e6 / wall, best / wall
                            rows.append(Row(name, output, form, way, wall, cpu, *shares))
                            print(line(rows[-1]), flush=True)
                    write_json(
                        options.json,
                        {
                            "device": str(device),
                            "versions": versions(device),
                            "threads": options.threads,
                            "size": [height, width],
                            "copy_gb_per_s": copies,
                            "rows": [asdict(row) for row in rows],
                        },
                    )
    if failed:
        sys.exit(1)


def forms(network: Network, output: str) -> Iterator[tuple[str, nn.Module]]:
    """The forms of a network that can be had here."""
    to_bytes = output == "bytes"
    yield "deploy form", ToBytes(network) if to_bytes else network
    yield "simplest", Simplest(network) if to_bytes else simplified(network)
    fused = fused_end(network, to_bytes=to_bytes) if torch.cuda.is_available() else None
    if fused is not None:
        yield "one kernel", fused


def runtimes(
    name: str, form: str, module: nn.Module, picture: Tensor
) -> Iterator[tuple[str, Times]]:
    """Milliseconds of the wall's and the processor's time, by the way of running."""
    module = copy.deepcopy(module).to(picture.device, picture.dtype).eval()
    yield "eager", pace(lambda: module(picture), picture.device)
    last: Any = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    interleaved = picture.contiguous(memory_format=torch.channels_last)
    yield "channels_last", pace(lambda: last(interleaved), picture.device)
    if picture.device.type == "cpu":
        if isinstance(module, ToBytes | Simplest):
            yield "strips", pace(by_strips(last, picture), picture.device)
        return
    yield "graph", replayed(lambda: last(interleaved))
    if name in COMPILED and form != "one kernel":
        compiled = torch.compile(last, dynamic=False)
        try:
            compiled(interleaved)
        except Exception as fault:  # a machine without a C compiler
            print(f"{name} {form} cannot be compiled: {str(fault).splitlines()[0][:100]}")
        else:
            yield "compiled", pace(lambda: compiled(interleaved), picture.device)
            yield "compiled graph", replayed(lambda: compiled(interleaved))


def by_strips(module: ToBytes | Simplest, picture: Tensor) -> Callable[[], Tensor]:
    """The same by strips, whose maps stay in caches and in memory that is there already."""
    pixels = to_uint8(picture[0]).contiguous()
    if isinstance(module, Simplest):
        return lambda: module.eight_bit.upscaled(pixels, STRIP_PIXELS)
    return lambda: upscale_picture(module.network, pixels, strip_pixels=STRIP_PIXELS)


def copied(moved: int, device: torch.device) -> Times:
    """Milliseconds of a copy that reads half of the bytes and writes the other half."""
    source = torch.zeros(moved // 2, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    work = lambda: target.copy_(source)  # noqa: E731
    return pace(work, device) if device.type == "cpu" else replayed(work)


def pace(work: Callable[[], object], device: torch.device) -> Times:
    """Milliseconds of one run: of several in a row on CUDA, medians of single ones on a CPU."""
    for _ in range(3):
        work()
    if device.type == "cpu":
        walls, cpus = [], []
        for _ in range(7):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
        return 1e3 * median(walls), 1e3 * median(cpus)
    samples = []
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for _ in range(7):
        torch.cuda.synchronize()
        begin.record()
        for _ in range(20):
            work()
        end.record()
        end.synchronize()
        samples.append(begin.elapsed_time(end) / 20)
    return median(samples), None


def replayed(forward: Callable[[], Tensor]) -> Times:
    """Milliseconds of one replay of a CUDA graph."""
    sample = graph_sampler(forward)
    return median(sample() for _ in range(7)), None


def line(row: Row) -> str:
    """A row for people."""
    cpu = f" ({row.cpu_ms:7.1f} ms CPU)" if row.cpu_ms else ""
    return (
        f"{row.network:8} to {row.output:6} {row.form:11} {row.way:14} {row.runtime_ms:8.3f} ms"
        f"{cpu} {row.gb_per_s:8.1f} GB/s   of copy {row.of_copy:5.3f}"
    )


if __name__ == "__main__":
    main()
