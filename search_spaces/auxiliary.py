"""The x2 head of IVP's RDEN (survey 3.10): a second task in training, deleted at deployment."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.network import Network


class TwoScales(nn.Module):
    """A network in training with a second output at 2x: 3x3 on its last features, pixel-shuffle.

    The survey names the head only; 14 > 12 channels and a shuffle by 2 is its natural shape. It
    shapes the features and costs nothing later: deploying takes ``fuse(both.network)``.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.shuffle = 2 * network.architecture.factor
        width = network.architecture.body_width
        self.head = nn.Conv2d(width, 3 * self.shuffle**2, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> (N, 3, 4H, 4W), as the network alone gives, and (N, 3, 2H, 2W)."""
        height, width = x.shape[-2:]
        padded = self.network.padded(x)
        features = self.network.features(padded)
        sr4 = F.pixel_shuffle(self.network.finished(features, padded), self.network.shuffle)
        sr2 = F.pixel_shuffle(self.head(features), self.shuffle)
        return sr4[..., : 4 * height, : 4 * width], sr2[..., : 2 * height, : 2 * width]
