"""Table 1 of the survey, reproduced: 16 of 17 networks agree with their published counts.

So do the networks that the survey compares with.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from search_spaces import Architecture, build, fuse, published, references

COUNTED_ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.PReLU)


def count(architecture, height=540, width=960):
    """Parameters, MACs of the convolutions, and MACs as the organisers count them, at 960x540.

    The organisers' hooks add one per output element of a ReLU-like module, and see no activation
    that a team calls as a function: so a published figure is one of the two.
    """
    with torch.device("meta"):
        network = fuse(build(architecture))
    totals = {"convolutions": 0, "activations": 0}

    def hook(module, _, out):
        if isinstance(module, nn.Conv2d):
            totals["convolutions"] += module.weight.numel() * out[0, 0].numel()
        elif isinstance(module, COUNTED_ACTIVATIONS):
            totals["activations"] += out.numel()

    for module in network.modules():
        module.register_forward_hook(hook)
    network(torch.empty(1, 3, height, width, device="meta"))
    parameters = sum(p.numel() for p in network.parameters())
    return parameters, totals["convolutions"], totals["convolutions"] + totals["activations"]


def prints_as(value, text):
    """Whether ``value`` gives the printed figure by rounding or, as three rows need, truncation."""
    digits = len(text.partition(".")[2])
    ulp = 10.0**-digits
    return abs(value - float(text)) <= ulp / 2 or math.floor(value / ulp + 1e-9) == round(
        float(text) / ulp
    )


TABLE_1 = {  # name: (MACs in G, parameters in M) as printed
    "BasicVision": ("6.20", "0.012"),
    "CMVG": ("5.16", "0.010"),
    "IVP": ("6.07", "0.011"),
    "RVSR": ("15.6", "0.033"),
    "VPEG-R": ("1.56", "0.012"),
    "VPEG-S": ("34.2", "0.066"),
    "ANUNet": ("9.40", "0.072"),
    "RESR": ("7.04", "0.044"),
    "Megastudy": ("20.7", "0.040"),
    "CASR": ("2.10", "0.026"),
    "XiaomiMM": ("13.3", "0.026"),
    "Team C3": ("12.4", "0.024"),
    "USTC Noah": ("8.56", "0.045"),
    "Lanczos++": ("1.25", "0.022"),
    "PixelArtAI": ("9.68", "0.075"),
    "RepTCN": ("5.02", "0.010"),
    "URPNet": ("1.24", "0.009"),
}

EXACT = {  # parameters, G MACs (convolutions, organisers) as solved or read from checkpoints
    "BasicVision": (12_048, 6.196, 6.196),
    "CMVG": (10_044, 5.160, 5.160),
    "IVP": (11_822, 6.075, 6.075),
    "RVSR": (32_960, 15.618, 15.618),
    "VPEG-R": (12_204, 1.5536, 1.5560),
    "VPEG-S": (66_176, 34.1587, 34.1587),
    "ANUNet": (72_880, 9.4058, 9.4058),
    "RESR": (43_984, 7.0171, 7.0378),
    "Megastudy": (40_128, 20.678, None),
    "CASR": (26_064, 2.0985, 2.0985),
    "XiaomiMM": (25_952, 13.3623, 13.3623),
    "Team C3": (24_016, 12.392, 12.425),
    "USTC Noah": (45_312, 8.5598, 8.5598),
    "Lanczos++": (21_600, 1.2442, 1.2460),
    "PixelArtAI": (74_880, 9.6671, 9.6796),
    "RepTCN": (9_648, 5.0015, 5.0181),
    "URPNet": (9_600, 1.2442, 1.2483),
}


def test_the_table_is_complete_and_in_order():
    assert list(published) == list(TABLE_1)
    for name, network in published.items():
        macs, params = TABLE_1[name]
        assert (network.name, network.table1.macs_g) == (name, float(macs))
        assert network.table1.params_m == float(params)


@pytest.mark.parametrize("name", published)
def test_a_row_has_its_published_cost(name):
    params, convolutions, organisers = count(published[name].architecture)
    exact_params, exact_convolutions, exact_organisers = EXACT[name]
    assert params == exact_params
    assert convolutions / 1e9 == pytest.approx(exact_convolutions, rel=2e-4)
    if exact_organisers is not None:
        assert organisers / 1e9 == pytest.approx(exact_organisers, rel=2e-4)
    macs_text, params_text = TABLE_1[name]
    assert prints_as(params / 1e6, params_text)
    agrees = any(prints_as(macs / 1e9, macs_text) for macs in (convolutions, organisers))
    if name == "XiaomiMM":
        assert published[name].fidelity == "approximate"
        assert convolutions / 1e9 == pytest.approx(13.3, rel=0.006)
    else:
        assert agrees


@pytest.mark.parametrize("network", published.values(), ids=lambda n: n.name)
def test_score_and_gain_follow_from_the_other_columns(network):
    row = network.table1
    gain = (row.psnr_y_qp31 - 32.75 + row.psnr_y_qp63 - 29.12) / 2
    assert row.gain_db == pytest.approx(gain, abs=5.1e-4)
    if row.score is not None:
        score = 2 * 2**row.gain_db / (0.1 * math.sqrt(row.runtime_ms))
        assert row.score == pytest.approx(score, abs=0.011)
    assert 0.7 < row.ssim_rgb_qp63 < row.ssim_rgb_qp31 < row.ssim_y_qp31 < 0.9
    assert row.ssim_rgb_qp63 < row.ssim_y_qp63 < row.ssim_y_qp31
    assert row.psnr_rgb_qp63 < row.psnr_y_qp63 < row.psnr_rgb_qp31 < row.psnr_y_qp31


@pytest.mark.parametrize("network", published.values(), ids=lambda n: n.name)
def test_descriptions_survive_json_and_differ(network):
    a = network.architecture
    assert Architecture.from_json(a.to_json()) == a
    twins = [n.name for n in published.values() if n.architecture.key == a.key]
    assert twins == [network.name]


@pytest.mark.parametrize("name", published)
def test_a_training_form_learns_and_still_folds(name):
    torch.manual_seed(0)
    network = build(published[name].architecture, seed=0).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    coarse = torch.rand(2, 3, 6, 6)
    hr = F.interpolate(coarse, size=(48, 48), mode="bicubic").clamp(0, 1)
    lr = F.avg_pool2d(hr, 4)
    losses = []
    for _ in range(50):
        loss = F.l1_loss(network(lr), hr)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.8 * losses[0]
    network = network.double().eval()
    x = torch.rand(1, 3, 7, 10, dtype=torch.float64)
    out, deployed = network(x), fuse(network)(x)
    assert (out - deployed).abs().max() < 1e-10 * out.abs().max()


@pytest.mark.parametrize("network", references.values(), ids=lambda n: n.name)
def test_a_comparator_has_its_published_parameters(network):
    assert count(network.architecture)[0] == network.params


@pytest.mark.parametrize(
    ("name", "params", "macs", "interpolated"),
    [
        ("IMDN", "0.894", "58.430", 0),
        ("RFDN", "0.433", "27.046", 12),
        ("RLFN", "0.317", "19.674", 16),
    ],
)
def test_the_surveys_comparison_at_256(name, params, macs, interpolated):
    """Table of section 3.10; its counter charges four operations a bilinearly upscaled value."""
    found, convolutions, _ = count(references[name].architecture, 256, 256)
    assert prints_as(found / 1e6, params)
    assert prints_as((convolutions + 4 * 4 * interpolated * 256**2) / 1e9, macs)


@pytest.mark.parametrize("network", references.values(), ids=lambda n: n.name)
def test_a_comparator_takes_any_size_and_folds(network):
    torch.manual_seed(0)
    trained = build(network.architecture, seed=0).double().eval()
    deployed = fuse(trained)
    for size in ((1, 1), (9, 17)):
        x = torch.rand(1, 3, *size, dtype=torch.float64)
        with torch.no_grad():
            out = trained(x)
            assert out.shape == (1, 3, 4 * size[0], 4 * size[1])
            assert (out - deployed(x)).abs().max() <= 1e-10 * out.abs().max()
