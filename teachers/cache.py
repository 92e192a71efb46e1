"""Teacher outputs, computed once and kept by content.

An entry's name is the hash of everything that it depends on: the teacher's weights, the tiling and
the pixels of the LR picture. So any set, study or process that asks for the same thing shares it,
and nothing can be stale. An entry ends with a hash of itself: one that a crash or a disk has
damaged is seen and computed again.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch

from nas.common.checked_files import read_array, write_array
from nas.common.errors import InputError, reason
from nas.common.text import Progress, silent
from search_spaces.architecture import SCALE
from teachers.loading import Teacher
from teachers.tiling import GRID, OVERLAP, TILE, upscale

LAYOUT = 1  # raise it when the same inputs would give other outputs


def teacher_outputs(
    teacher: Teacher,
    images: Sequence[np.ndarray],
    folder: Path,
    progress: Progress = silent,
    *,
    device: str | torch.device = "cpu",
    tile: int = TILE,
    overlap: int = OVERLAP,
) -> list[np.ndarray]:
    """Return the teacher's 8-bit upscaling of every picture, from the cache where it is there.

    The network uses as many cores as ``torch.get_num_threads()`` says. Several processes may ask
    at once: each output is computed by one of them, and the others wait for it.

    Args:
        teacher: Who upscales.
        images: LR pictures, uint8 ``(H, W, 3)`` RGB.
        folder: Where the outputs are kept, 48 bytes an LR pixel.
        progress: Called after every picture.
        device: Where the network runs; it is left there.
        tile: Largest side of a tile in LR pixels.
        overlap: Overlap of tiles in LR pixels.

    Returns:
        uint8 ``(4H, 4W, 3)`` arrays, memory-mapped and read-only.

    Raises:
        InputError: The folder cannot be written.
    """
    outputs = []
    for done, image in enumerate(images, start=1):
        image = np.ascontiguousarray(image)
        shape = (SCALE * image.shape[0], SCALE * image.shape[1], 3)

        def make(image: np.ndarray = image) -> np.ndarray:
            return upscale_pixels(teacher, image, device=device, tile=tile, overlap=overlap)

        outputs.append(kept(folder, _key(teacher, image, tile, overlap), shape, make))
        progress(done, len(images), teacher.name)
    return outputs


def kept(
    folder: Path, key: str, shape: tuple[int, ...], make: Callable[[], np.ndarray]
) -> np.ndarray:
    """Return the array of a key, memory-mapped; make it where there is none, or a damaged one.

    Args:
        folder: Where arrays are kept.
        key: A hash, in hex digits, of everything that the array depends on.
        shape: What it must have.
        make: Called if it is not there, by one process at a time.

    Raises:
        InputError: The folder cannot be written, or a disk does not keep what it is given.
    """
    path = folder / f"{key}.npy"
    array = _stored(path, shape)
    if array is not None:
        return array
    try:
        with _claimed(folder, key):
            array = _stored(path, shape)  # another process may have made it meanwhile
            if array is None:
                write_array(path, make())
                array = _stored(path, shape)
    except OSError as fault:
        raise InputError(
            f"the teacher's outputs cannot be kept in {folder} ({reason(fault)}): "
            "make room, or allow writing there"
        ) from fault
    if array is None:
        raise InputError(f"{path} does not read back as it was written: check that disk")
    return array


def upscale_pixels(
    teacher: Teacher,
    image: np.ndarray,
    *,
    device: str | torch.device = "cpu",
    tile: int = TILE,
    overlap: int = OVERLAP,
) -> np.ndarray:
    """Upscale one uint8 ``(H, W, 3)`` picture to uint8 ``(4H, 4W, 3)``, clamped and rounded."""
    network = teacher.network.to(device)
    pixels = torch.from_numpy(np.array(image)).to(device)  # a copy: maps may be read-only
    lr = pixels.permute(2, 0, 1)[None].float() / 255
    sr = upscale(network, lr, tile=tile, overlap=overlap)[0]
    return sr.mul(255).round_().clamp_(0, 255).byte().permute(1, 2, 0).contiguous().cpu().numpy()


def _key(teacher: Teacher, image: np.ndarray, tile: int, overlap: int) -> str:
    if max(image.shape[:2]) <= tile:
        tile = overlap = 0  # in one piece: how it would have been cut does not matter
    told = f"{LAYOUT} {teacher.digest} {tile} {overlap} {GRID} {image.shape}"
    return hashlib.sha256(told.encode() + image.tobytes()).hexdigest()


def _stored(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Map an entry, or None where there is none or it is damaged."""
    output = read_array(path)
    return output if output is not None and output.shape == shape else None


@contextmanager
def _claimed(folder: Path, key: str) -> Iterator[None]:
    """Hold an entry against other processes: one byte of one lock file for each.

    The system lets go of it when the process ends, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("ab") as file:
        with suppress(OSError):  # a file system without locks: whole files replace each other
            fcntl.lockf(file, fcntl.LOCK_EX, 1, int(key[:7], 16))
        yield
