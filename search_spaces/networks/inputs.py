"""What a network sees of an image beside its colours, and luma."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LUMA = (0.299, 0.587, 0.114)
"""BT.601 weights of R, G and B. They sum to one, so adding a plane to R, G and B alike adds it to
luma and leaves both chroma components as they are."""


def luma(x: Tensor) -> Tensor:
    """(N, 3, H, W) to the luma (N, 1, H, W), in the range of ``x``."""
    return F.conv2d(x, x.new_tensor(LUMA).view(1, 3, 1, 1))


class LumaInput(nn.Module):
    """Reduce an image to its luma."""

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1, H, W)."""
        return F.conv2d(x, self.weight.to(x.dtype))


class GradientInput(nn.Module):
    """Concatenate the gradient magnitude sqrt(dx^2 + dy^2) of central differences (survey 3.11)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 6, H, W)."""
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        dx = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
        dy = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
        return torch.cat([x, torch.sqrt(dx * dx + dy * dy + 1e-12)], dim=1)
