"""A teacher's features are taken once, tile by tile, at the resolution that crops can be cut at."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nas.common.errors import InputError
from search_spaces import Architecture, Stage, build, fuse
from teachers import features
from teachers.features import Features
from teachers.loading import Teacher, load_teacher


def teacher(**options) -> Teacher:
    stages = (Stage("conv", 8, 1), Stage("conv", 12, 1))
    architecture = Architecture(width=8, stages=stages, activation="relu", **options)
    return Teacher("t", fuse(build(architecture, 0)), "digest")


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_maps_are_the_layers_averaged_over_squares(tmp_path):
    taught, image = teacher(), picture(18, 23)
    (found,) = Features(taught).compute([image], tmp_path)
    assert found.shape == (4, 5, 8 + 12) and found.dtype == np.float16
    x = torch.from_numpy(image[:16, :20].copy()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        stem = taught.network.stem(x)
        maps = [taught.network.body[:2](stem), taught.network.body(stem)]
    expected = torch.cat([F.avg_pool2d(map_, 4) for map_ in maps], 1)[0].permute(1, 2, 0)
    assert np.allclose(found, expected.numpy(), atol=2e-3)


def test_tiles_leave_no_trace(tmp_path, monkeypatch):
    image = picture(72, 100)
    (whole,) = Features(teacher()).compute([image], tmp_path / "whole")
    monkeypatch.setattr(features, "_TILE", 32)
    monkeypatch.setattr(features, "_MARGIN", 16)
    (tiled,) = Features(teacher()).compute([image], tmp_path / "tiled")
    assert np.allclose(whole, tiled, atol=1e-3)


def test_a_second_call_reads_what_the_first_kept(tmp_path, monkeypatch):
    taught, image, got = teacher(), picture(16, 16), []
    Features(taught).compute([image], tmp_path)
    again = Features(taught)
    monkeypatch.setattr(again, "_whole", lambda *_: pytest.fail("computed again"))
    again.compute([image], tmp_path, lambda *args: got.append(args))
    assert got == [(1, 1, "t's features")]


@pytest.mark.parametrize("size", [(16, 16), (21, 34)])
def test_hat_gives_its_blocks(tmp_path, size):
    found = Features(load_teacher("hat-tiny"))
    assert found.channels == (48, 48)
    (maps,) = found.compute([picture(*size)], tmp_path)
    assert maps.shape == (size[0] // 4, size[1] // 4, 96)
    assert np.isfinite(maps).all() and maps.std() > 0


def test_coarser_layers_are_maps_too(tmp_path):
    (found,) = Features(teacher(stem="unshuffle2")).compute([picture(16, 24)], tmp_path)
    assert found.shape == (4, 6, 20)


def test_a_teacher_without_features_is_refused():
    class Repeat(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, lr):
            return lr.repeat_interleave(4, -1).repeat_interleave(4, -2) * self.weight

    with pytest.raises(InputError, match="has no features"):
        Features(Teacher("plain", Repeat(), "d"))
