"""One architecture as a module."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.architecture import SCALE, Architecture
from search_spaces.networks.parts import ModuleBuilder, parts_of
from search_spaces.networks.residual import Residual


class Network(nn.Module):
    """One architecture as a module, in training or deploy form.

    ``forward`` takes (N, 3, H, W) in [0, 1] for any H, W and returns (N, 3, 4H, 4W), not clamped.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        parts = parts_of(architecture, ModuleBuilder())
        self.stem = nn.Sequential(*parts.stem)
        self.body = nn.Sequential(*parts.body)
        self.neck = parts.neck
        self.tail = parts.tail
        self.lift = None if parts.lift is None else nn.Sequential(*parts.lift)
        self.residual = cast("Residual | None", parts.residual)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale by 4."""
        height, width = x.shape[-2:]
        padded = self.padded(x)
        if self.architecture.planes == 1 and self.residual is not None:
            plane = F.pixel_shuffle(self._predicted(self.features(padded), padded), self.shuffle)
            upscaled = self.residual.image(padded).add_(plane)  # fewer bytes move than as phases
        else:
            upscaled = F.pixel_shuffle(self.phases(padded), self.shuffle)
        return upscaled[..., : SCALE * height, : SCALE * width]

    def padded(self, x: Tensor) -> Tensor:
        """The image with its last row and column repeated up to a multiple of the factor."""
        factor = self.architecture.factor
        below, right = -x.shape[-2] % factor, -x.shape[-1] % factor
        return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x

    @property
    def shuffle(self) -> int:
        """Factor of the pixel-shuffle that turns ``phases`` into an image."""
        direct = self.lift is None and self.residual is None
        return SCALE * self.architecture.factor if direct else SCALE

    def phases(self, x: Tensor) -> Tensor:
        """The output before its last pixel-shuffle, which training compares to save the shuffle.

        (N, 3, H, W), H and W multiples of the working factor, to (N, 3 r^2, 4H/r, 4W/r) where r is
        ``shuffle``.
        """
        return self.reconstruct(self.features(x), x)

    def features(self, x: Tensor) -> Tensor:
        """The input of the tail: (N, body width, H/factor, W/factor)."""
        features = self.stem(x)
        deep = self.body(features)
        if self.architecture.skip == "long":
            deep = deep + features
        elif self.architecture.skip == "concat":
            deep = torch.cat([features, deep], dim=1)
        return deep if self.neck is None else self.neck(deep)

    def reconstruct(self, features: Tensor, x: Tensor) -> Tensor:
        """``phases`` from the input of the tail and the image.

        Where the output is luma, ``x`` may be the luma (N, 1, H, W) of the image: then the phases
        are those of the output's luma, (N, r^2, 4H/r, 4W/r), and training needs no others.
        """
        phases = self._predicted(features, x)
        if self.residual is None:
            return phases
        base = self.residual(x)
        if phases.shape[1] == base.shape[1]:
            return phases + base
        return (base.unflatten(1, (x.shape[1], -1)) + phases[:, None]).flatten(1, 2)

    def _predicted(self, features: Tensor, x: Tensor) -> Tensor:
        """The phases before the residual is added."""
        a = self.architecture
        phases = self.tail(features)
        if a.factor > 1 and (self.lift is not None or self.residual is not None):
            phases = F.pixel_shuffle(phases, a.factor)
        if self.lift is not None:
            phases = self.lift(phases + x if a.residual == "lr" else phases)
        return phases


class ImageHead(nn.Conv2d):
    """An image at ``scale`` times LR from a network's last features: 3x3, then pixel-shuffle.

    Heads exist in training only. With 3 channels at 2x it is the auxiliary head of IVP's RDEN
    (survey 3.10), which only names it; 14 > 12 channels and a shuffle by 2 is its natural shape.
    """

    def __init__(self, architecture: Architecture, channels: int, scale: int) -> None:
        shuffle = scale * architecture.factor
        super().__init__(architecture.body_width, channels * shuffle**2, 3, padding=1)
        self.shuffle = shuffle

    def forward(self, features: Tensor) -> Tensor:
        """(N, body width, H/factor, W/factor) -> (N, channels, scale H, scale W)."""
        return F.pixel_shuffle(super().forward(features), self.shuffle)
