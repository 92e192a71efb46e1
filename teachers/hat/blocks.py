"""The blocks of HAT: window attention, channel attention, overlapping cross-attention.

Source: Chen et al., "Activating More Pixels in Image Super-Resolution Transformer" (CVPR 2023).
Module names and tensor shapes are those of the published checkpoints; the code is our own.

Feature maps travel as ``(N, H, W, C)``: linear layers and norms read them as they are, and a
permuted view of them is what PyTorch calls channels-last, the layout convolutions like best.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def to_windows(x: Tensor, window: int) -> Tensor:
    """Cut ``(N, H, W, C)`` into ``(N * windows, window * window, C)``, row by row."""
    n, h, w, c = x.shape
    x = x.view(n, h // window, window, w // window, window, c)
    return x.transpose(2, 3).reshape(-1, window * window, c)


def from_windows(windows: Tensor, window: int, h: int, w: int) -> Tensor:
    """Undo `to_windows` for a map of ``h`` x ``w``."""
    c = windows.shape[-1]
    x = windows.view(-1, h // window, w // window, window, window, c)
    return x.transpose(2, 3).reshape(-1, h, w, c)


def self_index(window: int) -> Tensor:
    """Which bias belongs to each query and key of one window: int64 ``(window^2, window^2)``."""
    y, x = _coordinates(window)
    span = 2 * window - 1
    dy = y[:, None] - y[None, :] + window - 1
    dx = x[:, None] - x[None, :] + window - 1
    return dy * span + dx


def overlap_index(window: int, extent: int) -> Tensor:
    """Which bias belongs to each query of a window and key of the larger one around it.

    int64 ``(window^2, extent^2)``. The published checkpoints count from an offset that leaves
    about half of the entries negative; indexing wraps them around, so each offset between a query
    and a key still owns one row of the table. We count the same way, to read the same rows.
    """
    y, x = _coordinates(window)
    far_y, far_x = _coordinates(extent)
    span = window + extent - 1
    dy = far_y[None, :] - y[:, None] + window - extent + 1
    dx = far_x[None, :] - x[:, None] + window - extent + 1
    return dy * span + dx


def _coordinates(side: int) -> tuple[Tensor, Tensor]:
    # Really computed, also where a network without memory is made ("meta"): arithmetic on such
    # tensors would first import torch's compiler, which takes a second.
    along = torch.arange(side, device="cpu")
    y, x = torch.meshgrid(along, along, indexing="ij")
    return y.flatten(), x.flatten()


@lru_cache(maxsize=8)
def shift_mask(h: int, w: int, window: int, device: torch.device) -> Tensor:
    """What keeps a cyclically shifted window from seeing across the border of the map.

    Float ``(windows, 1, window^2, window^2)`` to be added to the attention logits: 0 where query
    and key come from the same side of the border, -100 elsewhere.
    """
    with torch.inference_mode(False):  # the cache outlives the mode it was filled in
        region = _strips(h, window)[:, None] * 3 + _strips(w, window)[None, :]
        windows = to_windows(region.view(1, h, w, 1), window).squeeze(-1)
        apart = windows[:, None, :] != windows[:, :, None]
        return (apart * -100.0).unsqueeze(1).to(device)


def _strips(length: int, window: int) -> Tensor:
    """0, 1 or 2 for each row after the shift: untouched, last window, wrapped around."""
    place = torch.arange(length)
    return (place >= length - window).long() + (place >= length - window // 2).long()


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Softmax attention with ``bias`` added to the logits; all ``(N, heads, positions, C)``.

    PyTorch's fused attention takes no gradient for the bias and would fall back to a slower form
    of what is written out here.
    """
    bias = bias.to(q.dtype)
    if not (torch.is_grad_enabled() and bias.requires_grad):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + bias
    return logits.softmax(dim=-1) @ v


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows, with a learned bias for each relative position."""

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, windows: Tensor, index: Tensor, mask: Tensor | None) -> Tensor:
        """Map ``(N * windows, window^2, C)`` to the same shape; ``mask`` as of `shift_mask`."""
        count, area, dim = windows.shape
        qkv = self.qkv(windows).view(count, area, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[index].permute(2, 0, 1)[None]
        if mask is not None:
            bias = bias + mask
            if count > len(mask):
                bias = bias.repeat(count // len(mask), 1, 1, 1)
        mixed = attend(q, k, v, bias)
        return self.proj(mixed.transpose(1, 2).reshape(count, area, dim))


class ChannelAttention(nn.Module):
    """Scale each channel by a number in (0, 1) computed from the means of all channels."""

    def __init__(self, dim: int, squeeze: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(dim, dim // squeeze, 1),
            nn.ReLU(),
            nn.Conv2d(dim // squeeze, dim, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to the same shape."""
        return x * self.attention(x)


