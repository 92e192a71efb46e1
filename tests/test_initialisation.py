"""Where training starts: at the interpolation baseline, whatever the network looks like."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from search_spaces import Architecture, Stage, Tail, build, fuse
from search_spaces.networks.init import initialize
from search_spaces.networks.network import Network
from search_spaces.networks.residual import Residual

STEMS = {
    "conv": 16,
    "unshuffle2": 28,
    "unshuffle3": 56,
    "unshuffle4": 104,
    "strided2": 28,
    "strided2x4": 28,
}
"""Stem -> a width that carries all pixels of a block with both signs."""


def picture(height: int = 48, width: int = 48) -> torch.Tensor:
    """Smooth waves in [0.1, 0.9], each colour its own: (1, 3, H, W)."""
    y, x = torch.meshgrid(torch.arange(height) / 9, torch.arange(width) / 7, indexing="ij")
    waves = [torch.sin(x + c) * torch.cos(y - 2 * c) for c in range(3)]
    return 0.5 + 0.4 * torch.stack(waves)[None]


def distance_to_lanczos(network: Network) -> float:
    """Root mean square difference inside the picture, in grey levels."""
    x = picture()
    lanczos = F.pixel_shuffle(Residual("lanczos")(x), 4)
    with torch.no_grad():
        inside = (network(x) - lanczos)[..., 32:-32, 32:-32]
    return 255 * float(inside.square().mean().sqrt())


def plain(stem: str = "conv", **choices) -> Architecture:
    width = choices.pop("width", STEMS[stem])
    return Architecture(stem, width, (Stage("ecb", width, 2),), **choices)


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "prelu", "gelu", "silu", "none"])
def test_a_network_without_residual_starts_at_the_baseline(stem, activation):
    assert distance_to_lanczos(build(plain(stem, activation=activation), 0)) < 1


@pytest.mark.parametrize(
    "residual", ["none", "nearest", "bilinear", "bicubic", "lanczos", "learned"]
)
@pytest.mark.parametrize("skip", ["none", "long", "concat"])
@pytest.mark.parametrize("stem", ["conv", "unshuffle2"])
def test_residuals_and_skips_start_at_the_baseline(residual, skip, stem):
    network = build(plain(stem, residual=residual, skip=skip, activation="gelu"), 0)
    assert distance_to_lanczos(network) < 1


@pytest.mark.parametrize("residual", ["none", "nearest", "lr"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_cascades_start_at_the_baseline(residual, activation):
    cascade = Tail(3, cascade=3 if residual == "lr" else 8, activation=residual != "lr")
    network = build(plain("unshuffle2", tail=cascade, residual=residual, activation=activation), 0)
    assert distance_to_lanczos(network) < 1


@pytest.mark.parametrize("stem", ["conv", "unshuffle2", "strided2"])
@pytest.mark.parametrize("residual", ["none", "nearest", "bicubic", "learned"])
@pytest.mark.parametrize("activation", ["relu", "prelu", "gelu"])
def test_every_channel_of_a_cascade_can_learn(stem, residual, activation):
    """One that is zero before and after its activation would stay so for ever."""
    architecture = plain(stem, tail=Tail(cascade=16), residual=residual, activation=activation)
    network = fuse(build(architecture, 0)).requires_grad_(True)
    x = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    network(x).square().sum().backward()
    entering = network.tail.weight.grad.unflatten(0, (16, -1)).flatten(1).abs().sum(1)
    leaving = network.lift[-1].weight.grad.transpose(0, 1).flatten(1).abs().sum(1)
    assert bool((entering + leaving > 0).all())


def test_a_linear_stem_carries_signed_images_at_the_right_strength():
    architecture = replace(plain(activation="gelu"), stem_activation=False)
    assert distance_to_lanczos(build(architecture, 0)) < 1


@pytest.mark.parametrize(("stem", "width"), [("unshuffle2", 6), ("unshuffle3", 8), ("strided2", 8)])
def test_a_network_too_narrow_for_all_pixels_carries_their_luma(stem, width):
    """It loses colour detail but no brightness: far nearer than the 100 grey levels of noise."""
    assert distance_to_lanczos(build(plain(stem, width=width), 0)) < 12


@pytest.mark.parametrize("block", ["conv", "repvgg", "ecb", "ecb_identity", "reprfn", "reprb"])
def test_every_block_folds_to_the_same_start(block):
    architecture = Architecture(width=16, stages=(Stage(block, 16, 2),), tail=Tail(block=block))
    network = build(architecture, 0)
    assert distance_to_lanczos(network) < 1
    x = picture(13, 17)
    torch.testing.assert_close(fuse(network)(x), network(x), rtol=1e-5, atol=1e-5)


def test_blocks_that_are_no_single_convolution_keep_their_own_start():
    architecture = Architecture(width=16, stages=(Stage("spab", 16, 1),))
    network = Network(architecture)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert not initialize(network)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_the_seed_decides_the_weights():
    one, same, other = (build(plain(), seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)
