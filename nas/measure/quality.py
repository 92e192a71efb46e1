"""Picture quality as the challenge measures it: 8-bit pictures, no border crop, RGB and luma.

Every metric takes two uint8 pictures of shape (H, W, 3), RGB, as NumPy arrays (memory-mapped ones
too) or tensors, and returns a Python float. Source: survey section 2.3 and the organisers' public
scripts, see the notes at `psnr_y_organiser`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import torch

Pixels: TypeAlias = "np.ndarray | torch.Tensor"
"""A uint8 picture of shape (H, W, 3), RGB."""

LUMA_RGB = (65.481 / 255, 128.553 / 255, 24.966 / 255)
"""BT.601 studio-range luma weights for 8-bit R, G and B; luma is 16 + their weighted sum."""

LUMA_ORGANISER = LUMA_RGB[::-1]
"""The weights that the challenge applied: its pictures were RGB, its formula expected BGR."""

_ROWS = 64  # rows of a strip: its maps stay in the processor's cache, and 4K needs no 4K doubles


def to_uint8(image: torch.Tensor) -> torch.Tensor:
    """Return a network's output, (3, H, W) in [0, 1] or beyond, as uint8 pixels (H, W, 3).

    Clamps, scales and rounds half to even, as the organisers do before they write a PNG.
    """
    return image.float().clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0)


def to_input(pixels: Pixels, device: str | torch.device = "cpu") -> torch.Tensor:
    """Return uint8 pixels (H, W, 3) as a network's input: float (1, 3, H, W) in [0, 1]."""
    return _tensor(pixels).to(device).permute(2, 0, 1)[None].float().div(255).contiguous()


def psnr(a: Pixels, b: Pixels) -> float:
    """Return the PSNR over all three channels in dB, infinite for equal pictures."""
    gram, pixels = _difference_gram(a, b)
    return _decibel(float(gram.trace()) / (3 * pixels))


def psnr_y(a: Pixels, b: Pixels) -> float:
    """Return the PSNR of the BT.601 studio-range luma in dB; luma is not rounded, the peak 255."""
    return _psnr_luma(a, b, LUMA_RGB)


def psnr_y_organiser(a: Pixels, b: Pixels) -> float:
    """Return luma PSNR in dB as the challenge computed it, with red and blue weights swapped.

    The organisers' conversion expects BGR and is given RGB. Use it beside numbers of the survey
    only; it differs from `psnr_y` by -0.06 to -0.09 dB on average.
    """
    return _psnr_luma(a, b, LUMA_ORGANISER)


def ssim(a: Pixels, b: Pixels) -> float:
    """Return the mean SSIM of the three channels.

    Wang et al. 2004: 11x11 Gaussian window of sigma 1.5, K1 0.01, K2 0.03, range 255, only where
    the window lies inside the picture.

    Raises:
        ValueError: the pictures differ in shape or are smaller than the window.
    """
    return _ssim(a, b, torch.eye(3, dtype=torch.float64), 0.0)


def ssim_y(a: Pixels, b: Pixels) -> float:
    """Return the SSIM of the luma of `psnr_y`; window and errors as in `ssim`."""
    return _ssim(a, b, torch.tensor([LUMA_RGB], dtype=torch.float64), 16.0)


def _tensor(pixels: Pixels) -> torch.Tensor:
    if isinstance(pixels, torch.Tensor):
        return pixels
    # A copy, because memory-mapped pictures are read-only and torch has no such tensors.
    return torch.from_numpy(np.array(pixels, dtype=np.uint8))


def _check(a: Pixels, b: Pixels) -> None:
    if tuple(a.shape) != tuple(b.shape) or a.ndim != 3 or a.shape[2] != 3:
        raise ValueError(
            f"pictures to compare are both (H, W, 3), not {tuple(a.shape)} and {tuple(b.shape)}"
        )


def _difference_gram(a: Pixels, b: Pixels) -> tuple[torch.Tensor, int]:
    """Return D'D (3, 3) of the pixels' differences D (H*W, 3), and H*W.

    Whole numbers in doubles, so exact; every squared error of a weighted sum of the channels is a
    quadratic form of it.
    """
    _check(a, b)
    gram = torch.zeros(3, 3, dtype=torch.float64)
    for top in range(0, a.shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        difference = _tensor(a[rows]).double() - _tensor(b[rows]).double()
        flat = difference.reshape(-1, 3).T
        gram += (flat @ flat.T).cpu()
    return gram, a.shape[0] * a.shape[1]


def _psnr_luma(a: Pixels, b: Pixels, weights: tuple[float, ...]) -> float:
    gram, pixels = _difference_gram(a, b)
    row = torch.tensor(weights, dtype=torch.float64)
    return _decibel(float(row @ gram @ row) / pixels)


def _decibel(mean_squared_error: float) -> float:
    if mean_squared_error <= 0:
        return math.inf
    return 10 * math.log10(255**2 / mean_squared_error)


@lru_cache(maxsize=8)
def _band(outputs: int) -> torch.Tensor:
    """Return the matrix (outputs, outputs + 10) that applies the 11-tap Gaussian to a column."""
    offset = torch.arange(11, dtype=torch.float64) - 5
    window = torch.exp(-(offset**2) / (2 * 1.5**2))
    band = torch.zeros(outputs, outputs + 10, dtype=torch.float64)
    for output in range(outputs):
        band[output, output : output + 11] = window / window.sum()
    return band


def _blur(maps: torch.Tensor) -> torch.Tensor:
    """Apply the Gaussian window to (..., H, W) where it fits, giving (..., H - 10, W - 10).

    Banded matrices over blocks of columns: multiplying by their zeros is cheaper than eleven
    passes over memory, and double-precision convolutions are slow on CPUs.
    """
    columns, block = maps.shape[-1] - 10, 32
    blurred = _band(maps.shape[-2] - 10).to(maps.device) @ maps
    whole = columns // block * block
    parts = []
    if whole:
        blocks = blurred[..., : whole + 10].unfold(-1, block + 10, block)
        parts.append((blocks @ _band(block).T.to(maps.device)).flatten(-2))
    if whole < columns:
        parts.append(blurred[..., whole:] @ _band(columns - whole).T.to(maps.device))
    return torch.cat(parts, dim=-1)


def _ssim(a: Pixels, b: Pixels, weights: torch.Tensor, offset: float) -> float:
    """Return the mean SSIM of the channels ``weights @ rgb + offset``."""
    _check(a, b)
    height, width = a.shape[0] - 10, a.shape[1] - 10
    if height < 1 or width < 1:
        raise ValueError(f"SSIM needs at least 11x11 pixels, not {a.shape[0]}x{a.shape[1]}")
    stable_mean, stable_variance = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    total = 0.0
    for top in range(0, height, _ROWS):
        rows = slice(top, min(top + _ROWS, height) + 10)
        x, y = (
            torch.tensordot(weights.to(strip.device), strip.double(), dims=([1], [2])) + offset
            for strip in (_tensor(a[rows]), _tensor(b[rows]))
        )
        mean_x, mean_y, power, product = _blur(torch.stack((x, y, x * x + y * y, x * y)))
        means = mean_x * mean_y
        mean_power = mean_x.square() + mean_y.square()
        # Only the sum of the two variances enters, so one blur serves both.
        covariance, variances = product - means, power - mean_power
        quality = (2 * means + stable_mean) * (2 * covariance + stable_variance)
        quality /= (mean_power + stable_mean) * (variances + stable_variance)
        total += float(quality.sum())
    return total / (weights.shape[0] * height * width)
