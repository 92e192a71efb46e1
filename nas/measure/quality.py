"""Picture quality as the challenge measures it: 8-bit pictures, no border crop, RGB and luma.

Chroma stands beside it, because luma does not see a network that tints.

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
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import nn

from nas.common.checked_files import read_json, write_json
from nas.common.files import cache_root
from nas.data.store import lanczos
from nas.measure.tiling import Pixels, as_tensor, upscale_picture

LUMA_RGB = (65.481 / 255, 128.553 / 255, 24.966 / 255)
"""BT.601 studio-range luma weights for 8-bit R, G and B; luma is 16 + their weighted sum."""

LUMA_ORGANISER = LUMA_RGB[::-1]
"""The weights that the challenge applied: its pictures were RGB, its formula expected BGR."""

CB_RGB = (-0.168736, -0.331264, 0.5)
CR_RGB = (0.5, -0.418688, -0.081312)
"""BT.601 full-range chroma weights for 8-bit R, G and B, as JPEG has them; 128 is added."""

CHROMA_FLOOR = 0.25
"""Least squared error of chroma in figures: half a level on average, which nobody sees.

Lanczos keeps a grey picture exactly grey. Without a floor its PSNR there would be infinite, and so
would be the loss of a network that is off by a rounding.
"""

_ROWS = 64  # rows of a strip: its maps stay in the processor's cache, and 4K needs no 4K doubles


class PictureLike(Protocol):
    """What is needed of a picture; `nas.data.store.Picture` has it."""

    def hr(self) -> Pixels:
        """Return the original, (4H, 4W, 3)."""
        ...

    def lr(self, qp: int | None) -> Pixels:
        """Return the small picture at a QP, (H, W, 3); None is the one that no encoder touched."""
        ...


class Psnr(NamedTuple):
    """PSNR of luma and chroma of one picture in dB, or their means over pictures.

    Luma is that of `psnr_y`. Chroma is that of `psnr_cb` and `psnr_cr`, its squared error at least
    `CHROMA_FLOOR`: 54.15 dB at most.
    """

    y: float
    cb: float
    cr: float


@dataclass(frozen=True, slots=True)
class Quality:
    """PSNR per QP, each the mean over pictures of their figures in dB.

    Attributes:
        ours: The network's.
        lanczos: Lanczos's on the same pictures.
    """

    ours: dict[int | None, Psnr]
    lanczos: dict[int | None, Psnr]

    @classmethod
    def mean(cls, parts: Sequence[Quality]) -> Quality:
        """Return the mean over qualities of equally many pictures at the same QPs."""
        qps = parts[0].ours
        return cls(
            {qp: _mean_psnr([part.ours[qp] for part in parts]) for qp in qps},
            {qp: _mean_psnr([part.lanczos[qp] for part in parts]) for qp in qps},
        )

    @property
    def psnr_y_db(self) -> dict[int | None, float]:
        """PSNR-Y per QP."""
        return {qp: psnr.y for qp, psnr in self.ours.items()}

    @property
    def lanczos_psnr_y_db(self) -> dict[int | None, float]:
        """PSNR-Y of Lanczos per QP."""
        return {qp: psnr.y for qp, psnr in self.lanczos.items()}

    @property
    def gain_db_per_qp(self) -> dict[int | None, float]:
        """PSNR-Y above Lanczos."""
        return {qp: psnr.y - self.lanczos[qp].y for qp, psnr in self.ours.items()}

    @property
    def gain_db(self) -> float:
        """Mean over QPs of the gain over Lanczos: what the search maximises."""
        return _mean(list(self.gain_db_per_qp.values()))

    @property
    def gain_cb_db(self) -> float:
        """Mean over QPs of the gain of Cb over Lanczos."""
        return _mean([psnr.cb - self.lanczos[qp].cb for qp, psnr in self.ours.items()])

    @property
    def gain_cr_db(self) -> float:
        """Mean over QPs of the gain of Cr over Lanczos."""
        return _mean([psnr.cr - self.lanczos[qp].cr for qp, psnr in self.ours.items()])

    @property
    def colour_gain_db(self) -> float:
        """The lower gain of Cb and Cr: well below zero, the network tints."""
        return min(self.gain_cb_db, self.gain_cr_db)


@dataclass(frozen=True, slots=True)
class Fidelity:
    """All figures of one upscaled picture against its original, or their means over pictures.

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


def evaluate(
    network: nn.Module,
    pictures: Sequence[PictureLike],
    qps: Sequence[int | None],
    *,
    device: str | torch.device = "cpu",
) -> Quality:
    """Return the PSNR of a network's 8-bit upscalings and Lanczos's, per QP.

    The network is moved to ``device`` and left there, in the mode that it had. Lanczos's figures
    are kept in the cache by the pictures' content.

    Raises:
        ValueError: there is no picture or no QP.
    """
    if not pictures or not qps:
        raise ValueError("evaluating needs at least one picture and one QP")
    network.to(device)
    ours: dict[int | None, list[Psnr]] = {qp: [] for qp in qps}
    base: dict[int | None, list[Psnr]] = {qp: [] for qp in qps}
    for picture in pictures:
        original = picture.hr()
        on_device = as_tensor(original).to(device)
        key = digest(original)
        for qp in qps:
            small = picture.lr(qp)
            ours[qp].append(_Difference.of(upscale_picture(network, small), on_device).psnr())
            base[qp].append(_lanczos_psnr(small, original, key))
    means = ({qp: _mean_psnr(all_of) for qp, all_of in kept.items()} for kept in (ours, base))
    return Quality(*means)


