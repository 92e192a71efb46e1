"""Squared error of phases: a network's output before its last pixel-shuffle.

Comparing phases instead of images spares the shuffle and its gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from search_spaces.networks.network import Network
from search_spaces.networks.parts import LUMA, luma


class PhaseLoss:
    """Squared error of phases against truth and teacher.

    Fitting truth and teacher with weights 1 - w and w is, up to a constant, fitting their weighted
    mean: distillation by squared error costs nothing.

    Args:
        shuffle: factor r of the pixel-shuffle that the phases have before them.
        luma_weight: share of the luma error; the rest is that of RGB. No meaning for one plane.
        teacher_weight: share of the teacher in the target.
    """

    def __init__(self, shuffle: int, luma_weight: float, teacher_weight: float) -> None:
        self.shuffle, self.teacher_weight = shuffle, teacher_weight
        self._luma_weight = luma_weight

    def __call__(
        self,
        phases: Tensor,
        truths: Sequence[Tensor],
        taught: Sequence[Tensor] = (),
        *,
        pictures: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The loss of (N, 3 r^2, h, w) phases of RGB, or (N, r^2, h, w) of luma, and its gradient.

        Args:
            phases: detached from what made them.
            truths: uint8 pieces (n, 3, h r, w r) of N pictures.
            taught: the teacher's, in equal pieces, or none.
            pictures: how many the mean is over, if more than these.
        """
        made = phases.permute(0, 2, 3, 1).unflatten(-1, (-1, self.shuffle**2))
        planes = made.shape[-2]
        gradient = torch.empty(made.shape, dtype=made.dtype, device=made.device)
        scale = 2 / (made.numel() / planes / len(phases) * (pictures or len(phases)))
        share = self._luma_weight
        doubled: list[Tensor] = []
        done = 0
        for index, truth in enumerate(truths):
            part = slice(done, done + len(truth))
            done = part.stop
            target = target_phases(truth, self.shuffle)
            if taught and self.teacher_weight:
                target.lerp_(target_phases(taught[index], self.shuffle), self.teacher_weight)
            colours = target.unflatten(-1, (3, -1))
            if planes == 1:
                error = made[part] - _luma(colours)[..., None, :]
                weighted = torch.mul(error, scale, out=gradient[part])
            else:
                error = torch.sub(made[part], colours, out=colours)
                luma = _luma(error)
                weighted = torch.mul(error, scale * (1 - share) / 3, out=gradient[part])
                for channel, weight in enumerate(LUMA):
                    weighted[..., channel, :].add_(luma, alpha=scale * share * weight)
            doubled.append(torch.dot(weighted.flatten(), error.flatten()))
        return torch.stack(doubled).sum() / 2, gradient.flatten(3).permute(0, 3, 1, 2)


def _luma(colours: Tensor) -> Tensor:
    """(..., 3, r^2) to (..., r^2)."""
    luma = colours[..., 0, :] * LUMA[0]
    for channel in (1, 2):
        luma.add_(colours[..., channel, :], alpha=LUMA[channel])
    return luma


def target_phases(hr: Tensor, shuffle: int) -> Tensor:
    """Undo a pixel-shuffle: uint8 (N, 3, 4H, 4W) to (N, 4H/r, 4W/r, 3 r^2) floats in [0, 1].

    Four bytes beside each other stay so: they move as one word.
    """
    words = hr.contiguous().view(torch.int32)
    blocks = words.unflatten(-1, (-1, shuffle // 4)).unflatten(-3, (-1, shuffle))
    moved = blocks.permute(0, 2, 4, 1, 3, 5).contiguous()
    return moved.view(torch.uint8).flatten(3).to(torch.float32).div_(255)


def network_input(lr: Tensor, layout: torch.memory_format = torch.channels_last) -> Tensor:
    """Make uint8 (N, 3, H, W) a network's input: float in [0, 1].

    The layout channels_last makes a CPU's convolutions of few channels up to twice as fast.
    """
    return lr.to(torch.float32, memory_format=layout).div_(255)


def trained_phases(network: Network, features: Tensor, x: Tensor) -> Tensor:
    """The phases that a loss compares, from features and input: of RGB, or of luma alone."""
    return network.reconstruct(features, x if network.architecture.planes == 3 else luma(x))
