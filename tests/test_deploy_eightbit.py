"""From bytes to bytes: the picture that a network's floats become, without the floats."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from deployed import ENDS, NETWORKS, trained
from skimage import data as photographs

from nas.deploy.uint8_network import EightBit
from nas.deploy.upscale import ready
from nas.measure.tiling import upscale_picture
from search_spaces import Architecture, Stage, Tail, build, fuse
from search_spaces.components import residuals

COFFEE = photographs.coffee()[100:133, 150:197]
WHOLE = 10**9


def assert_same_picture(network, picture, strip_pixels=WHOLE, form=None):
    """Equal but where a value lies between two levels and rounding noise decides."""
    wanted = upscale_picture(network, picture, strip_pixels=WHOLE).int()
    made = (form or EightBit(network)).upscaled(picture, strip_pixels)
    assert made.dtype == torch.uint8 and made.shape == wanted.shape
    off = (made.int() - wanted).abs()
    assert off.max() <= 1 and (off > 0).float().mean() < 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_published_networks_make_the_same_pictures(name):
    network = trained(NETWORKS[name])
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    assert_same_picture(network, COFFEE)
    assert_same_picture(network, COFFEE, form=ready(network, "cpu"))
    assert all(torch.equal(before[key], each) for key, each in network.state_dict().items())


@pytest.mark.parametrize("residual", residuals())
@pytest.mark.parametrize("stem", ["conv", "unshuffle3", "strided2"])
def test_every_residual(stem, residual):
    tail = Tail(cascade=3 if residual == "lr" else 0)
    network = trained(Architecture(stem=stem, width=8, tail=tail, residual=residual))
    assert_same_picture(network, COFFEE)


def test_a_clamp_inside_the_network_stays_before_what_is_added():
    for stem, residual in (("conv", "none"), ("conv", "nearest"), ("unshuffle2", "bicubic")):
        tail, stages = Tail(block="etds_clip"), (Stage("etds", 8, 1),)
        a = Architecture(stem=stem, width=8, stages=stages, tail=tail, residual=residual)
        assert_same_picture(trained(a), COFFEE)


class Odd(torch.nn.Module):
    """A tail of a plugin that is no single convolution."""

    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x):
        return self.conv(x).tanh()


@pytest.mark.parametrize("residual", ["none", "bilinear"])
def test_an_unknown_tail_is_run_as_it_is(residual):
    network = trained(Architecture(stem="unshuffle2", width=8, residual=residual))
    network.tail = Odd(network.tail)
    assert_same_picture(network, COFFEE)


@pytest.mark.parametrize("name", ["ANUNet", "CASR", "XiaomiMM"])
@pytest.mark.parametrize("strip_pixels", [400, 900])
def test_strips_make_no_difference(name, strip_pixels):
    network = trained(NETWORKS[name])
    assert_same_picture(network, COFFEE, strip_pixels, ready(network, "cpu"))


def test_the_smallest_pictures():
    network = fuse(build(Architecture(stem="unshuffle3", residual="bicubic"), seed=0))
    for height, width in ((1, 1), (1, 7), (4, 2)):
        assert_same_picture(network, np.ascontiguousarray(COFFEE[:height, :width]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", ENDS)
def test_a_gpu_makes_the_same_picture(name, half):
    network = trained(NETWORKS[name])
    wanted = upscale_picture(network, COFFEE).int()
    made = ready(network, "cuda", half=half).upscaled(COFFEE, WHOLE).cpu().int()
    off = (made - wanted).abs().float()
    assert off.max() <= (8 if half else 2) and off.mean() < 0.3
