"""Between 8-bit pictures and a network's tensors."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch

Pixels: TypeAlias = "np.ndarray | torch.Tensor"
"""A uint8 picture of shape (H, W, 3), RGB; arrays may be memory-mapped and read-only."""


def as_tensor(pixels: Pixels) -> torch.Tensor:
    """Return the picture as a tensor: itself, or a copy of the array."""
    if isinstance(pixels, torch.Tensor):
        return pixels
    # A copy, because memory-mapped pictures are read-only and torch has no such tensors.
    return torch.from_numpy(np.array(pixels, dtype=np.uint8))


def to_input(pixels: Pixels, device: str | torch.device = "cpu") -> torch.Tensor:
    """Return uint8 pixels (H, W, 3) as a network's input: float (1, 3, H, W) in [0, 1]."""
    return as_tensor(pixels).to(device).permute(2, 0, 1)[None].float().div(255).contiguous()


def to_uint8(image: torch.Tensor) -> torch.Tensor:
    """Return a network's output, (3, H, W) in [0, 1] or beyond, as uint8 pixels (H, W, 3).

    Clamps, scales and rounds half to even, as the organisers do before they write a PNG.
    """
    # In place after the first step: at 4K each further copy takes as long as a convolution.
    return image.float().clamp(0, 1).mul_(255).round_().to(torch.uint8).permute(1, 2, 0)
