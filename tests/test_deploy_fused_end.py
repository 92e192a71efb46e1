"""The end of a network as one kernel: on a CPU by Triton's interpreter, on CUDA for real."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from deployed import ENDS, NETWORKS, trained

from nas.deploy import fused_tail as module
from nas.deploy.fused_tail import fuse_tail, is_faster
from nas.deploy.uint8_network import Uint8Network
from nas.deploy.upscale import ready
from search_spaces import Architecture, Tail, published

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

INTERPRETED = """
import torch
from deployed import LUMA, NETWORKS, trained
from nas.deploy.uint8_network import Uint8Network
from nas.deploy.fused_tail import fuse_tail
from search_spaces import Architecture, Tail

cases = [NETWORKS[name] for name in ("RepTCN", "ANUNet", "CASR", "VPEG-R", "URPNet", "Lanczos++")]
cases += [NETWORKS[name] for name in LUMA]
cases += [
    Architecture(stem=stem, width=width, tail=Tail(kernel=kernel), bias=False, residual=residual)
    for stem, width, kernel, residual in (
        ("conv", 11, 3, "nearest"),
        ("conv", 48, 1, "bilinear"),
        ("unshuffle2", 5, 3, "lanczos"),
        ("unshuffle3", 16, 1, "bicubic"),
        ("unshuffle4", 20, 1, "learned"),
    )
]
with torch.no_grad():
    for number, architecture in enumerate(cases):
        network = trained(architecture)
        floats = fuse_tail(network, to_bytes=False).to(memory_format=torch.channels_last)
        levels = fuse_tail(network, to_bytes=True).to(memory_format=torch.channels_last)
        for size in ((3, 67 + number), (7, 5)):
            x = torch.rand(1, 3, *size)
            assert (floats(x) - network(x)).abs().max() < 1e-5, (architecture, size)
            off = (levels(x).int() - Uint8Network(network).plain(x).int()).abs()
            assert off.max() <= 1 and (off > 0).float().mean() < 0.01, (architecture, size)
    network = trained(NETWORKS["ANUNet"])
    x = torch.rand(1, 3, 6, 70)
    half = fuse_tail(network, to_bytes=True).half()(x.half()).int()
    off = (half - Uint8Network(network).plain(x).int()).abs()
    assert off.max() <= 2 and off.float().mean() < 0.1
    clipped = trained(NETWORKS["ETDS-M5C16"])
    off = fuse_tail(clipped, to_bytes=True)(x).int() - Uint8Network(clipped).plain(x).int()
    assert off.abs().max() <= 1
"""


@needs_triton
def test_the_kernel_computes_what_pytorch_does():
    folder = Path(__file__).parent
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": path_with(folder)}
    run = [sys.executable, "-c", INTERPRETED]
    ran = subprocess.run(run, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def path_with(folder):
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.fixture
def triton(monkeypatch):
    """As if Triton were there: nothing imports it before the first picture."""
    monkeypatch.setattr(module, "find_spec", lambda name: True)


def test_what_the_kernel_can_end(triton):
    able = {name for name, a in NETWORKS.items() if fuse_tail(trained(a), to_bytes=False)}
    assert set(NETWORKS) - able == {"Megastudy", "ETDS-M5C16"}, "a clamp is for bytes only"
    assert all(fuse_tail(trained(a), to_bytes=True) for a in NETWORKS.values())
    odd = trained(Architecture(width=8))
    odd.tail = torch.nn.Sequential(odd.tail, torch.nn.Tanh())
    assert fuse_tail(odd, to_bytes=True) is None
    clipped = Architecture(width=8, tail=Tail(block="etds_clip"), residual="nearest")
    assert fuse_tail(trained(clipped), to_bytes=True) is None


def test_without_triton_pytorch_does_it(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert fuse_tail(trained(published["RepTCN"].architecture), to_bytes=True) is None


def test_a_cpu_keeps_pytorch(triton):
    assert ready(trained(published["RepTCN"].architecture), "cpu").fused is None


@pytest.mark.gpu
@needs_triton
@needs_cuda
@pytest.mark.parametrize("size", [(33, 47), (540, 960)])
@pytest.mark.parametrize("name", ENDS)
def test_on_cuda_it_computes_what_pytorch_does(name, size):
    network = trained(NETWORKS[name])
    x = torch.rand(1, 3, *size).cuda().half()
    with torch.no_grad():
        levels = fuse_tail(network, to_bytes=True).cuda().half()
        plain = Uint8Network(network).cuda().half()
        off = (levels(x).int() - plain.plain(x).int()).abs()
        assert off.max() <= 2 and off.float().mean() < 0.1
        if (floats := fuse_tail(network, to_bytes=False)) is not None:
            made, wanted = floats.cuda().half()(x), network.cuda().half()(x)
            assert torch.allclose(made, wanted, atol=1e-2, rtol=1e-2)


@pytest.mark.gpu
@needs_cuda
def test_what_differs_or_fails_is_not_used():
    x = torch.rand(1, 3, 8, 8, device="cuda")

    def broken(x):
        raise RuntimeError("no compiler")

    assert not is_faster(lambda x: x + 1, lambda x: x, x)
    assert not is_faster(broken, lambda x: x, x)
