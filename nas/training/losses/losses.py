"""Losses between an upscaled picture and its target, by name.

Each takes ``(sr, target)``, floats in about [0, 1] of one shape, and returns a number to minimise,
the mean over pictures and pixels, so that no weight depends on the size of a batch or of a crop.
Dimension 1 is colour, or the one plane of luma. Pixel-wise losses take anything after it: a
picture's phases in the order of the network's output as well, which spares the shuffle that makes a
picture of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from nas.common.registry import Registry
from search_spaces.architecture import SCALE
from search_spaces.networks.parts import LUMA

LossFunction: TypeAlias = Callable[..., Tensor]

LUMA_SHARE = 0.8
"""Share of the luma error in `luma_mse`; the rest is that of RGB. See `ProxySettings`."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss and what it must be given.

    Attributes:
        function: ``(sr, target)``, or ``(sr, target, log_variance)`` if ``uncertain``.
        pixelwise: takes (N, 3, ...) in any order of pixels; others want pictures (N, 3, H, W).
        uncertain: wants the logarithm of the variance that a training-only head predicts.
    """

    function: LossFunction
    pixelwise: bool = True
    uncertain: bool = False


def l1(sr: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error."""
    return F.l1_loss(sr, target)


def mse(sr: Tensor, target: Tensor) -> Tensor:
    """Mean squared error: what PSNR is the logarithm of."""
    return F.mse_loss(sr, target)


def charbonnier(sr: Tensor, target: Tensor) -> Tensor:
    """sqrt(e^2 + 1e-6), an absolute error that is smooth at zero (Lai et al., TPAMI 2018)."""
    return ((sr - target).square() + 1e-6).sqrt().mean()


def psnr(sr: Tensor, target: Tensor) -> Tensor:
    """Negative PSNR in dB, mean over pictures: 10 log10 of each one's squared error.

    Hard pictures count no more than easy ones. 1e-8 keeps a perfect picture finite (80 dB).
    """
    errors = (sr - target).square().flatten(1).mean(1)
    return (10 / math.log(10)) * (errors + 1e-8).log().mean()


def luma_mse(sr: Tensor, target: Tensor) -> Tensor:
    """Squared error of BT.601 luma (of full range) and of RGB, at `LUMA_SHARE` and the rest."""
    if sr.shape[1] == 1:
        return mse(sr, target)
    error = sr - target
    weights = error.new_tensor(LUMA).view(3, *[1] * (error.dim() - 2))
    # The loss is e'We, and its gradient 2We: known without going back through each operation.
    with torch.no_grad():
        luma = (error * weights).sum(1, keepdim=True)
        pull = error * ((1 - LUMA_SHARE) / error.numel())
        pull.addcmul_(weights, luma, value=LUMA_SHARE * 3 / error.numel())
    loss = (error * pull).sum()
    return 2 * loss - loss.detach()


