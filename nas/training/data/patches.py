"""Training patches of proxy runs: cut once, shared by all processes, sampled on the device."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nas.common.checked_files import read_array, write_array
from nas.common.errors import InputError
from nas.common.files import cache_root, unwritable
from nas.common.text import Progress, silent
from nas.data.windows import Window, detail
from search_spaces.architecture import SCALE
from search_spaces.networks.parts import luma


@dataclass(frozen=True, slots=True)
class PatchBank:
    """P patches, all uint8 and on one device.

    Attributes:
        lr: (P, Q, 3, side, side), at Q compression levels.
        hr: (P, 3, 4 side, 4 side).
        teacher: the teacher's output: (P, T, 3, 4 side, 4 side), where T is Q if its input is
            compressed and 1 otherwise.
    """

    lr: Tensor
    hr: Tensor
    teacher: Tensor | None = None

    def to(self, device: str | torch.device) -> PatchBank:
        """The same patches on another device."""
        teacher = None if self.teacher is None else self.teacher.to(device)
        return PatchBank(self.lr.to(device), self.hr.to(device), teacher)

    @property
    def side(self) -> int:
        """LR side of a patch."""
        return self.lr.shape[-1]


@dataclass(frozen=True, slots=True)
class PatchIndex:
    """Indices of the batch of one step.

    Crop and turn are those of the whole batch, which costs only one slice and one view.

    Attributes:
        places: N patches of the bank, on the CPU.
        levels: compression level of each.
        top: first row of the crop, in LR pixels of the patch.
        left: first column.
        turn: one of the eight rotations and reflections, 0 to 7.
    """

    places: Tensor
    levels: Tensor
    top: int
    left: int
    turn: int

    def numbers(self) -> Tensor:
        """All indices as 2 N + 3 numbers, for `DevicePatchSampler`."""
        crop = torch.tensor([self.top, self.left, self.turn])
        return torch.cat([self.places, self.levels, crop])


@dataclass(frozen=True, slots=True)
class PatchBatch:
    """Crops of one step, uint8. HR comes in pieces, so that views need no copy.

    Attributes:
        lr: (N, 3, patch, patch).
        hr: pieces (n, 3, 4 patch, 4 patch), N crops in total.
        teacher: as ``hr``; empty without a teacher.
    """

    lr: Tensor
    hr: tuple[Tensor, ...]
    teacher: tuple[Tensor, ...] = ()

    def greyed(self, count: int) -> PatchBatch:
        """The batch with the first ``count`` patches in grey."""
        if not count:
            return self
        (lr,) = _greyed((self.lr,), count)
        return PatchBatch(lr, _greyed(self.hr, count), _greyed(self.teacher, count))


def grey(pixels: Tensor) -> Tensor:
    """Replace the colours of uint8 (N, 3, H, W) by luma."""
    level = luma(pixels.to(torch.float32)).round_().clamp_(0, 255).to(torch.uint8)
    return level.expand(-1, 3, -1, -1)


def sample_indices(
    bank: PatchBank, size: int, patch: int, generator: torch.Generator
) -> PatchIndex:
    """Sample ``size`` patches and QPs, a crop of ``patch`` LR pixels and a turn, on the CPU."""
    places, levels = bank.lr.shape[:2]
    where = torch.randint(places, (size,), generator=generator)
    level = torch.randint(levels, (size,), generator=generator)
    spare = bank.side - patch + 1
    top, left, turn = (int(torch.randint(n, (), generator=generator)) for n in (spare, spare, 8))
    return PatchIndex(where, level, top, left, turn)


def gather_batch(bank: PatchBank, choice: PatchIndex, patch: int) -> PatchBatch:
    """Gather a batch; the HR pieces are single crops, views of the bank unless flipped.

    This is the fastest way on a CPU; a GPU would have to wait for the CPU.
    """
    rows, columns = (slice(start, start + patch) for start in (choice.top, choice.left))
    large = [slice(SCALE * start, SCALE * (start + patch)) for start in (choice.top, choice.left)]
    device = bank.lr.device
    lr = bank.lr[choice.places.to(device), choice.levels.to(device), :, rows, columns]

    def piece(pictures: Tensor, place: int) -> Tensor:
        return _turned(pictures[place : place + 1, :, large[0], large[1]], choice.turn)

    places, levels = choice.places.tolist(), choice.levels.tolist()
    hr = tuple(piece(bank.hr, place) for place in places)
    if bank.teacher is None:
        return PatchBatch(_turned(lr, choice.turn), hr)
    taught = bank.teacher.unbind(1)
    chosen = zip(places, levels, strict=True)
    teacher = tuple(piece(taught[level % len(taught)], place) for place, level in chosen)
    return PatchBatch(_turned(lr, choice.turn), hr, teacher)


def sample_batch(bank: PatchBank, size: int, patch: int, generator: torch.Generator) -> PatchBatch:
    """Sample indices and gather their batch."""
    return gather_batch(bank, sample_indices(bank, size, patch, generator), patch)


class DevicePatchSampler:
    """Gathers batches by indices that are on the device, without waiting for the CPU."""

    def __init__(self, bank: PatchBank, patch: int) -> None:
        self._bank, self._patch = bank, patch
        self._channels = torch.arange(3, device=bank.lr.device)[None, :, None]
        self._lr = _crop_cells(bank.side, patch).to(bank.lr.device)
        self._hr = _crop_cells(SCALE * bank.side, SCALE * patch).to(bank.lr.device)

    def __call__(self, numbers: Tensor) -> PatchBatch:
        """The batch of `PatchIndex.numbers`; HR is a single piece."""
        size = (len(numbers) - 3) // 2
        places, levels, (top, left, turn) = (
            numbers[:size, None, None],
            numbers[size : 2 * size, None, None],
            numbers[2 * size :].split(1),
        )
        bank = self._bank
        first = top * bank.side + left
        cells = self._lr.index_select(0, turn) + first
        lr = bank.lr.flatten(3)[places, levels, self._channels, cells]
        first = SCALE * (top * SCALE * bank.side + left)
        cells = self._hr.index_select(0, turn) + first

        sides = (SCALE * self._patch, SCALE * self._patch)
        hr = bank.hr.flatten(2)[places, self._channels, cells].unflatten(-1, sides)
        teacher: tuple[Tensor, ...] = ()
        if bank.teacher is not None:
            level = levels.remainder(bank.teacher.shape[1])
            taught = bank.teacher.flatten(3)[places, level, self._channels, cells]
            teacher = (taught.unflatten(-1, sides),)
        return PatchBatch(lr.unflatten(-1, (self._patch, self._patch)), (hr,), teacher)


def _greyed(pieces: tuple[Tensor, ...], count: int) -> tuple[Tensor, ...]:
    """Pieces of a batch with its first ``count`` crops in grey."""
    made = []
    for piece in pieces:
        part = min(count, len(piece))
        count -= part
        made.append(torch.cat([grey(piece[:part]), piece[part:]]) if part else piece)
    return tuple(made)


def _crop_cells(side: int, length: int) -> Tensor:
    """Flat indices (8, length^2) of a crop at the corner of a square, for each turn."""
    crop = torch.arange(side * side).view(side, side)[:length, :length]
    return torch.stack([_turned(crop, turn).flatten() for turn in range(8)])


def _turned(pixels: Tensor, turn: int) -> Tensor:
    if turn & 4:
        pixels = pixels.transpose(-1, -2)
    flips = [axis for axis, bit in ((-1, 1), (-2, 2)) if turn & bit]
    return pixels.flip(flips) if flips else pixels


def cut_patches(
    pictures: Sequence[Window],
    qps: Sequence[int | None],
    *,
    side: int = 56,
    limit: int = 768,
    teacher_outputs: Sequence[Sequence[np.ndarray]] | None = None,
    key: str = "",
    progress: Progress = silent,
) -> PatchBank:
    """Cut detailed patches of images, on a grid of half-overlapping squares.

    The flattest fifth is left out: it teaches nothing, and would let fractions of a grey level
    decide the mean. Of the rest ``limit`` are sampled, with a preference for detail. Patches are
    cached and memory-mapped, so processes share them.

    Args:
        pictures: windows of images.
        qps: compression levels of the LR patches; None is the clean LR.
        side: LR side of a patch.
        limit: maximum number of patches (0.26 MB each at side 56 with five QPs).
        teacher_outputs: uint8 (H, W, 3), for each image one, or one for each of ``qps``.
        key: digests of dataset and teacher, for the cache.
        progress: called after every image.

    Returns:
        The bank, on the CPU.

    Raises:
        InputError: no image is large enough, or the cache cannot be written.
    """
    levels = len(teacher_outputs[0]) if teacher_outputs else 0
    content = [key, [p.name for p in pictures], list(qps), side, limit, levels]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]
    folder = cache_root() / "patches" / digest
    names = ("lr", "hr", "teacher") if teacher_outputs else ("lr", "hr")
    arrays = _read(folder, names)
    if arrays is None:
        places = _choose(pictures, side, limit, progress)
        for name in names:
            _write(folder / f"{name}.npy", _cut(name, pictures, places, qps, side, teacher_outputs))
        arrays = _read(folder, names)
    if arrays is None:
        raise InputError(f"{folder} does not read back as it was written: check that disk")
    return PatchBank(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def _read(folder: Path, names: Sequence[str]) -> dict[str, np.ndarray] | None:
    """Map cached arrays; None if any is missing or damaged."""
    # Copy-on-write mapping: torch wants writable memory, and pages stay shared while unwritten.
    found = {name: read_array(folder / f"{name}.npy", "c") for name in names}
    whole = {name: array for name, array in found.items() if array is not None}
    return whole if len(whole) == len(names) else None


def _write(path: Path, array: np.ndarray) -> None:
    try:
        write_array(path, array)
    except OSError as fault:
        raise unwritable(fault) from fault


Place = tuple[int, int, int]
"""Index of the image, top and left in LR pixels."""


def _choose(pictures: Sequence[Window], side: int, limit: int, progress: Progress) -> list[Place]:
    """The patches to keep, in a fixed order."""
    places: list[Place] = []
    found: list[float] = []
    for index, picture in enumerate(pictures):
        energy = detail(picture.hr()) ** 2
        tops, lefts = (_grid(length, side) for length in energy.shape)
        for top in tops:
            for left in lefts:
                places.append((index, top, left))
                found.append(float(energy[top : top + side, left : left + side].mean()))
        progress(index + 1, len(pictures), "measuring detail")
    if not places:
        least = SCALE * side
        raise InputError(f"there is no training image of at least {least} x {least} pixels")
    score = np.array(found)
    kept = np.flatnonzero(score >= np.quantile(score, 0.2))
    # Weighted choice without replacement (Efraimidis and Spirakis): the largest u^(1/weight).
    uniform = np.random.default_rng(0).random(len(kept))
    order = np.argsort(np.log(uniform) / (np.sqrt(score[kept]) + 1e-3))[::-1][:limit]
    return [places[i] for i in sorted(kept[order])]


def _grid(length: int, side: int) -> list[int]:
    """Starts of half-overlapping intervals that cover the length."""
    if length < side:
        return []
    count = max(1, -(-(length - side) * 2 // side))
    return sorted({round(i * (length - side) / count) for i in range(count + 1)})


def _cut(
    name: str,
    pictures: Sequence[Window],
    places: Sequence[Place],
    qps: Sequence[int | None],
    side: int,
    teacher_outputs: Sequence[Sequence[np.ndarray]] | None,
) -> np.ndarray:
    scale = 1 if name == "lr" else SCALE
    levels = len(teacher_outputs[0]) if teacher_outputs else 0
    depth = {"lr": (len(qps),), "teacher": (levels,)}.get(name, ())
    patches = np.empty((len(places), *depth, 3, scale * side, scale * side), np.uint8)
    for index, picture in enumerate(pictures):
        # One image at a time: its map counts as memory while a patch refers to it.
        if name == "lr":
            whole = np.stack([picture.lr(qp) for qp in qps])
        elif name == "teacher" and teacher_outputs is not None:
            whole = np.stack(teacher_outputs[index])
        else:
            whole = picture.hr()
        for place, (found, top, left) in enumerate(places):
            if found == index:
                rows, columns = (slice(scale * a, scale * (a + side)) for a in (top, left))
                patches[place] = np.moveaxis(whole[..., rows, columns, :], -1, -3)
    return patches
