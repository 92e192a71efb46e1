"""Teacher outputs, computed once and cached by content.

The name of an entry is the hash of everything it depends on: the teacher's weights, the tiling and
the pixels of the LR image. So all datasets, studies and processes share entries, and none can be
stale. Each file has an embedded checksum; a corrupt one is detected and computed again.
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
    """Return the teacher's 8-bit output for every image, from the cache if possible.

    Several processes may call this at once: one of them computes an output, the others wait.

    Args:
        teacher: the network to run, on ``torch.get_num_threads()`` cores.
        images: LR, uint8 ``(H, W, 3)`` RGB.
        folder: of the cache; 48 bytes an LR pixel.
        progress: called after every image.
        device: where the network runs; it stays there.
        tile: largest side of a tile in LR pixels.
        overlap: of tiles in LR pixels.

    Returns:
        uint8 ``(4H, 4W, 3)`` arrays, memory-mapped and read-only.

    Raises:
        InputError: the folder cannot be written.
    """
    outputs = []
    for done, image in enumerate(images, start=1):
        image = np.ascontiguousarray(image)
        shape = (SCALE * image.shape[0], SCALE * image.shape[1], 3)

        def make(image: np.ndarray = image) -> np.ndarray:
            return upscale_pixels(teacher, image, device=device, tile=tile, overlap=overlap)

        outputs.append(cached_array(folder, _key(teacher, image, tile, overlap), shape, make))
        progress(done, len(images), teacher.name)
    return outputs


def cached_array(
    folder: Path, key: str, shape: tuple[int, ...], make: Callable[[], np.ndarray]
) -> np.ndarray:
    """Return the array of a key, memory-mapped; compute it if it is missing or damaged.

    Args:
        folder: of the cache.
        key: hash, in hex digits, of everything that the array depends on.
        shape: of the array.
        make: computes it; called by one process at a time.

    Raises:
        InputError: the folder cannot be written, or the disk corrupts what is written.
    """
    path = folder / f"{key}.npy"
    array = _read(path, shape)
    if array is not None:
        return array
    try:
        with _locked(folder, key):
            array = _read(path, shape)  # another process may have computed it
            if array is None:
                write_array(path, make())
                array = _read(path, shape)
    except OSError as fault:
        raise InputError(
            f"the teacher's outputs cannot be written to {folder} ({reason(fault)}): "
            "free some space, or allow writing there"
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
    """Upscale one uint8 ``(H, W, 3)`` image to uint8 ``(4H, 4W, 3)``, clamped and rounded."""
    network = teacher.network.to(device)
    pixels = torch.from_numpy(np.array(image)).to(device)  # a copy: maps may be read-only
    lr = pixels.permute(2, 0, 1)[None].float() / 255
    sr = upscale(network, lr, tile=tile, overlap=overlap)[0]
    return sr.mul(255).round_().clamp_(0, 255).byte().permute(1, 2, 0).contiguous().cpu().numpy()


def _key(teacher: Teacher, image: np.ndarray, tile: int, overlap: int) -> str:
    if max(image.shape[:2]) <= tile:
        tile = overlap = 0  # in one piece, whatever the tiling
    content = f"{LAYOUT} {teacher.digest} {tile} {overlap} {GRID} {image.shape}"
    return hashlib.sha256(content.encode() + image.tobytes()).hexdigest()


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Map an entry; None if it is missing or damaged."""
    array = read_array(path)
    return array if array is not None and array.shape == shape else None


@contextmanager
def _locked(folder: Path, key: str) -> Iterator[None]:
    """Lock an entry against other processes: one byte of one lock file for each.

    The system releases the lock when the process ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("ab") as file:
        with suppress(OSError):  # a file system without locks: whole files replace each other
            fcntl.lockf(file, fcntl.LOCK_EX, 1, int(key[:7], 16))
        yield
