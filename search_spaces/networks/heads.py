"""Further outputs of a network that exist in training only and cost nothing when it is deployed."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.architecture import Architecture


class PictureHead(nn.Conv2d):
    """A picture at ``scale`` times LR from a network's last features: 3x3, then pixel-shuffle.

    With 3 channels at 2x it is the auxiliary head of IVP's RDEN (survey 3.10), which names it only;
    14 > 12 channels and a shuffle by 2 is its natural shape.
    """

    def __init__(self, architecture: Architecture, channels: int, scale: int) -> None:
        shuffle = scale * architecture.factor
        super().__init__(architecture.body_width, channels * shuffle**2, 3, padding=1)
        self.shuffle = shuffle

    def forward(self, features: Tensor) -> Tensor:
        """(N, body width, H/factor, W/factor) -> (N, channels, scale H, scale W)."""
        return F.pixel_shuffle(super().forward(features), self.shuffle)
