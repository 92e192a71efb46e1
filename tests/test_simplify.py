"""The simplest form of a network: what the deploy form computes, borders included, in less time."""

from __future__ import annotations

import pytest
import torch
from deployed import NETWORKS, trained

from nas.measure.cost.trace import trace
from search_spaces import Architecture, Stage, Tail, build, published
from search_spaces.components import residuals, stems
from search_spaces.networks.inference import simplified

SIZES = ((24, 24), (9, 11), (13, 30))


def assert_same(network):
    simple = simplified(network)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for size in SIZES:
            x = torch.rand(2, 3, *size, generator=generator) * 3 - 1
            kept, wanted = x.clone(), network(x)
            assert torch.allclose(simple(x), wanted, atol=1e-5, rtol=1e-5)
            assert torch.equal(x, kept)
            if simple.clipped:
                assert wanted.min() >= 0 and wanted.max() <= 1
    return simple


@pytest.mark.parametrize("name", NETWORKS)
def test_published_networks_compute_the_same(name):
    assert_same(trained(NETWORKS[name]))


@pytest.mark.parametrize("residual", residuals())
@pytest.mark.parametrize("stem", stems)
def test_every_residual_at_every_working_resolution(stem, residual):
    cascade = 3 if residual == "lr" else 0
    stages = (Stage("conv", 8, 1),)
    for tail in (Tail(cascade=cascade), Tail(kernel=1, cascade=3)):
        assert_same(
            trained(Architecture(stem=stem, width=8, stages=stages, tail=tail, residual=residual))
        )


def test_a_clamp_inside_the_network_stays_before_what_is_added():
    for options in ({}, {"residual": "nearest"}, {"stem": "unshuffle2", "residual": "bilinear"}):
        given = {"width": 8, "stages": (Stage("etds", 8, 1),), "tail": Tail(block="etds_clip")}
        simple = assert_same(trained(Architecture(**{**given, **options})))
        assert simple.clipped is not bool(options)
        assert not any(layer.name.startswith("network.tail.2") for layer in trace(simple, 24, 24))


def test_a_clamp_that_learned_something_else_is_left_alone():
    network = trained(Architecture(width=8, tail=Tail(block="etds_clip")))
    with torch.no_grad():
        network.tail[2].weight[0, 1] = 0.1
    assert not assert_same(network).clipped


def test_tails_of_plugins_are_left_alone():
    for residual in ("none", "nearest"):
        network = trained(Architecture(stem="unshuffle2", width=8, residual=residual))
        conv = network.tail
        network.tail = torch.nn.Sequential(conv, torch.nn.Hardtanh(-1, 1))
        assert not assert_same(network).clipped
        network.tail = torch.nn.Conv2d(8, conv.out_channels, 3, padding=1, groups=2)
        assert_same(network)


def test_the_network_it_was_made_from_is_not_touched():
    network = trained(published["ANUNet"].architecture)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    simplified(network)
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_from_the_training_form_too():
    network = build(published["ANUNet"].architecture, seed=0)
    with torch.no_grad():
        x = torch.rand(1, 3, 9, 11)
        assert torch.allclose(simplified(network)(x), network.eval()(x), atol=1e-5)


@pytest.mark.parametrize("name", ["ANUNet", "Megastudy"])
def test_fewer_bytes_move(name):
    network = trained(published[name].architecture)
    before, after = (
        sum(layer.bytes for layer in trace(form, 64, 96)) for form in (network, simplified(network))
    )
    assert after < 0.9 * before
    shuffles = [layer for layer in trace(simplified(network), 64, 96) if layer.kind == "shuffle"]
    assert len(shuffles) == 1
