"""HAT as a teacher family: loading of checkpoints (ours and the official), presets, features.

The settings of a HAT are read from the shapes of its tensors, so a bare checkpoint is enough.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from nas.common.errors import InputError
from teachers.hat import network
from teachers.hat.blocks import HybridBlock
from teachers.hat.network import HAT, OFFICIAL_CONV_SCALE, HATSettings

PRESETS = {name: partial(HAT, settings) for name, settings in network.PRESETS.items()}


def matches(path: Path, tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of a HAT."""
    return any(name.endswith("relative_position_bias_table") for name in tensors)


def load(path: Path, tensors: Mapping[str, Tensor]) -> tuple[str, nn.Module]:
    """Name and network of a checkpoint.

    Raises:
        InputError: it is not a 4x HAT, or its tensors do not fit together.
    """
    try:
        with torch.device("meta"):  # shapes only: spares initialization and random numbers
            hat = HAT(settings_of(tensors))
        hat.load_state_dict(tensors, strict=True, assign=True)
    except InputError as fault:
        raise InputError(f"{path} is no teacher: {fault}; a 4x HAT is needed") from fault
    except (RuntimeError, ValueError, IndexError, ZeroDivisionError) as fault:
        detail = " ".join(str(fault).split())[:300]
        raise InputError(f"{path} is no teacher that fits together: {detail}") from fault
    return path.stem, hat.eval().requires_grad_(False)


def feature_layers(hat: HAT) -> list[nn.Module]:
    """The hybrid blocks, from first to last."""
    return [module for module in hat.layers.modules() if isinstance(module, HybridBlock)]


def feature_map(output: Tensor, lr: Tensor) -> Tensor:
    """A block's (N, H, W, C), padded to whole windows, as (N, C, H, W) of the LR's size."""
    return output.permute(0, 3, 1, 2)[..., : lr.shape[-2], : lr.shape[-1]]


def settings_of(tensors: Mapping[str, Tensor]) -> HATSettings:
    """Read the settings of a HAT off the names and shapes of its tensors.

    Raises:
        InputError: A tensor that every 4x HAT has is missing; names it.
    """
    embed = _shape(tensors, "conv_first.weight")[0]
    features = _shape(tensors, "conv_last.weight")[1]
    doubles = _shape(tensors, "upsample.0.weight")[0] == 4 * features
    if not doubles or "upsample.2.weight" not in tensors:
        raise InputError("it does not upscale by 4 (no upsample.2.weight, or of another shape)")
    block = "layers.0.residual_group.blocks.0"
    overlap_table = "layers.{}.residual_group.overlap_attn.relative_position_bias_table"
    window = (math.isqrt(_shape(tensors, f"{block}.attn.relative_position_bias_table")[0]) + 1) // 2
    extent = math.isqrt(_shape(tensors, overlap_table.format(0))[0]) + 1 - window
    depths = _depths(tensors, r"layers\.(\d+)\.residual_group\.blocks\.(\d+)\.")
    conv_scale = tensors.get("conv_scale")
    return HATSettings(
        embed_dim=embed,
        depths=depths,
        heads=tuple(_shape(tensors, overlap_table.format(i))[1] for i in range(len(depths))),
        window=window,
        compress=embed // _shape(tensors, f"{block}.conv_block.cab.0.weight")[0],
        squeeze=embed // _shape(tensors, f"{block}.conv_block.cab.3.attention.1.weight")[0],
        mlp_ratio=_shape(tensors, f"{block}.mlp.fc1.weight")[0] / embed,
        overlap=(extent - window) / window,
        conv_scale=OFFICIAL_CONV_SCALE if conv_scale is None else float(conv_scale),
        features=features,
        image_skip="image_skip.weight" in tensors,
    )


def _shape(tensors: Mapping[str, Tensor], name: str) -> torch.Size:
    tensor = tensors.get(name)
    if tensor is None or (tensor.ndim != 4 and name.split(".")[-2].startswith("conv")):
        raise InputError(f"it has no usable tensor {name}")
    return tensor.shape


def _depths(tensors: Mapping[str, Tensor], pattern: str) -> tuple[int, ...]:
    """Number of blocks in each group."""
    indices = {
        tuple(map(int, hit.groups())) for name in tensors if (hit := re.match(pattern, name))
    }
    groups = 1 + max(group for group, _ in indices)
    if groups > len(indices):  # a tensor name can claim any index
        raise InputError(f"it has {len(indices)} blocks in {groups} groups")
    return tuple(sum(group == index for group, _ in indices) for index in range(groups))
