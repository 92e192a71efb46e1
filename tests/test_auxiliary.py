"""Heads beside a network: trained with it, gone when it is deployed."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from search_spaces import Architecture, build, published
from search_spaces.networks.network import ImageHead


@pytest.mark.parametrize(("channels", "scale"), [(3, 2), (1, 4)])
@pytest.mark.parametrize("name", ["IVP", "ANUNet", "CASR", "RVSR"])
def test_a_head_makes_a_picture_of_the_last_features(name, channels, scale):
    network = build(published[name].architecture, seed=0)
    head = ImageHead(network.architecture, channels, scale)
    with torch.no_grad():
        picture = head(network.features(torch.rand(2, 3, 12, 6)))
    assert picture.shape == (2, channels, 12 * scale, 6 * scale)


def test_ivps_head_is_a_3x3_of_14_to_12_channels():
    assert ImageHead(published["IVP"].architecture, 3, 2).weight.shape == (12, 14, 3, 3)


def test_its_loss_reaches_the_body_and_not_the_tail():
    torch.manual_seed(0)
    network = build(Architecture(width=8, activation="gelu"), seed=0)
    head = ImageHead(network.architecture, 3, 2)
    half = head(network.features(torch.rand(1, 3, 8, 8)))
    F.l1_loss(half, torch.rand(1, 3, 16, 16)).backward()
    reached = {name for name, p in network.named_parameters() if p.grad is not None}
    assert "stem.0.conv.weight" in reached
    assert not any(name.startswith("tail") for name in reached)
    assert head.weight.grad is not None