class ConvBranch(nn.Module):
    """The convolutional half of a hybrid block: 3x3 down, GELU, 3x3 up, channel attention."""

    def __init__(self, dim: int, compress: int, squeeze: int) -> None:
        super().__init__()
        self.cab = nn.Sequential(
            nn.Conv2d(dim, dim // compress, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(dim // compress, dim, 3, padding=1),
            ChannelAttention(dim, squeeze),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, H, W, C)`` to the same shape."""
        return self.cab(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class FeedForward(nn.Module):
    """Two linear layers with GELU between them, on each position."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., C)`` to the same shape."""
        return self.fc2(F.gelu(self.fc1(x)))


class HybridBlock(nn.Module):
    """Window attention and the convolutional branch side by side, then the feed-forward layer."""

    def __init__(
        self,
        dim: int,
        heads: int,
        window: int,
        *,
        shifted: bool,
        compress: int,
        squeeze: int,
        conv_scale: float,
        hidden: int,
    ) -> None:
        super().__init__()
        self.window = window
        self.shift = window // 2 if shifted else 0
        self.conv_scale = conv_scale
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window)
        self.conv_block = ConvBranch(dim, compress, squeeze)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, hidden)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Map ``(N, H, W, C)`` to the same shape; the sides are multiples of the window."""
        _, h, w, _ = x.shape
        normed = self.norm1(x)
        local = self.conv_block(normed)
        mask = None
        if self.shift:
            normed = normed.roll((-self.shift, -self.shift), (1, 2))
            mask = shift_mask(h, w, self.window, x.device)
        windows = self.attn(to_windows(normed, self.window), index, mask)
        attended = from_windows(windows, self.window, h, w)
        if self.shift:
            attended = attended.roll((self.shift, self.shift), (1, 2))
        x = x + attended + local * self.conv_scale
        return x + self.mlp(self.norm2(x))


class OverlapBlock(nn.Module):
    """Cross-attention from each window to the larger window around it, then feed-forward."""

    def __init__(self, dim: int, heads: int, window: int, extent: int, hidden: int) -> None:
        super().__init__()
        self.heads, self.window, self.extent = heads, window, extent
        self.relative_position_bias_table = nn.Parameter(
            torch.empty((window + extent - 1) ** 2, heads)
        )
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, hidden)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Map ``(N, H, W, C)`` to the same shape; the sides are multiples of the window."""
        _, h, w, dim = x.shape
        q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        bias = self.relative_position_bias_table[index].permute(2, 0, 1)[None]
        mixed = attend(
            self._split(to_windows(q, self.window)),
            self._split(self._surroundings(k)),
            self._split(self._surroundings(v)),
            bias,
        )
        merged = mixed.transpose(1, 2).reshape(-1, self.window**2, dim)
        x = x + self.proj(from_windows(merged, self.window, h, w))
        return x + self.mlp(self.norm2(x))

    def _split(self, windows: Tensor) -> Tensor:
        count, area, dim = windows.shape
        return windows.view(count, area, self.heads, dim // self.heads).transpose(1, 2)

    def _surroundings(self, x: Tensor) -> Tensor:
        """Cut ``(N, H, W, C)`` into overlapping ``(N * windows, extent^2, C)``, zeros outside."""
        n, _, w, c = x.shape
        before = (self.extent - self.window) // 2
        after = self.window - before
        x = F.pad(x, (0, 0, before, after, before, after))
        x = self._overlapping(x.view(n, -1, self.window, w + self.window, c), 1)
        x = self._overlapping(x.view(*x.shape[:3], -1, self.window, c), 3)
        return x.transpose(2, 3).reshape(-1, self.extent**2, c)

    def _overlapping(self, blocks: Tensor, dim: int) -> Tensor:
        """Append the first rows of its successor to each block: blocks along ``dim``, rows next.

        The same as ``Tensor.unfold`` with a step of the window, whose gradient is several times
        slower on a processor.
        """
        count = blocks.shape[dim] - 1
        following = blocks.narrow(dim, 1, count).narrow(dim + 1, 0, self.extent - self.window)
        return torch.cat([blocks.narrow(dim, 0, count), following], dim=dim + 1)
