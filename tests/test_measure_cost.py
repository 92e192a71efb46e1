"""Costs by the trace, fvcore, thop and the challenge's counter, on networks counted by hand."""

from __future__ import annotations

import pytest
import torch
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from torch import nn
from torch.nn import functional as F

from nas.measure.cost.cost import cost
from nas.measure.cost.trace import trace
from search_spaces.architecture import Architecture, Stage, Tail

PIXELS = 540 * 960
REPTCN = Architecture(width=16, stages=(Stage("conv", 16),), activation="relu", bias=False)
CASR = Architecture(
    stem="unshuffle3",
    width=32,
    stages=(Stage("conv", 32),),
    tail=Tail(cascade=3, activation=False),
    activation="gelu",
    residual="lr",
    bias=False,
)


def test_reptcn_counts_as_the_survey_has_it():
    # Table 1: 5.02 G, 0.010 M. Three convolutions, two ReLU of 16 channels counted by the table.
    weights = 9 * (3 * 16 + 16 * 16 + 16 * 48)
    result = cost(REPTCN)
    assert result.params == weights == 9648
    assert result.macs == result.macs_fvcore == result.macs_thop == weights * PIXELS
    assert result.macs_organiser == result.macs + 2 * 16 * PIXELS
    assert result.activations == (16 + 16 + 48) * PIXELS
    assert result.agree
    assert result.notes == ()


def test_casr_counts_as_the_survey_has_it_across_resolutions():
    result = cost(CASR)  # Table 1: 2.10 G, 0.026 M
    assert result.params == 26_064
    assert result.macs_organiser == result.macs_fvcore == result.macs_thop == 2_098_483_200


@pytest.mark.parametrize("size", [(48, 96), (45, 79)])
def test_fvcore_carried_over_is_fvcore_run_at_that_size(size):
    network = Gated().eval()
    picture = torch.zeros(1, 3, *size)
    result = cost(network, *size)
    direct = FlopCountAnalysis(network, picture).unsupported_ops_warnings(False)
    assert result.macs_fvcore == direct.total()
    activations = ActivationCountAnalysis(network, picture).unsupported_ops_warnings(False)
    assert result.activations == activations.total()


class Gated(nn.Module):
    """Squeeze-excite, a functional bilinear base and a strided, a grouped and a 1x1 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.squeeze = nn.Conv2d(8, 8, 1)
        self.act = nn.PReLU(8)
        self.grouped = nn.Conv2d(8, 48, 3, padding=1, groups=4, bias=False)

    def forward(self, x):
        features = self.act(self.stem(x))
        gate = torch.sigmoid(self.squeeze(F.adaptive_avg_pool2d(features, 1)))
        base = F.interpolate(x, scale_factor=4, mode="bilinear")
        return F.pixel_shuffle(self.grouped(features * gate), 4) + base


def test_known_differences_between_counters_are_named_and_agree():
    result = cost(Gated(), 48, 96)
    area = 48 * 96
    bilinear, pooled, prelu = 4 * 48 * area, 8 * area, 8 * area
    assert result.macs == area * (27 * 8 + 9 * 2 * 48) + 64
    assert result.macs_fvcore == result.macs + bilinear + pooled
    assert result.macs_thop == result.macs + prelu
    assert result.macs_organiser == result.macs + prelu
    assert result.agree
    assert len(result.notes) == 3


def test_a_fixed_residual_is_an_interpolation_and_a_learned_one_a_convolution():
    body = {"width": 16, "stages": (Stage("conv", 16),), "bias": False}
    plain, bicubic, learned = (
        cost(Architecture(**body, residual=kind)) for kind in ("none", "bicubic", "learned")
    )
    taps = 48 * 5 * 5 * PIXELS
    assert bicubic.macs == plain.macs == learned.macs - taps
    assert bicubic.macs_fvcore == bicubic.macs + taps
    assert any("interpolation by convolution" in note for note in bicubic.notes)
    assert bicubic.agree and learned.agree


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(48, 3, 1, 1))

    def forward(self, x):
        return F.pixel_shuffle(F.conv2d(x, self.weight), 4)


def test_what_a_counter_cannot_see_is_said():
    result = cost(Functional(), 24, 24)
    assert result.macs == result.macs_fvcore == 144 * 24 * 24
    assert (result.macs_thop, result.macs_organiser) == (0, 0)
    assert any("thop misses" in note for note in result.notes)


def test_a_real_disagreement_is_reported(monkeypatch):
    import thop

    monkeypatch.setattr(thop, "profile", lambda *args, **kwargs: (123.0, 0.0))
    result = cost(REPTCN, 48, 48)
    assert not result.agree
    assert any(note.startswith("disagreement: thop") for note in result.notes)


def test_the_trace_counts_bytes_and_kernels_by_hand():
    layers = trace(Gated().eval(), 10, 20)
    by_kind = {}
    for layer in layers:
        by_kind.setdefault(layer.kind, []).append(layer)
    area = 10 * 20
    stem, squeeze, grouped = by_kind["conv"]
    assert (stem.name, stem.module, stem.macs) == ("stem", "Conv2d", 27 * 8 * area)
    assert stem.bytes_read == 2 * (3 * area + 216)
    assert stem.bytes_written == 2 * 8 * area
    assert (squeeze.height, squeeze.width) == (1, 1)
    assert (grouped.groups, grouped.channels_in, grouped.channels) == (4, 8, 48)
    assert len(by_kind["bias"]) == 2  # stem and squeeze: added in a pass of their own
    shuffle = by_kind["shuffle"][0]
    assert (shuffle.bytes_read, shuffle.bytes_written) == (96 * area, 96 * area)
    assert (shuffle.channels, shuffle.height, shuffle.width) == (3, 40, 80)
    multiply, add = by_kind["elementwise"]
    assert multiply.bytes_read == 2 * (8 * area + 8)  # the gate is read once, not per pixel
    assert add.bytes_read == 2 * 96 * area
    assert by_kind["interpolate"][0].bytes_read == 6 * area
    assert all(layer.kernels == 1 for layer in layers)
    assert "other" not in by_kind


def test_views_cost_nothing_and_unknown_operators_are_still_charged():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.special.bessel_j0(x.transpose(2, 3).reshape(1, 3, -1, 4)[:, :2])

    (copy, odd) = trace(Odd(), 8, 8)
    assert (copy.kind, copy.bytes) == ("copy", 2 * 2 * 3 * 64)
    assert (odd.kind, odd.bytes) == ("other", 2 * 2 * 2 * 64)


def test_tracing_leaves_the_network_alone():
    network = Gated()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    cost(network, 48, 48)
    assert network.training
    assert set(network.state_dict()) == set(before)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
