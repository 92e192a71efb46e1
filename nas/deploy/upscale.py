"""Upscaling image files; decoding and encoding run beside the network."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from nas.common.text import Progress, silent
from nas.data.decode import UnusableImage
from nas.deploy.fused_tail import fuse_tail, is_faster
from nas.deploy.images import Picture, read_picture, write_picture
from nas.deploy.paths import Job
from nas.deploy.uint8_network import Uint8Network
from nas.measure.device import keep_memory
from search_spaces.architecture import SCALE
from search_spaces.networks.network import Network

S = TypeVar("S")
T = TypeVar("T")

MAX_PIXELS = 40_000_000
"""Default limit of an input: somewhat above 8K, which becomes half a gigapixel."""

STRIP_PIXELS = 2**16
"""LR pixels at once on a CPU: caches then hold the maps, 1.1 to 1.4 times as fast as 2**18."""

STRIP_PIXELS_CUDA = 2**21
"""The same on CUDA: a whole 1080p image."""

_SMALLEST_STRIP = 2**12
_TRIAL = (540, 960)
_AHEAD = 2  # images decoded before their turn, and as many waiting to be encoded


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a job.

    Attributes:
        job: which.
        status: ``made``, ``there`` (the target existed already) or ``failed``.
        size: height and width of the result; None where none was made.
        notes: what was done beyond upscaling; the reason of a failure.
    """

    job: Job
    status: str
    size: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of reading, upscaling and writing images.

    Attributes:
        format: one of `nas.deploy.images.FILE_FORMATS`.
        quality: 1 to 100, or None for the format's default.
        strip_pixels: LR pixels that pass through the network at once, where it allows strips.
        max_pixels: larger images are refused.
        force: whether existing targets are made again.
    """

    format: str = "png"
    quality: int | None = None
    strip_pixels: int = STRIP_PIXELS
    max_pixels: int = MAX_PIXELS
    force: bool = False


def ready(network: Network, device: str, *, half: bool = False) -> Uint8Network:
    """Return a network for images, on a device, in the memory layout that is fastest there.

    channels_last makes the survey's networks 1.1 to 1.4 times as fast on CPUs, and suits FP16
    convolutions on CUDA. There a fused tail is used if it is faster in a short trial.
    """
    keep_memory()
    dtype = torch.float16 if half else torch.float32

    def placed(module: nn.Module) -> Any:
        return module.to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore

    twin: Uint8Network = placed(Uint8Network(network).eval())
    if twin.weight.is_cuda and (fused := fuse_tail(network, to_bytes=True)) is not None:
        fused = placed(fused)
        if is_faster(fused, twin.plain, torch.rand(1, 3, *_TRIAL, device=device, dtype=dtype)):
            twin.fused = fused
    return twin


def upscale(
    network: Uint8Network, picture: Picture, *, strip_pixels: int = STRIP_PIXELS
) -> Picture:
    """Return an image at 4 times its sides.

    Transparency is upscaled by Lanczos: it keeps flat areas flat, clear pixels clear and opaque
    ones opaque to the last bit, which a network trained on photographs does not.

    Raises:
        UnusableImage: there is not enough memory, even in strips.
    """
    colour, alpha = picture.colour, picture.alpha
    if alpha is not None:
        colour = spread(colour, alpha)
        height, width = alpha.shape
        size = (SCALE * width, SCALE * height)
        alpha = np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.LANCZOS))
    while True:
        try:
            larger = network.upscaled(colour, strip_pixels)
            return replace(picture, colour=larger.cpu().numpy(), alpha=alpha)
        except (RuntimeError, MemoryError) as fault:
            if not _out_of_memory(fault):
                raise
            strip_pixels = min(strip_pixels, colour.shape[0] * colour.shape[1]) // 4
            if strip_pixels < _SMALLEST_STRIP or network.field is None:
                raise UnusableImage("not enough memory to upscale it") from fault


def spread(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Give transparent pixels the colours of visible ones around them.

    Their stored colour is arbitrary, often black, and would bleed into visible edges. Each gets the
    finest available mean of visible pixels.

    Args:
        colour: uint8 (H, W, 3).
        alpha: uint8 (H, W).

    Returns:
        uint8 (H, W, 3), equal to ``colour`` wherever ``alpha`` is not 0.
    """
    if alpha.min() > 0 or alpha.max() == 0:
        return colour
    weight = torch.tensor(alpha, dtype=torch.float32)[None, None].div(255)
    filled = _filled(torch.tensor(colour).permute(2, 0, 1)[None].float(), weight)
    around = filled[0].round().to(torch.uint8).permute(1, 2, 0).numpy()
    return np.where(alpha[:, :, None] > 0, colour, around)


