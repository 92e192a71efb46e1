"""HAT, the Hybrid Attention Transformer for 4x super-resolution.

Source: Chen et al., "Activating More Pixels in Image Super-Resolution Transformer" (CVPR 2023).
The official presets have exactly the tensors of the published checkpoints, so that these load
strictly. `hat-tiny` is ours: the same body, small, with an image skip that starts as Lanczos.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.architecture import SCALE
from search_spaces.networks.residual import interpolation_kernel
from teachers.hat.blocks import HybridBlock, OverlapBlock, overlap_index, self_index

RGB_MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K; the checkpoints rely on it but do not hold it
SKIP_KERNEL = 7  # LR pixels that a 3-lobed Lanczos kernel reaches, for all 16 output phases
OFFICIAL_CONV_SCALE = 0.01


@dataclass(frozen=True, slots=True)
class HATSettings:
    """The shape of one HAT.

    Attributes:
        embed_dim: Channels of the body.
        depths: Hybrid blocks in each group; a group ends with an overlap block.
        heads: Attention heads in each group; each divides ``embed_dim``.
        window: Side of an attention window, in LR pixels.
        compress: How many times narrower the middle of the convolutional branch is.
        squeeze: How many times narrower the middle of the channel attention is.
        mlp_ratio: Width of the feed-forward layers over ``embed_dim``.
        overlap: How much larger the overlap block's key window is: 0.5 means 1.5 times the side.
        conv_scale: Weight of the convolutional branch beside the attention.
        features: Channels of the upsampler.
        image_skip: Add the picture itself, upsampled by a learned kernel that starts as Lanczos.
    """

    embed_dim: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int = 16
    compress: int = 3
    squeeze: int = 30
    mlp_ratio: float = 2.0
    overlap: float = 0.5
    conv_scale: float = OFFICIAL_CONV_SCALE
    features: int = 64
    image_skip: bool = False


PRESETS = MappingProxyType(
    {
        "HAT-S": HATSettings(144, (6,) * 6, (6,) * 6, compress=24, squeeze=24),
        "HAT": HATSettings(180, (6,) * 6, (6,) * 6),
        "HAT-L": HATSettings(180, (6,) * 12, (6,) * 12),
        # Sized for one processor core: 0.3 s for a 512 x 512 picture. Its convolutional
        # branch is wide and weighs as much as the attention, because a short training gets most
        # from convolutions, and the skip saves it from learning to interpolate first.
        "hat-tiny": HATSettings(
            48, (2,), (2,), window=8, compress=1, squeeze=6, mlp_ratio=2.0,
            conv_scale=1.0, features=32, image_skip=True,
        ),
    }
)  # fmt: skip


class HAT(nn.Module):
    """HAT x4: ``(N, 3, H, W)`` floats in [0, 1] to ``(N, 3, 4H, 4W)``, not clamped; any H and W."""

    relative_position_index_SA: Tensor
    relative_position_index_OCA: Tensor

    def __init__(self, settings: HATSettings) -> None:
        super().__init__()
        s = self.settings = settings
        extent = s.window + int(s.window * s.overlap)
        self.register_buffer("relative_position_index_SA", self_index(s.window))
        self.register_buffer("relative_position_index_OCA", overlap_index(s.window, extent))
        if s.conv_scale != OFFICIAL_CONV_SCALE:  # held by the file, since no shape tells it
            self.register_buffer("conv_scale", torch.tensor(s.conv_scale))

        self.conv_first = nn.Conv2d(3, s.embed_dim, 3, padding=1)
        self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(s.embed_dim)})
        self.layers = nn.ModuleList(
            _Group(s, depth, heads, extent) for depth, heads in zip(s.depths, s.heads, strict=True)
        )
        self.norm = nn.LayerNorm(s.embed_dim)
        self.conv_after_body = nn.Conv2d(s.embed_dim, s.embed_dim, 3, padding=1)
        self.conv_before_upsample = nn.Sequential(
            nn.Conv2d(s.embed_dim, s.features, 3, padding=1), nn.LeakyReLU(0.01)
        )
        self.upsample = nn.Sequential(
            nn.Conv2d(s.features, 4 * s.features, 3, padding=1),
            nn.PixelShuffle(2),
            nn.Conv2d(s.features, 4 * s.features, 3, padding=1),
            nn.PixelShuffle(2),
        )
        self.conv_last = nn.Conv2d(s.features, 3, 3, padding=1)
        self.apply(_initialise)
        self.image_skip: nn.Conv2d | None = None
        if s.image_skip:
            self.image_skip = _lanczos_skip()
            nn.init.zeros_(self.conv_last.weight)
            nn.init.zeros_(self.conv_last.bias)  # type: ignore[arg-type]

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale ``lr``."""
        h, w = lr.shape[-2:]
        window = self.settings.window
        mean = lr.new_tensor(RGB_MEAN).view(1, 3, 1, 1)
        x = lr - mean
        x = reflect_to(x, math.ceil(h / window) * window, math.ceil(w / window) * window)
        shallow = self.conv_first(x)
        deep = self.patch_embed["norm"](shallow.permute(0, 2, 3, 1))
        for group in self.layers:
            deep = group(deep, self.relative_position_index_SA, self.relative_position_index_OCA)
        deep = self.conv_after_body(self.norm(deep).permute(0, 3, 1, 2)) + shallow
        sr = self.conv_last(self.upsample(self.conv_before_upsample(deep)))
        if self.image_skip is not None:
            padded = F.pad(x, (SKIP_KERNEL // 2,) * 4, mode="replicate")
            sr = sr + F.pixel_shuffle(self.image_skip(padded), SCALE)
        return sr[..., : h * SCALE, : w * SCALE] + mean


class _Group(nn.Module):
    """Hybrid blocks, every other one shifted, an overlap block, a 3x3 convolution; residual."""

    def __init__(self, s: HATSettings, depth: int, heads: int, extent: int) -> None:
        super().__init__()
        self.residual_group = _Attention(s, depth, heads, extent)
        self.conv = nn.Conv2d(s.embed_dim, s.embed_dim, 3, padding=1)

    def forward(self, x: Tensor, self_rows: Tensor, overlap_rows: Tensor) -> Tensor:
        deep = self.residual_group(x, self_rows, overlap_rows)
        return x + self.conv(deep.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class _Attention(nn.Module):
    """The attention blocks of one group."""

    def __init__(self, s: HATSettings, depth: int, heads: int, extent: int) -> None:
        super().__init__()
        hidden = int(s.embed_dim * s.mlp_ratio)
        self.blocks = nn.ModuleList(
            HybridBlock(
                s.embed_dim,
                heads,
                s.window,
                shifted=bool(place % 2),
                compress=s.compress,
                squeeze=s.squeeze,
                conv_scale=s.conv_scale,
                hidden=hidden,
            )
            for place in range(depth)
        )
        self.overlap_attn = OverlapBlock(s.embed_dim, heads, s.window, extent, hidden)

    def forward(self, x: Tensor, self_rows: Tensor, overlap_rows: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, self_rows)
        return self.overlap_attn(x, overlap_rows)


def reflect_to(x: Tensor, height: int, width: int) -> Tensor:
    """Extend ``(..., H, W)`` at the bottom and right to ``height`` x ``width`` by reflection.

    Unlike ``F.pad`` it reflects back and forth where the padding is larger than the picture.
    """
    for dim, length in ((-2, height), (-1, width)):
        size = x.shape[dim]
        if length > size:
            period = max(2 * (size - 1), 1)
            place = torch.arange(length, device=x.device) % period
            x = x.index_select(dim, torch.minimum(place, period - place) if size > 1 else place * 0)
    return x


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


def _lanczos_skip() -> nn.Conv2d:
    """A 3-lobed Lanczos 4x upsampler of each colour, to be followed by a pixel shuffle."""
    skip = nn.Conv2d(3, 3 * SCALE**2, SKIP_KERNEL, groups=3, bias=False)
    with torch.no_grad(), torch.device("cpu"):  # really computed, see `hat_blocks._coordinates`
        skip.weight.copy_(interpolation_kernel("lanczos")[:, None].repeat(3, 1, 1, 1))
    return skip
