"""Tiles meet without a seam, at any size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from teachers.tiling import upscale


@pytest.fixture
def local_network() -> nn.Module:
    """Reaches two LR pixels, less than a quarter of the overlaps below."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 48, 3, padding=1), nn.PixelShuffle(4)
    ).eval()


@pytest.mark.parametrize("size", [(1, 1), (40, 40), (41, 40), (95, 33), (64, 131), (200, 7)])
def test_tiles_of_a_local_network_are_the_whole(local_network, size):
    lr = torch.rand(2, 3, *size)
    whole = local_network(lr).detach()
    assert torch.allclose(upscale(local_network, lr, tile=48, overlap=16), whole, atol=1e-6)


def test_no_tile_is_larger_than_allowed(local_network):
    seen = []
    local_network.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[-2:]))
    upscale(local_network, torch.rand(1, 3, 150, 100), tile=64, overlap=16)
    assert len(seen) == 3 * 2
    assert max(max(shape) for shape in seen) == 64


def test_constant_shares_add_up_to_one():
    def constant(lr: torch.Tensor) -> torch.Tensor:
        return lr.new_full((1, 3, 4 * lr.shape[2], 4 * lr.shape[3]), 0.25)

    sr = upscale(constant, torch.rand(1, 3, 131, 77), tile=48, overlap=8)  # type: ignore[arg-type]
    assert torch.allclose(sr, torch.full_like(sr, 0.25), atol=1e-6)


def test_too_small_a_tile_is_refused(local_network):
    with pytest.raises(ValueError, match="too small for overlap 32"):
        upscale(local_network, torch.rand(1, 3, 8, 8), tile=64, overlap=32)