def _filled(colour: Tensor, weight: Tensor) -> Tensor:
    height, width = weight.shape[-2:]
    if bool(weight.gt(0).all()) or height == width == 1:
        return colour
    total = F.avg_pool2d(weight, 2, ceil_mode=True)
    means = F.avg_pool2d(colour * weight, 2, ceil_mode=True) / total.clamp(min=1e-9)
    coarse = _filled(means, total).repeat_interleave(2, 2).repeat_interleave(2, 3)
    return torch.where(weight > 0, colour, coarse[..., :height, :width])


def upscale_files(
    jobs: Sequence[Job],
    network: Uint8Network,
    settings: Settings,
    *,
    progress: Progress = silent,
) -> Iterator[Result]:
    """Upscale files one by one and yield the results in order.

    The next images are decoded and the last ones encoded beside the network. An unusable image does
    not stop the others.

    Raises:
        OSError: the disk is full, or a file cannot be written.
    """
    readers, writers = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    begun, pixels = time.perf_counter(), 0
    try:
        read = _ahead(readers, partial(_read, settings=settings), jobs)
        larger = (_upscaled(each, network, settings) for each in read)
        written = _ahead(writers, partial(_write, settings=settings), larger)
        for done, result in enumerate(written, 1):
            pixels += math.prod(result.size) if result.size else 0
            pace = pixels / 1e6 / (time.perf_counter() - begun)
            progress(done, len(jobs), f"{pace:.1f} megapixels/s")
            yield result
    finally:
        readers.shutdown(cancel_futures=True)
        writers.shutdown(cancel_futures=True)


def _ahead(executor: Executor, function: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """``map(function, items)`` where the executor is at work on the next few items already."""
    waiting: deque[Future[T]] = deque()
    for item in items:
        waiting.append(executor.submit(function, item))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@dataclass(frozen=True, slots=True)
class _Underway:
    """A job whose image is read, or read and upscaled."""

    job: Job
    picture: Picture


def _read(job: Job, settings: Settings) -> _Underway | Result:
    if job.target.exists() and not settings.force:
        return Result(job, "there")
    try:
        return _Underway(job, read_picture(job.source, settings.max_pixels))
    except UnusableImage as fault:
        return Result(job, "failed", notes=(str(fault),))


def _upscaled(
    underway: _Underway | Result, network: Uint8Network, settings: Settings
) -> _Underway | Result:
    if isinstance(underway, Result):
        return underway
    try:
        larger = upscale(network, underway.picture, strip_pixels=settings.strip_pixels)
    except UnusableImage as fault:
        return Result(underway.job, "failed", notes=(str(fault),))
    return replace(underway, picture=larger)


def _write(underway: _Underway | Result, settings: Settings) -> Result:
    if isinstance(underway, Result):
        return underway
    job, picture = underway.job, underway.picture
    try:
        notes = write_picture(picture, job.target, settings.format, settings.quality)
    except UnusableImage as fault:
        return Result(job, "failed", notes=(str(fault),))
    height, width = picture.colour.shape[:2]
    return Result(job, "made", (height, width), (*picture.notes, *notes))


def _out_of_memory(fault: BaseException) -> bool:
    """Whether an allocation failed; not all of PyTorch and its libraries have a type for that."""
    known = isinstance(fault, MemoryError | torch.OutOfMemoryError)
    return known or any(sign in str(fault) for sign in ("allocate memory", "STATUS_ALLOC_FAILED"))
