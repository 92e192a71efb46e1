"""Distillation losses beyond those on outputs: affinity of features, and contrast."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from search_spaces.architecture import SCALE
from search_spaces.networks.residual import interpolation_kernel


def affinity(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of spatial similarity matrices (FAKD, He et al., ICIP 2020).

    Each map becomes the matrix of cosine similarities between all its places. Numbers of channels
    need not match; student's maps are averaged over the teacher's coarser places. The map's mean
    over places is taken away first: what all places share, mostly brightness, would make every
    similarity one.

    Args:
        ours: (N, C, H, W) each.
        theirs: (N, C', h, w) each, as many.
    """
    losses = [
        F.l1_loss(_similarities(_pooled(our, their)), _similarities(their))
        for our, their in zip(ours, theirs, strict=True)
    ]
    return torch.stack(losses).mean()


def contrastive(sr: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Nearer to the teacher's output than to a plain upscaling: a ratio of distances.

    The form is that of CSD (Wang et al., IJCAI 2021), d(sr, positive) / d(sr, negative). Their
    distance is between features of VGG, a network to download. Here it is between local
    frequencies: the 63 patterns of an 8x8 cosine transform at every fourth pixel. That is a fixed
    space in which compression noise, missing detail and true detail lie apart, since a codec makes
    and removes them there; and it costs one convolution.

    Args:
        sr: (N, C, H, W).
        positive: the teacher's output.
        negative: what to be unlike.
    """
    found, good, bad = (_frequencies(picture) for picture in (sr, positive, negative))
    near = (found - good).abs().mean((1, 2, 3))
    far = (found - bad).abs().mean((1, 2, 3))
    # The same small number above and below: between equal pictures the ratio is one.
    return ((near + _EPSILON) / (far + _EPSILON)).mean()


def lanczos_up(lr: Tensor) -> Tensor:
    """Upscale uint8 (N, 3, H, W) by Lanczos to floats (N, 3, 4H, 4W) in about [0, 1]."""
    taps = interpolation_kernel("lanczos").to(lr.device)[:, None].repeat(3, 1, 1, 1)
    reach = taps.shape[-1] // 2
    padded = F.pad(lr.float().div_(255), (reach,) * 4, mode="replicate")
    return F.pixel_shuffle(F.conv2d(padded, taps, groups=3), SCALE)


_EPSILON = 1e-3


def _pooled(maps: Tensor, like: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(maps, (like.shape[-2], like.shape[-1]))


def _similarities(maps: Tensor) -> Tensor:
    """(N, C, h, w) to (N, hw, hw)."""
    places = maps.flatten(2)
    places = F.normalize(places - places.mean(2, keepdim=True), dim=1, eps=1e-6)
    return places.mT @ places


def _frequencies(pictures: Tensor) -> Tensor:
    """(N, C, H, W) to (N, 63 C, h, w)."""
    channels = pictures.shape[1]
    basis = _cosines().to(pictures)[:, None].repeat(channels, 1, 1, 1)
    return F.conv2d(pictures, basis, stride=SCALE, groups=channels)


@lru_cache(maxsize=1)
def _cosines() -> Tensor:
    """The orthonormal patterns (63, 8, 8) of the two-dimensional cosine transform, but the mean."""
    side = 8
    place = torch.arange(side, dtype=torch.float64)
    rows = torch.cos(torch.pi * (place + 0.5) * place[:, None] / side) * (2 / side) ** 0.5
    rows[0] /= 2**0.5
    patterns = torch.einsum("iy,jx->ijyx", rows, rows).flatten(0, 1)
    return patterns[1:].float()
