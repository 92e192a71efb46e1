"""PSNR and SSIM as the challenge measures them: 8-bit images, no border crop, RGB and luma.

Chroma is measured beside luma, which does not show a colour tint. Every metric takes two uint8 RGB
images (H, W, 3), as arrays (also memory-mapped) or tensors, and returns a float. Source: survey
section 2.3 and the organisers' public scripts, see the notes at `psnr_y_organiser`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch

from nas.measure.tiling import Pixels, as_tensor

LUMA_RGB = (65.481 / 255, 128.553 / 255, 24.966 / 255)
"""BT.601 studio-range luma weights for 8-bit R, G and B; luma is 16 + their weighted sum."""

LUMA_ORGANISER = LUMA_RGB[::-1]
"""The weights that the challenge applied: its formula expected BGR and was given RGB."""

CB_RGB = (-0.168736, -0.331264, 0.5)
CR_RGB = (0.5, -0.418688, -0.081312)
"""BT.601 full-range chroma weights for 8-bit R, G and B, as JPEG has them; 128 is added."""

CHROMA_FLOOR = 0.25
"""Smallest squared error of chroma: half a level on average, which is invisible.

Lanczos keeps a grey image exactly grey. Without a floor its PSNR would be infinite there, and so
would be the loss of a network that is off by a rounding.
"""

_ROWS = 64  # rows at once: they stay in the processor's cache, and a 4K image needs no 4K doubles


class Psnr(NamedTuple):
    """PSNR of luma and chroma of one image in dB, or their means over images.

    Luma is that of `psnr_y`. Chroma is that of `psnr_cb` and `psnr_cr`, its squared error at least
    `CHROMA_FLOOR`: 54.15 dB at most.
    """

    y: float
    cb: float
    cr: float


@dataclass(frozen=True, slots=True)
class Fidelity:
    """All metrics of one upscaled image against its original, or their means over images.

    Chroma is as in `Psnr`. SSIM is None where it was not asked for.
    """

    psnr_rgb_db: float
    psnr_y_db: float
    psnr_y_organiser_db: float
    psnr_cb_db: float
    psnr_cr_db: float
    ssim_rgb: float | None
    ssim_y: float | None
    ssim_y_organiser: float | None


def fidelity(image: Pixels, original: Pixels, *, with_ssim: bool = True) -> Fidelity:
    """Return every metric of an upscaled image; SSIM takes most of the time."""
    difference = Difference.of(image, original)
    planes = difference.psnr()
    return Fidelity(
        psnr_rgb_db=difference.psnr_rgb(),
        psnr_y_db=planes.y,
        psnr_y_organiser_db=difference.psnr_of(LUMA_ORGANISER),
        psnr_cb_db=planes.cb,
        psnr_cr_db=planes.cr,
        ssim_rgb=ssim(image, original) if with_ssim else None,
        ssim_y=ssim_y(image, original) if with_ssim else None,
        ssim_y_organiser=ssim_y_organiser(image, original) if with_ssim else None,
    )


def psnr(a: Pixels, b: Pixels) -> float:
    """Return the PSNR over all three channels in dB, infinite for equal images."""
    return Difference.of(a, b).psnr_rgb()


def psnr_y(a: Pixels, b: Pixels) -> float:
    """Return the PSNR of the BT.601 studio-range luma in dB; luma is not rounded, the peak 255."""
    return Difference.of(a, b).psnr_of(LUMA_RGB)


def psnr_y_organiser(a: Pixels, b: Pixels) -> float:
    """Return luma PSNR in dB as the challenge computed it, with red and blue weights swapped.

    Compare it with numbers of the survey only; it differs from `psnr_y` by -0.06 to -0.09 dB on
    average.
    """
    return Difference.of(a, b).psnr_of(LUMA_ORGANISER)


def psnr_cb(a: Pixels, b: Pixels) -> float:
    """Return the PSNR of BT.601 full-range Cb in dB, not rounded; infinite where it is equal."""
    return Difference.of(a, b).psnr_of(CB_RGB)


def psnr_cr(a: Pixels, b: Pixels) -> float:
    """Return the PSNR of BT.601 full-range Cr in dB, not rounded; infinite where it is equal."""
    return Difference.of(a, b).psnr_of(CR_RGB)


def ssim(a: Pixels, b: Pixels) -> float:
    """Return the mean SSIM of the three channels.

    Wang et al. 2004: 11x11 Gaussian window of sigma 1.5, K1 0.01, K2 0.03, range 255, only where
    the window lies inside the image.

    Raises:
        ValueError: the images differ in shape or are smaller than the window.
    """
    return _ssim(a, b, torch.eye(3, dtype=torch.float64), 0.0)


def ssim_y(a: Pixels, b: Pixels) -> float:
    """Return the SSIM of the luma of `psnr_y`; window and errors as in `ssim`."""
    return _ssim(a, b, torch.tensor([LUMA_RGB], dtype=torch.float64), 16.0)


def ssim_y_organiser(a: Pixels, b: Pixels) -> float:
    """Return the SSIM of the luma of `psnr_y_organiser`; window and errors as in `ssim`."""
    return _ssim(a, b, torch.tensor([LUMA_ORGANISER], dtype=torch.float64), 16.0)


def _check(a: Pixels, b: Pixels) -> None:
    if tuple(a.shape) != tuple(b.shape) or a.ndim != 3 or a.shape[2] != 3:
        raise ValueError(
            f"images to compare are both (H, W, 3), not {tuple(a.shape)} and {tuple(b.shape)}"
        )


class Difference(NamedTuple):
    """The pixel differences D (H*W, 3) of two images, as D'D (3, 3) and H*W.

    Integers in doubles, so exact; every squared error of a weighted sum of the channels is a
    quadratic form of it.
    """

    gram: torch.Tensor
    pixels: int

    @classmethod
    def of(cls, a: Pixels, b: Pixels) -> Difference:
        """Compute it in one pass."""
        _check(a, b)
        gram = torch.zeros(3, 3, dtype=torch.float64)
        for top in range(0, a.shape[0], _ROWS):
            rows = slice(top, top + _ROWS)
            difference = as_tensor(a[rows]).double() - as_tensor(b[rows]).double()
            flat = difference.reshape(-1, 3).T
            gram += (flat @ flat.T).cpu()
        return cls(gram, a.shape[0] * a.shape[1])

    def psnr(self) -> Psnr:
        """Return luma and chroma."""
        return Psnr(
            self.psnr_of(LUMA_RGB),
            self.psnr_of(CB_RGB, CHROMA_FLOOR),
            self.psnr_of(CR_RGB, CHROMA_FLOOR),
        )

    def psnr_rgb(self) -> float:
        """Return the PSNR over all three channels."""
        return _decibel(float(self.gram.trace()) / (3 * self.pixels))

    def psnr_of(self, weights: tuple[float, ...], floor: float = 0.0) -> float:
        """Return the PSNR of a weighted sum of the channels, its squared error at least a floor."""
        row = torch.tensor(weights, dtype=torch.float64)
        return _decibel(max(float(row @ self.gram @ row) / self.pixels, floor))


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
            for strip in (as_tensor(a[rows]), as_tensor(b[rows]))
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
