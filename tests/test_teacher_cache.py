"""Teacher outputs are computed once, shared, and repaired when damaged."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nas.common.errors import InputError
from teachers.cache import teacher_outputs
from teachers.loading import Teacher


class Counting(nn.Module):
    """Repeats each pixel 4 x 4 times, counts its calls, in a file too if given one."""

    def __init__(self, log: Path | None = None) -> None:
        super().__init__()
        self.calls, self.log = 0, log

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.log:
            with self.log.open("a") as file:
                file.write("x")
        return lr.repeat_interleave(4, -1).repeat_interleave(4, -2)


@pytest.fixture
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (5 + i, 7, 3), dtype=np.uint8) for i in range(3)]


def test_outputs_are_the_networks_rounded_and_mapped(tmp_path, images):
    outputs = teacher_outputs(Teacher("t", Counting(), "a"), images, tmp_path)
    for image, output in zip(images, outputs, strict=True):
        assert isinstance(output, np.memmap)
        assert output.dtype == np.uint8
        assert np.array_equal(output, image.repeat(4, 0).repeat(4, 1))


def test_a_second_call_computes_nothing_and_reports_progress(tmp_path, images):
    network, got = Counting(), []
    teacher = Teacher("t", network, "a")
    teacher_outputs(teacher, images, tmp_path)
    teacher_outputs(teacher, images, tmp_path, lambda *args: got.append(args))
    assert network.calls == 3
    assert got == [(1, 3, "t"), (2, 3, "t"), (3, 3, "t")]


def test_other_weights_pixels_or_tiles_are_other_entries(tmp_path):
    image = np.zeros((70, 70, 3), np.uint8)
    network = Counting()
    for digest, pixels, tile in [("a", 0, 256), ("b", 0, 256), ("b", 1, 256), ("b", 1, 64)]:
        teacher_outputs(
            Teacher("t", network, digest), [image + np.uint8(pixels)], tmp_path,
            tile=tile, overlap=16,
        )  # fmt: skip
    assert len(list(tmp_path.glob("*.npy"))) == 4


def test_tiling_is_no_matter_where_a_picture_fits_one_tile(tmp_path, images):
    network = Counting()
    for tile in (64, 128):
        teacher_outputs(Teacher("t", network, "a"), images[:1], tmp_path, tile=tile, overlap=16)
    assert network.calls == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_damaged_entries_are_computed_again(tmp_path, images, damage):
    network = Counting()
    teacher = Teacher("t", network, "a")
    good = np.array(teacher_outputs(teacher, images[:1], tmp_path)[0])
    (entry,) = tmp_path.glob("*.npy")
    content = bytearray(entry.read_bytes())
    if damage == "flip":
        content[200] ^= 1
    entry.write_bytes({"flip": content, "cut": content[:-100], "empty": b""}[damage])
    assert np.array_equal(teacher_outputs(teacher, images[:1], tmp_path)[0], good)
    assert network.calls == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path, images):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written to .*file"):
        teacher_outputs(Teacher("t", Counting(), "a"), images, tmp_path / "file")


def _ask(folder: Path, log: Path) -> None:
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    teacher_outputs(Teacher("t", Counting(log), "a"), [image], folder)


def test_processes_that_ask_at_once_compute_once(tmp_path):
    log = tmp_path / "calls"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_ask, args=(tmp_path / "o", log)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert log.read_text() == "x"
