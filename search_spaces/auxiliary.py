"""Heads that exist in training only: further outputs of a network, deleted at deployment."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.architecture import Architecture
from search_spaces.network import Network


class PictureHead(nn.Conv2d):
    """A picture at ``scale`` times LR from a network's last features: 3x3, then pixel-shuffle."""

    def __init__(self, architecture: Architecture, channels: int, scale: int) -> None:
        shuffle = scale * architecture.factor
        super().__init__(architecture.body_width, channels * shuffle**2, 3, padding=1)
        self.shuffle = shuffle

    def forward(self, features: Tensor) -> Tensor:
        """(N, body width, H/factor, W/factor) -> (N, channels, scale H, scale W)."""
        return F.pixel_shuffle(super().forward(features), self.shuffle)


class TwoScales(nn.Module):
    """A network in training with the x2 head of IVP's RDEN (survey 3.10).

    The survey names the head only; 14 > 12 channels and a shuffle by 2 is its natural shape. It
    shapes the features and costs nothing later: deploying takes ``fuse(both.network)``.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.head = PictureHead(network.architecture, 3, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> (N, 3, 4H, 4W), as the network alone gives, and (N, 3, 2H, 2W)."""
        height, width = x.shape[-2:]
        padded = self.network.padded(x)
        features = self.network.features(padded)
        sr4 = F.pixel_shuffle(self.network.finished(features, padded), self.network.shuffle)
        sr2 = self.head(features)
        return sr4[..., : 4 * height, : 4 * width], sr2[..., : 2 * height, : 2 * width]
