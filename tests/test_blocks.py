"""Every re-parameterisable block equals the sum of its branches, each run as its own convolution.

The references below never touch the folding algebra: they convolve branch by branch, and pad each
inner map with the bias of the 1x1 before it, as the definitions of the blocks demand.
"""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nas.common.registry import Registry
from search_spaces import InputError
from search_spaces.blocks import LinearBlock, blocks, linear_sizes
from search_spaces.blocks.edges import MASKS

SIZES = ((7, 9), (6, 5), (2, 3), (1, 1))


def plain(x, branch, stride=1):
    """A convolution of any odd size with zero padding that keeps the size."""
    rows, columns = branch.weight.shape[-2:]
    return F.conv2d(x, branch.weight, branch.bias, stride, (rows // 2, columns // 2))


def bordered(x, value):
    """A frame of one pixel around each channel, filled with the channel's value (None: zero)."""
    framed = F.pad(x, (1, 1, 1, 1))
    if value is not None:
        frame = F.pad(torch.zeros_like(x[:1, :1]), (1, 1, 1, 1), value=1.0)
        framed = framed + frame * value[None, :, None, None]
    return framed


def inner_then(x, first, then, stride=1):
    """1x1, then 3x3 on a map that is padded with the 1x1's bias."""
    inner = bordered(plain(x, first), first.bias)
    return F.conv2d(inner, then.weight, then.bias, stride)


def expansion(x, chain, stride):
    inner = inner_then(x, chain.expand, chain.inner, stride)
    return plain(inner, chain.squeeze)


def widening(x, chain, stride):
    return plain(plain(x, chain.widen, stride), chain.squeeze)


def edges(x, branches, stride):
    total = 0
    for branch, name in zip(branches, MASKS, strict=True):
        inner = bordered(plain(x, branch.mix), branch.mix.bias)
        mask = torch.tensor(MASKS[name]).to(x).expand(len(branch.scale), 1, 3, 3)
        taps = mask * branch.scale[:, None, None, None]
        total = total + F.conv2d(inner, taps, branch.bias, stride, groups=len(taps))
    return total


def shortcut(block, x):
    same = block.in_channels == block.out_channels and block.stride == 1
    return x if same else 0


def repvgg(b, x):
    return plain(x, b.conv3, b.stride) + plain(x, b.conv1, b.stride) + shortcut(b, x)


def ecb(b, x):
    wide = inner_then(x, b.expand, b.squeeze, b.stride)
    return plain(x, b.conv3, b.stride) + wide + edges(x, b.edges, b.stride)


def eecb(b, x):
    return ecb(b, x) + plain(x, b.conv1, b.stride)


def reprfn(b, x):
    plains = sum(plain(x, c, b.stride) for c in (b.conv3, b.vertical, b.horizontal, b.conv1))
    wide = inner_then(x, b.expand, b.squeeze, b.stride)
    return plains + wide + edges(x, b.edges, b.stride) + shortcut(b, x)


def rrrb(b, x):
    expanded = plain(x, b.expand)
    inner = inner_then(x, b.expand, b.inner, b.stride) + expanded[..., :: b.stride, :: b.stride]
    return plain(inner, b.squeeze) + shortcut(b, x)


def nrb(b, x):
    """The inner eECB runs on the padded map, so its own border is cut off again."""
    expanded = plain(x, b.expand)
    framed = bordered(bordered(expanded, b.expand.bias), b.expand.bias)
    inner = eecb(b.inner_block, framed)[..., 2:-2, 2:-2] + expanded
    return plain(inner[..., :: b.stride, :: b.stride], b.squeeze) + shortcut(b, x)


def reprb(b, x):
    plains = plain(x, b.conv3, b.stride) + plain(x, b.conv1, b.stride)
    return plains + expansion(x, b.expansion, b.stride) + shortcut(b, x)


def rvsr(b, x):
    plains = plain(x, b.conv3, b.stride) + plain(x, b.conv1, b.stride)
    chains = expansion(x, b.first, b.stride) + expansion(x, b.second, b.stride)
    return plains + chains + shortcut(b, x)


def lrsrn(b, x):
    side = shortcut(b, x) if b.conv1 is None else plain(x, b.conv1, b.stride)
    return widening(x, b.wide, b.stride) + side


def casr(b, x):
    return lrsrn(b, x) + widening(x, b.second, b.stride)


def resr(b, x):
    paths = widening(x, b.wide, b.stride) + widening(x, b.point, b.stride)
    return paths + edges(x, b.edges, b.stride) + shortcut(b, x)


def chain_and_point(b, x):
    return expansion(x, b.expansion, b.stride) + plain(x, b.conv1, b.stride)


def dconv(b, x):
    """Differences and sums are taken of the input's pixels, not of the weights."""
    k, s = b.kernel_size, b.stride
    padded = F.pad(x, (1, 1, 1, 1))
    columns = padded[..., :, : 1 - k] - padded[..., :, k - 1 :]
    rows = padded[..., : 1 - k, :] - padded[..., k - 1 :, :]
    out = F.conv2d(padded, b.conv.weight, b.conv.bias, s)
    out = out + F.conv2d(columns, b.horizontal.weight, None, s)
    out = out + F.conv2d(rows, b.vertical.weight, None, s)
    taps = F.unfold(padded, k, stride=s).unflatten(1, (x.shape[1], k, k))
    middle = taps[:, :, 1:-1, 1:-1] if k == 4 else taps[:, :, 1:2, 1:2]
    centre = middle.mean((2, 3), keepdim=True)
    minus = torch.einsum("ncijl,ocij->nol", taps - centre, b.surround.weight)
    plus = torch.einsum("ncijl,ocij->nol", taps + centre, b.aggregation.weight)
    return out + (minus + plus).reshape(out.shape)


def backbone(b, x):
    inner = b.backbone
    reference = ecb if hasattr(inner, "edges") else lambda c, y: plain(y, c.conv, c.stride)
    outer_stride, inner.stride = inner.stride, b.stride
    out = reference(inner, x)
    inner.stride = outer_stride
    return out


def etds(b, x):
    features, image = x[:, :-3], x[:, -3:]
    features = backbone(b, features) + plain(image, b.cross, b.stride)
    return torch.cat([features, plain(image, b.stream, b.stride)], 1)


def etds_tail(b, x):
    return backbone(b, x[:, :-3]) + plain(x[:, -3:], b.stream, b.stride)


def etds_stem(b, x):
    parts = [backbone(b, x[:, :3])]
    if b.gradient is not None:
        parts.append(plain(x[:, 3:], b.gradient, b.stride))
    return torch.cat([*parts, plain(x[:, :3], b.stream, b.stride)], 1)


REFERENCES = {
    "conv": lambda b, x: plain(x, b.conv, b.stride),
    "repvgg": repvgg,
    "ecb": ecb,
    "ecb_identity": lambda b, x: ecb(b, x) + shortcut(b, x),
    "reprfn": reprfn,
    "rrrb": rrrb,
    "nrb": nrb,
    "reprb": reprb,
    "rvsr": rvsr,
    "lrsrn": lrsrn,
    "casr": casr,
    "resr": resr,
    "lanczospp": chain_and_point,
    "conv3xc": chain_and_point,
    "dconv": dconv,
    "etds": etds,
    "etds_ecb": etds,
    "etds_tail": etds_tail,
    "etds_stem": etds_stem,
    "etds_ecb_stem": etds_stem,
}
CHANNELS = dict.fromkeys(("etds_stem", "etds_ecb_stem"), ((3, 8), (6, 9)))


def randomise(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)


def relative_error(a, b):
    assert a.shape == b.shape
    return ((a - b).abs().max() / b.abs().max().clamp_min(1e-30)).item()


def assert_folds(block, reference, dtype, tolerance):
    block = copy.deepcopy(block).to(dtype)
    conv = block.fused()
    assert type(conv) is nn.Conv2d and not conv.weight.is_set_to(next(block.parameters()))
    for size in SIZES:
        x = torch.randn(2, block.in_channels, *size, dtype=dtype)
        wanted = reference(block, x)
        stride = block.stride
        assert wanted.shape[-2:] == (-(-size[0] // stride), -(-size[1] // stride))
        assert relative_error(block(x), wanted) < tolerance
        assert relative_error(conv(x), wanted) < tolerance


def test_every_linear_block_has_a_reference():
    linear = [n for n in blocks if isinstance(make(n), LinearBlock)]
    assert linear == [name for name in blocks if name in REFERENCES]


def make(name, bias=True):
    channels = CHANNELS.get(name, ((8, 8),))[0]
    return blocks[name](*channels, bias=bias)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_block_equals_its_branches_borders_included(name):
    torch.manual_seed(0)
    widths = CHANNELS.get(name, ((5, 5), (4, 6)))
    for channels, stride, bias in itertools.product(widths, (1, 2), (True, False)):
        block = blocks[name](*channels, stride=stride, bias=bias)
        randomise(block)
        assert (block.fused().bias is not None) == bias
        assert_folds(block, REFERENCES[name], torch.float64, 1e-10)
        assert_folds(block, REFERENCES[name], torch.float32, 1e-5)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_block_still_folds_after_training(name):
    torch.manual_seed(1)
    block = make(name)
    optimiser = torch.optim.Adam(block.parameters(), lr=1e-2)
    x = torch.randn(2, block.in_channels, 7, 6)
    target = torch.randn_like(block(x))
    losses = []
    for _ in range(5):
        loss = F.mse_loss(block(x), target)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in block.parameters()), "a branch gets no gradient"
        optimiser.step()
    assert losses[-1] < losses[0]
    assert_folds(block, REFERENCES[name], torch.float64, 1e-10)


def test_the_strided_stem_of_ustc_noah_halves_even_sizes_with_four_taps():
    torch.manual_seed(2)
    for bias in (True, False):
        block = blocks["dconv"](3, 5, kernel_size=4, stride=2, bias=bias).double()
        randomise(block)
        x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
        assert block(x).shape == (2, 5, 4, 3)
        assert relative_error(block.fused()(x), dconv(block, x)) < 1e-10
        assert relative_error(block(x), dconv(block, x)) < 1e-10


@pytest.mark.parametrize("name", ["etds_clip", "etds_ecb_clip"])
def test_the_clamp_of_etds_becomes_two_relus_and_a_point_convolution(name):
    torch.manual_seed(3)
    for bias in (True, False):
        tail = blocks[name](8, 48, bias=bias).double()
        randomise(tail)
        x = torch.randn(2, 8, 7, 5, dtype=torch.float64)
        raw = etds_tail(tail.linear, x)
        assert relative_error(tail.train()(x), raw) < 1e-10
        clamped = raw.clamp(0, 1)
        assert relative_error(tail.eval()(x), clamped) < 1e-10
        deployed = tail.fused()
        assert [type(m) for m in deployed] == [nn.Conv2d, nn.ReLU, nn.Conv2d, nn.ReLU]
        assert relative_error(deployed(x), clamped) < 1e-10


def test_the_residual_stream_starts_as_the_image():
    image = torch.rand(1, 3, 5, 4)
    stem, body, tail = blocks["etds_stem"](3, 8), blocks["etds"](8, 9), blocks["etds_tail"](9, 48)
    assert torch.equal(stem(image)[:, -3:], image)
    features = torch.cat([torch.zeros(1, 5, 5, 4), image], 1)
    assert torch.equal(body(features)[:, -3:], image)
    nn.init.zeros_(tail.backbone.conv.weight)
    nn.init.zeros_(tail.backbone.conv.bias)
    upscaled = F.pixel_shuffle(tail(F.pad(features, (0, 0, 0, 0, 1, 0))), 4)
    assert torch.equal(upscaled, image.repeat_interleave(4, 2).repeat_interleave(4, 3))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("conv", 2320),
        ("ecb", 8400),
        ("reprfn", 10192),
        ("rrrb", 10320),
        ("conv3xc", 10592),
        ("rvsr", 23232),
        ("lrsrn", 41232),
        ("casr", 61856),
    ],
)
def test_training_forms_have_as_many_parameters_as_the_public_code(name, count):
    assert sum(p.numel() for p in blocks[name](16, 16).parameters()) == count


def test_lanczospp_has_39168_bias_free_parameters():
    block = blocks["lanczospp"](16, 16, bias=False)
    assert sum(p.numel() for p in block.parameters()) == 39168


@pytest.mark.parametrize("name", [name for name in blocks if not linear_sizes(name)])
@pytest.mark.parametrize("channels", [(8, 8), (8, 12)])
@pytest.mark.parametrize("bias", [True, False])
def test_blocks_with_their_own_activation_take_any_size(name, channels, bias):
    block = blocks[name](*channels, bias=bias)
    for size in ((1, 1), (3, 5), (17, 20)):
        out = block(torch.rand(1, channels[0], *size))
        assert out.shape == (1, channels[1], *size) and torch.isfinite(out).all()


def test_spab_is_attention_without_parameters():
    block = blocks["spab"](8, 8).double()
    x = torch.randn(1, 8, 6, 7, dtype=torch.float64)
    first = chain_and_point(block.first, x)
    second = chain_and_point(block.second, first * first.sigmoid())
    third = chain_and_point(block.third, second * second.sigmoid())
    assert relative_error(block(x), (x + third) * (third.sigmoid() - 0.5)) < 1e-10


def test_a_block_that_cannot_take_its_place_says_so():
    with pytest.raises(InputError, match="folds to 3x3, not 4x4"):
        blocks["ecb"](3, 8, kernel_size=4)
    with pytest.raises(InputError, match="a width above 3, not 3"):
        blocks["etds"](3, 3)
    with pytest.raises(InputError, match="not 12"):
        blocks["etds_stem"](12, 8)
    with pytest.raises(InputError, match="a multiple of 4, not 10"):
        blocks["safmn"](8, 10)
    for name in ("imdb", "rfdn_body"):
        with pytest.raises(InputError, match=f"block {name} .* a width above 3, not 3"):
            blocks[name](3, 3)


def test_the_registry_refuses_duplicates_and_lists_its_choices():
    table = Registry("block")
    table.add("one", int)
    with pytest.raises(InputError, match="'one' is registered already"):
        table.add("one", float)
    with pytest.raises(InputError, match="no block 'two'; choose one of one"):
        table["two"]
