"""The x2 head of IVP: trained beside the network, gone when it is deployed."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from search_spaces import Architecture, build, fuse, published
from search_spaces.auxiliary import TwoScales


@pytest.mark.parametrize("name", ["IVP", "ANUNet", "CASR", "RVSR"])
@pytest.mark.parametrize("size", [(5, 7), (12, 6)])
def test_the_head_adds_an_output_and_leaves_the_network_as_it_is(name, size):
    both = TwoScales(build(published[name].architecture, seed=0))
    x = torch.rand(2, 3, *size)
    with torch.no_grad():
        sr4, sr2 = both(x)
        assert torch.equal(sr4, both.network(x))
    assert sr2.shape == (2, 3, 2 * size[0], 2 * size[1])


def test_ivps_head_is_a_3x3_of_14_to_12_channels():
    head = TwoScales(build(published["IVP"].architecture, seed=0)).head
    assert head.weight.shape == (12, 14, 3, 3)


def test_its_loss_reaches_the_body_and_deploying_drops_it():
    torch.manual_seed(0)
    both = TwoScales(build(Architecture(width=8, activation="gelu"), seed=0))
    x, hr = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 16, 16)
    F.l1_loss(both(x)[1], hr).backward()
    reached = {name for name, p in both.named_parameters() if p.grad is not None}
    assert {"head.weight", "network.stem.0.conv.weight"} <= reached
    assert not any(name.startswith("network.tail") for name in reached)
    deployed = fuse(both.network)
    assert not any("head" in name for name in deployed.state_dict())
    with torch.no_grad():
        assert torch.allclose(deployed(x), both(x)[0], atol=1e-5)
