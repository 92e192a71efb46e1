"""HAT has the published tensors, the published arithmetic, and takes pictures of any size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from nas.data.store import lanczos
from teachers.hat.blocks import (
    HybridBlock,
    OverlapBlock,
    attend,
    overlap_index,
    self_index,
    shift_mask,
)
from teachers.hat.network import HAT, PRESETS, HATSettings, reflect_to

SMALL = HATSettings(12, (2,), (2,), window=4, compress=3, squeeze=3, features=8)


@pytest.mark.parametrize(
    ("preset", "params", "tensors"),
    [("HAT-S", 9_621_183, 864), ("HAT", 20_772_507, 864), ("HAT-L", 40_846_575, 1710)],
)
def test_official_presets_have_the_published_size(preset, params, tensors):
    with torch.device("meta"):
        network = HAT(PRESETS[preset])
    assert sum(p.numel() for p in network.parameters()) == params
    assert len(network.state_dict()) == tensors


def test_official_tensor_names_and_shapes():
    with torch.device("meta"):
        state = HAT(PRESETS["HAT"]).state_dict()
    block = "layers.0.residual_group.blocks.5."
    overlap = "layers.5.residual_group.overlap_attn."
    shapes = {
        "relative_position_index_SA": (256, 256),
        "relative_position_index_OCA": (256, 576),
        "conv_first.weight": (180, 3, 3, 3),
        "patch_embed.norm.weight": (180,),
        block + "norm1.bias": (180,),
        block + "attn.relative_position_bias_table": (961, 6),
        block + "attn.qkv.weight": (540, 180),
        block + "attn.proj.bias": (180,),
        block + "conv_block.cab.0.weight": (60, 180, 3, 3),
        block + "conv_block.cab.2.weight": (180, 60, 3, 3),
        block + "conv_block.cab.3.attention.1.weight": (6, 180, 1, 1),
        block + "conv_block.cab.3.attention.3.weight": (180, 6, 1, 1),
        block + "mlp.fc1.weight": (360, 180),
        block + "mlp.fc2.weight": (180, 360),
        overlap + "relative_position_bias_table": (1521, 6),
        overlap + "qkv.bias": (540,),
        overlap + "norm2.weight": (180,),
        "layers.5.conv.weight": (180, 180, 3, 3),
        "norm.weight": (180,),
        "conv_after_body.weight": (180, 180, 3, 3),
        "conv_before_upsample.0.weight": (64, 180, 3, 3),
        "upsample.0.weight": (256, 64, 3, 3),
        "upsample.2.bias": (256,),
        "conv_last.weight": (3, 64, 3, 3),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 8), (13, 21), (40, 9)])
@pytest.mark.parametrize("settings", [SMALL, PRESETS["hat-tiny"]])
def test_any_size_is_upscaled_by_four(settings, size):
    network = HAT(settings).eval()
    with torch.inference_mode():
        sr = network(torch.rand(2, 3, *size))
    assert sr.shape == (2, 3, 4 * size[0], 4 * size[1])
    assert sr.isfinite().all()


def test_padding_is_what_pytorch_reflects_and_goes_on_where_it_refuses():
    x = torch.rand(1, 3, 5, 6)
    assert torch.equal(reflect_to(x, 8, 8), F.pad(x, (0, 2, 0, 3), mode="reflect"))
    line = torch.tensor([[[[0.0, 1.0, 2.0]]]])
    assert reflect_to(line, 1, 8).tolist() == [[[[0, 1, 2, 1, 0, 1, 2, 1]]]]


def test_fresh_hat_tiny_is_lanczos():
    # Mild contrast: Lanczos overshoots, and an 8-bit picture would clip that.
    lr = torch.randint(80, 170, (40, 48, 3), dtype=torch.uint8, generator=torch.Generator())
    with torch.inference_mode():
        sr = HAT(PRESETS["hat-tiny"])(lr.permute(2, 0, 1)[None] / 255)[0]
    expected = torch.from_numpy(lanczos(lr.numpy()).copy()).permute(2, 0, 1)
    inside = (..., slice(16, -16), slice(16, -16))  # borders: replicated here, renormalised there
    assert (sr * 255 - expected)[inside].abs().max() < 1.5  # Pillow rounds twice


def test_index_of_overlap_gives_every_offset_a_row_of_its_own():
    window, extent = 4, 6
    span = window + extent - 1
    rows = overlap_index(window, extent) % span**2  # negative rows count from the end
    offsets: dict[int, tuple[int, int]] = {}
    for query in range(window**2):
        for key in range(extent**2):
            offset = (key // extent - query // window, key % extent - query % window)
            assert offsets.setdefault(int(rows[query, key]), offset) == offset
    assert len(offsets) == span**2


def test_index_within_a_window_is_symmetric_about_the_centre():
    index = self_index(3)
    assert index.unique().numel() == 25
    assert torch.equal(index + index.T, torch.full((9, 9), 24))


def test_shifted_windows_do_not_see_across_the_border():
    mask = shift_mask(8, 8, 4, torch.device("cpu"))
    assert mask.shape == (4, 1, 16, 16)
    assert (mask[0] == 0).all()  # the first window lies inside
    last = mask[3, 0].view(4, 4, 4, 4)  # query row, column, key row, column
    assert last[0, 0, 1, 1] == 0
    assert (last[0, 0, 2:] == -100).all()
    assert (last[0, 0, :, 2:] == -100).all()


def test_masks_made_in_inference_serve_training():
    shift_mask.cache_clear()
    block = HybridBlock(
        4, 1, 4, shifted=True, compress=1, squeeze=2, conv_scale=1.0, hidden=4
    )  # fmt: skip
    x, index = torch.rand(1, 8, 8, 4), self_index(4)
    with torch.inference_mode():
        block(x, index)
    block(x, index).sum().backward()
    assert block.attn.relative_position_bias_table.grad is not None


def test_overlapping_windows_are_those_of_unfold():
    block = OverlapBlock(6, 2, 4, 6, 12)
    x = torch.rand(2, 12, 8, 6)
    padded = F.pad(x, (0, 0, 1, 1, 1, 1)).unfold(1, 6, 4).unfold(2, 6, 4)
    expected = padded.permute(0, 1, 2, 4, 5, 3).reshape(-1, 36, 6)
    assert torch.equal(block._surroundings(x), expected)


def test_training_and_inference_attend_alike():
    q, k, v = (torch.rand(3, 2, 9, 4) for _ in range(3))
    bias = torch.rand(1, 2, 9, 9, requires_grad=True)
    trained = attend(q, k, v, bias)
    with torch.inference_mode():
        assert torch.allclose(attend(q, k, v, bias), trained.detach(), atol=1e-6)
