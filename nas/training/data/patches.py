"""Training patches: cut once from a set, shared by every process, drawn by index on the device."""

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
    """Patches of P places in the pictures, all uint8 and on one device.

    Attributes:
        lr: (P, Q, 3, side, side), each place at Q compression levels.
        hr: (P, 3, 4 side, 4 side).
        teacher: what the teacher makes of the same places: (P, T, 3, 4 side, 4 side), T being Q
            where it saw each compression level, else 1; None without a teacher.
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
class Choice:
    """Where a step looks.

    The crop and the turn (one of the eight of the square) are those of the whole batch: that costs
    one slice and one view, and steps are many.

    Attributes:
        places: N places of the bank, on the CPU.
        levels: the compression level of each.
        top: first row of the crop, in LR pixels of a patch of the bank.
        left: first column.
        turn: 0 to 7.
    """

    places: Tensor
    levels: Tensor
    top: int
    left: int
    turn: int

    def numbers(self) -> Tensor:
        """All of it in one row of 2 N + 3 numbers, for `Gatherer`."""
        crop = torch.tensor([self.top, self.left, self.turn])
        return torch.cat([self.places, self.levels, crop])


@dataclass(frozen=True, slots=True)
class PatchBatch:
    """What one step trains on, uint8. HR pictures come in pieces, so that none need be copied.

    Attributes:
        lr: (N, 3, patch, patch).
        hr: pieces (n, 3, 4 patch, 4 patch), of N pictures together.
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
    """Uint8 (N, 3, H, W) with every pixel's luma in place of its colours."""
    level = luma(pixels.to(torch.float32)).round_().clamp_(0, 255).to(torch.uint8)
    return level.expand(-1, 3, -1, -1)


def choose(bank: PatchBank, size: int, patch: int, generator: torch.Generator) -> Choice:
    """Draw ``size`` random places at random QPs, a crop of ``patch`` LR pixels and a turn.

    ``generator`` lives on the CPU.
    """
    places, levels = bank.lr.shape[:2]
    where = torch.randint(places, (size,), generator=generator)
    level = torch.randint(levels, (size,), generator=generator)
    spare = bank.side - patch + 1
    top, left, turn = (int(torch.randint(n, (), generator=generator)) for n in (spare, spare, 8))
    return Choice(where, level, top, left, turn)


def cut(bank: PatchBank, choice: Choice, patch: int) -> PatchBatch:
    """Cut what was chosen; the HR pieces are single pictures, views of the bank where not flipped.

    That is the fastest way on a CPU, and impossible on a GPU that must not wait for one.
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


def draw(bank: PatchBank, size: int, patch: int, generator: torch.Generator) -> PatchBatch:
    """Choose and cut."""
    return cut(bank, choose(bank, size, patch, generator), patch)


class Gatherer:
    """Makes the batch of a choice that lies on the device: by indices, with nothing to wait for.

    Args:
        bank: where to cut.
        patch: LR side of a crop.
    """

    def __init__(self, bank: PatchBank, patch: int) -> None:
        self._bank, self._patch = bank, patch
        self._channels = torch.arange(3, device=bank.lr.device)[None, :, None]
        self._lr = _crop_cells(bank.side, patch).to(bank.lr.device)
        self._hr = _crop_cells(SCALE * bank.side, SCALE * patch).to(bank.lr.device)

    def __call__(self, numbers: Tensor) -> PatchBatch:
        """The batch of `Choice.numbers`; the HR pictures are one piece."""
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
            heard = levels.remainder(bank.teacher.shape[1])
            taught = bank.teacher.flatten(3)[places, heard, self._channels, cells]
            teacher = (taught.unflatten(-1, sides),)
        return PatchBatch(lr.unflatten(-1, (self._patch, self._patch)), (hr,), teacher)


def _greyed(pieces: tuple[Tensor, ...], count: int) -> tuple[Tensor, ...]:
    """Pieces of a batch with its first ``count`` pictures in grey."""
    made = []
    for piece in pieces:
        part = min(count, len(piece))
        count -= part
        made.append(torch.cat([grey(piece[:part]), piece[part:]]) if part else piece)
    return tuple(made)


def _crop_cells(side: int, length: int) -> Tensor:
    """Which cells of a square a crop at its corner shows, in each of the eight turns.

    (8, length^2): a crop elsewhere is so many cells further on.
    """
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
    """Cut the detailed places of the pictures, on a grid of half-overlapping squares.

    Flat places teach nothing and let a fraction of a grey level decide the mean, so that the least
    detailed fifth is left out; of the others ``limit`` are kept, detailed ones preferred. The
    patches are kept in the cache and memory-mapped: processes share them and open them at once.

    Args:
        pictures: where to cut; whole pictures are windows too.
        qps: compression levels of the LR patches; None is the clean LR.
        side: LR side of a patch.
        limit: most places to keep (0.26 MB each at side 56 with five QPs).
        teacher_outputs: uint8 (H, W, 3) from the teacher, for each picture one, or one for each of
            ``qps``.
        key: what the content depends on beside these (digests of the set and of the teacher).
        progress: called after every picture looked at.

    Returns:
        The bank, on the CPU.

    Raises:
        InputError: no picture is large enough, or the cache cannot be written.
    """
    heard = len(teacher_outputs[0]) if teacher_outputs else 0
    content = [key, [p.name for p in pictures], list(qps), side, limit, heard]
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
    """Map what was cut before; None where some of it is missing or damaged."""
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
"""Index of the picture, top and left in LR pixels."""


def _choose(pictures: Sequence[Window], side: int, limit: int, progress: Progress) -> list[Place]:
    """The places to keep, in a fixed order."""
    places: list[Place] = []
    found: list[float] = []
    for index, picture in enumerate(pictures):
        energy = detail(picture.hr()) ** 2
        tops, lefts = (_grid(length, side) for length in energy.shape)
        for top in tops:
            for left in lefts:
                places.append((index, top, left))
                found.append(float(energy[top : top + side, left : left + side].mean()))
        progress(index + 1, len(pictures), "looking for detail")
    if not places:
        least = SCALE * side
        raise InputError(f"there is no training picture of at least {least} x {least} pixels")
    score = np.array(found)
    kept = np.flatnonzero(score >= np.quantile(score, 0.2))
    # Weighted choice without replacement (Efraimidis and Spirakis): the largest u^(1/weight).
    luck = np.random.default_rng(0).random(len(kept))
    order = np.argsort(np.log(luck) / (np.sqrt(score[kept]) + 1e-3))[::-1][:limit]
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
    heard = len(teacher_outputs[0]) if teacher_outputs else 0
    depth = {"lr": (len(qps),), "teacher": (heard,)}.get(name, ())
    patches = np.empty((len(places), *depth, 3, scale * side, scale * side), np.uint8)
    for index, picture in enumerate(pictures):
        # One map of each picture at a time: a map counts as memory while a patch refers to it.
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