def fft_l1(sr: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of real and imaginary parts of the spectra (MIMO-UNet, ICCV 2021).

    The transform is orthonormal, so that its values are of the size of pixel differences.
    """
    return torch.view_as_real(torch.fft.fft2(sr - target, norm="ortho")).abs().mean()


def focal_frequency(sr: Tensor, target: Tensor) -> Tensor:
    """Squared difference of the spectra, weighed by itself (Jiang et al., ICCV 2021).

    The weight of a frequency is the absolute difference there as a share of the largest of its
    picture and colour, and is not trained (alpha = 1, as in the paper). Survey 3.10.
    """
    power = torch.view_as_real(torch.fft.fft2(sr - target, norm="ortho")).square().sum(-1)
    weight = power.detach().sqrt()
    weight = weight / weight.amax((-2, -1), keepdim=True).clamp_min(1e-12)
    return (weight * power).mean()


def gradient(sr: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of gradient magnitudes (SPSR, Ma et al., CVPR 2020). Survey 3.10.

    Central differences, one pixel of the border left out.
    """
    return F.l1_loss(_gradient_map(sr), _gradient_map(target))


def high_frequency(sr: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of what a blur takes away (Swin2SR, Conde et al., 2022).

    The blur is a 5x5 Gaussian of sigma 1. Survey 3.6.
    """
    difference = sr - target
    return (difference - _blurred(difference)).abs().mean()


def lanczos_consistency(sr: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference after downscaling as the survey makes LR (3.6, after Swin2SR).

    The downscaled target is the clean LR before its rounding to 8 bits.
    """
    return downscale(sr - target, SCALE).abs().mean()


def uncertainty_mse(sr: Tensor, target: Tensor, log_variance: Tensor) -> Tensor:
    """Negative log-likelihood of a Gaussian whose variance is predicted, times two. Survey 3.3.

    e^2 / v + log v (Kendall and Gal, NeurIPS 2017; for parameters of losses in general Hamilton et
    al., 2020). Pixels that cannot be known pull less.

    Args:
        sr: (N, 3, H, W).
        target: (N, 3, H, W).
        log_variance: (N, 1, H, W), shared by the colours.
    """
    return ((sr - target).square() * (-log_variance).exp() + log_variance).mean()


losses: Registry[Loss] = Registry("loss")
"""Name -> loss, as recipes name them."""

losses.add("l1", Loss(l1))
losses.add("mse", Loss(mse))
losses.add("charbonnier", Loss(charbonnier))
losses.add("psnr", Loss(psnr))
losses.add("luma_mse", Loss(luma_mse))
losses.add("fft_l1", Loss(fft_l1, pixelwise=False))
losses.add("focal_frequency", Loss(focal_frequency, pixelwise=False))
losses.add("gradient", Loss(gradient, pixelwise=False))
losses.add("high_frequency", Loss(high_frequency, pixelwise=False))
losses.add("lanczos_consistency", Loss(lanczos_consistency, pixelwise=False))
losses.add("uncertainty_mse", Loss(uncertainty_mse, pixelwise=False, uncertain=True))


def downscale(pictures: Tensor, factor: int) -> Tensor:
    """Downscale (N, C, H, W) by a whole factor with Lanczos of five lobes, as the survey does.

    Borders are extended by their last pixels.
    """
    rows = _lanczos_taps(factor).to(pictures)
    channels, reach = pictures.shape[1], (len(rows) - factor) // 2
    padded = F.pad(pictures, (reach, reach, reach, reach), mode="replicate")
    vertical = rows[:, None].expand(channels, 1, -1, 1)
    horizontal = rows[None].expand(channels, 1, 1, -1)
    down = F.conv2d(padded, vertical, stride=(factor, 1), groups=channels)
    return F.conv2d(down, horizontal, stride=(1, factor), groups=channels)


@lru_cache
def _lanczos_taps(factor: int) -> Tensor:
    """Taps of a row, centred on a block of ``factor`` pixels."""
    reach = math.ceil(_LOBES * factor - factor / 2)
    offsets = torch.arange(-reach, factor + reach, dtype=torch.float64) - (factor - 1) / 2
    x = offsets / factor
    taps = torch.where(x.abs() < _LOBES, torch.sinc(x) * torch.sinc(x / _LOBES), 0.0)
    return taps / taps.sum()


_LOBES = 5


def _gradient_map(pictures: Tensor) -> Tensor:
    across = pictures[..., 1:-1, 2:] - pictures[..., 1:-1, :-2]
    down = pictures[..., 2:, 1:-1] - pictures[..., :-2, 1:-1]
    return (across.square() + down.square() + 1e-6).sqrt()


def _blurred(pictures: Tensor) -> Tensor:
    taps = torch.exp(-torch.arange(-2.0, 3.0).square() / 2).to(pictures)
    taps = taps / taps.sum()
    channels = pictures.shape[1]
    padded = F.pad(pictures, (2, 2, 2, 2), mode="replicate")
    down = F.conv2d(padded, taps[:, None].expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(down, taps[None].expand(channels, 1, 1, -1), groups=channels)
