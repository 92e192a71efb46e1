"""Picture quality as the challenge measures it: 8-bit pictures, no border crop, RGB and luma.

Every metric takes two uint8 pictures of shape (H, W, 3), RGB, as NumPy arrays (memory-mapped ones
too) or tensors, and returns a Python float. Source: survey section 2.3 and the organisers' public
scripts, see the notes at `psnr_y_organiser`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from torch import nn

from nas.data.baseline import lanczos
from nas.data.cache import cache_root
from nas.measure.pixels import Pixels, as_tensor
from nas.measure.strips import upscale_picture
from search_spaces.sealed import read_json, write_json

LUMA_RGB = (65.481 / 255, 128.553 / 255, 24.966 / 255)
"""BT.601 studio-range luma weights for 8-bit R, G and B; luma is 16 + their weighted sum."""

LUMA_ORGANISER = LUMA_RGB[::-1]
"""The weights that the challenge applied: its pictures were RGB, its formula expected BGR."""

_ROWS = 64  # rows of a strip: its maps stay in the processor's cache, and 4K needs no 4K doubles


class PictureLike(Protocol):
    """What is needed of a picture; `nas.data.store.Picture` has it."""

    def hr(self) -> Pixels:
        """Return the original, (4H, 4W, 3)."""
        ...

    def lr(self, qp: int | None) -> Pixels:
        """Return the small picture at a QP, (H, W, 3); None is the one that no encoder touched."""
        ...


@dataclass(frozen=True, slots=True)
class Quality:
    """Luma quality per QP, each the mean over pictures of their figures in dB."""

    psnr_y_db: dict[int | None, float]
    lanczos_psnr_y_db: dict[int | None, float]

    @property
    def gain_db_per_qp(self) -> dict[int | None, float]:
        """PSNR-Y above Lanczos."""
        return {qp: value - self.lanczos_psnr_y_db[qp] for qp, value in self.psnr_y_db.items()}

    @property
    def gain_db(self) -> float:
        """Mean over QPs of the gain over Lanczos: what the search maximises."""
        gains = self.gain_db_per_qp.values()
        return sum(gains) / len(gains)


@dataclass(frozen=True, slots=True)
class Fidelity:
    """All figures of one upscaled picture against its original, or their means over pictures.

    SSIM is None where it was not asked for.
    """

    psnr_rgb_db: float
    psnr_y_db: float
    psnr_y_organiser_db: float
    ssim_rgb: float | None
    ssim_y: float | None
    ssim_y_organiser: float | None


def evaluate(
    network: nn.Module,
    pictures: Sequence[PictureLike],
    qps: Sequence[int | None],
    *,
    device: str | torch.device = "cpu",
) -> Quality:
    """Return the PSNR-Y of a network's 8-bit upscalings and Lanczos's, per QP.

    The network is moved to ``device`` and left there, in the mode that it had. Lanczos's figures
    are kept in the cache by the pictures' content.

    Raises:
        ValueError: there is no picture or no QP.
    """
    if not pictures or not qps:
        raise ValueError("evaluating needs at least one picture and one QP")
    network.to(device)
    ours: dict[int | None, list[float]] = {qp: [] for qp in qps}
    base: dict[int | None, list[float]] = {qp: [] for qp in qps}
    for picture in pictures:
        original = picture.hr()
        on_device = as_tensor(original).to(device)
        key = digest(original)
        for qp in qps:
            small = picture.lr(qp)
            ours[qp].append(psnr_y(upscale_picture(network, small), on_device))
            base[qp].append(_lanczos_psnr_y(small, original, key))
    return Quality(*({qp: _mean(values) for qp, values in kept.items()} for kept in (ours, base)))


def lanczos_psnr_y(picture: PictureLike, qps: Sequence[int | None]) -> dict[int | None, float]:
    """Return the PSNR-Y in dB of Lanczos's upscaling of a picture per QP, kept in the cache."""
    original = picture.hr()
    key = digest(original)
    return {qp: _lanczos_psnr_y(picture.lr(qp), original, key) for qp in qps}


def fidelity(picture: Pixels, original: Pixels, *, with_ssim: bool = True) -> Fidelity:
    """Return every figure of an upscaled picture; SSIM takes most of the time."""
    return Fidelity(
        psnr_rgb_db=psnr(picture, original),
        psnr_y_db=psnr_y(picture, original),
        psnr_y_organiser_db=psnr_y_organiser(picture, original),
        ssim_rgb=ssim(picture, original) if with_ssim else None,
        ssim_y=ssim_y(picture, original) if with_ssim else None,
        ssim_y_organiser=ssim_y_organiser(picture, original) if with_ssim else None,
    )


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


def ssim_y_organiser(a: Pixels, b: Pixels) -> float:
    """Return the SSIM of the luma of `psnr_y_organiser`; window and errors as in `ssim`."""
    return _ssim(a, b, torch.tensor([LUMA_ORGANISER], dtype=torch.float64), 16.0)


def digest(*parts: Pixels | str) -> str:
    """Return a hash of pictures with their sizes, and of strings: 32 hex digits."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, str):
            state.update(part.encode())
        else:
            array = np.ascontiguousarray(_array(part))
            state.update(str(array.shape).encode())
            state.update(array.data)
    return state.hexdigest()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _array(pixels: Pixels) -> np.ndarray:
    return pixels.cpu().numpy() if isinstance(pixels, torch.Tensor) else pixels


def _lanczos_psnr_y(small: Pixels, original: Pixels, original_key: str) -> float:
    """PSNR-Y of Lanczos's upscaling, from the cache if these pictures were seen before."""
    place = cache_root() / "baseline" / f"{digest('pillow-lanczos3', original_key, small)}.json"
    with suppress(KeyError, TypeError, ValueError):
        return float((read_json(place) or {})["psnr_y_db"])
    value = psnr_y(lanczos(_array(small)), _array(original))
    with suppress(OSError):  # the figure stands without its cache
        write_json(place, {"psnr_y_db": value})
    return value


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
        difference = as_tensor(a[rows]).double() - as_tensor(b[rows]).double()
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