def lanczos_psnr_y(picture: PictureLike, qps: Sequence[int | None]) -> dict[int | None, float]:
    """Return the PSNR-Y in dB of Lanczos's upscaling of a picture per QP, kept in the cache."""
    original = picture.hr()
    key = digest(original)
    return {qp: _lanczos_psnr(picture.lr(qp), original, key).y for qp in qps}


def fidelity(picture: Pixels, original: Pixels, *, with_ssim: bool = True) -> Fidelity:
    """Return every figure of an upscaled picture; SSIM takes most of the time."""
    difference = _Difference.of(picture, original)
    planes = difference.psnr()
    return Fidelity(
        psnr_rgb_db=difference.psnr_rgb(),
        psnr_y_db=planes.y,
        psnr_y_organiser_db=difference.psnr_of(LUMA_ORGANISER),
        psnr_cb_db=planes.cb,
        psnr_cr_db=planes.cr,
        ssim_rgb=ssim(picture, original) if with_ssim else None,
        ssim_y=ssim_y(picture, original) if with_ssim else None,
        ssim_y_organiser=ssim_y_organiser(picture, original) if with_ssim else None,
    )


def psnr(a: Pixels, b: Pixels) -> float:
    """Return the PSNR over all three channels in dB, infinite for equal pictures."""
    return _Difference.of(a, b).psnr_rgb()


def psnr_y(a: Pixels, b: Pixels) -> float:
    """Return the PSNR of the BT.601 studio-range luma in dB; luma is not rounded, the peak 255."""
    return _Difference.of(a, b).psnr_of(LUMA_RGB)


def psnr_y_organiser(a: Pixels, b: Pixels) -> float:
    """Return luma PSNR in dB as the challenge computed it, with red and blue weights swapped.

    The organisers' conversion expects BGR and is given RGB. Use it beside numbers of the survey
    only; it differs from `psnr_y` by -0.06 to -0.09 dB on average.
    """
    return _Difference.of(a, b).psnr_of(LUMA_ORGANISER)


def psnr_cb(a: Pixels, b: Pixels) -> float:
    """Return the PSNR of BT.601 full-range Cb in dB, not rounded; infinite where it is equal."""
    return _Difference.of(a, b).psnr_of(CB_RGB)


def psnr_cr(a: Pixels, b: Pixels) -> float:
    """Return the PSNR of BT.601 full-range Cr in dB, not rounded; infinite where it is equal."""
    return _Difference.of(a, b).psnr_of(CR_RGB)


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


def _mean_psnr(values: Sequence[Psnr]) -> Psnr:
    return Psnr(*(_mean(plane) for plane in zip(*values, strict=True)))


def _array(pixels: Pixels) -> np.ndarray:
    return pixels.cpu().numpy() if isinstance(pixels, torch.Tensor) else pixels


def _lanczos_psnr(small: Pixels, original: Pixels, original_key: str) -> Psnr:
    """PSNR of Lanczos's upscaling, from the cache if these pictures were seen before."""
    key = digest("pillow-lanczos3 y cb cr", original_key, small)
    place = cache_root() / "baseline" / f"{key}.json"
    with suppress(KeyError, TypeError, ValueError):
        known = read_json(place) or {}
        return Psnr(*(float(known[f"psnr_{plane}_db"]) for plane in Psnr._fields))
    found = _Difference.of(lanczos(_array(small)), _array(original)).psnr()
    with suppress(OSError):  # the figures stand without their cache
        write_json(place, {f"psnr_{plane}_db": value for plane, value in found._asdict().items()})
    return found


def _check(a: Pixels, b: Pixels) -> None:
    if tuple(a.shape) != tuple(b.shape) or a.ndim != 3 or a.shape[2] != 3:
        raise ValueError(
            f"pictures to compare are both (H, W, 3), not {tuple(a.shape)} and {tuple(b.shape)}"
        )


class _Difference(NamedTuple):
    """The differences D (H*W, 3) of two pictures' pixels, as D'D (3, 3) and H*W.

    Whole numbers in doubles, so exact; every squared error of a weighted sum of the channels is a
    quadratic form of it.
    """

    gram: torch.Tensor
    pixels: int

    @classmethod
    def of(cls, a: Pixels, b: Pixels) -> _Difference:
        """Go over two pictures once."""
        _check(a, b)
        gram = torch.zeros(3, 3, dtype=torch.float64)
        for top in range(0, a.shape[0], _ROWS):
            rows = slice(top, top + _ROWS)
            difference = as_tensor(a[rows]).double() - as_tensor(b[rows]).double()
            flat = difference.reshape(-1, 3).T
            gram += (flat @ flat.T).cpu()
        return cls(gram, a.shape[0] * a.shape[1])

    def psnr(self) -> Psnr:
        """Return the figures that gains are made of."""
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
