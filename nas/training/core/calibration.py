"""The best last layer for the features that a network has: linear regression, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.networks.network import Network
from search_spaces.networks.parts import luma

PENALTY = 1e-4
"""Weight of the squared change of the kernel, as a share of the features' mean power."""


@torch.no_grad()
def calibrate(network: Network, lr: Tensor, hr: Tensor) -> bool:
    """Replace a deploy form's last convolution by the one of least squared error on some pictures.

    Learning starts where a linear readout of the features ends. The change is penalised, so that
    little data do little.

    Args:
        network: in deploy form.
        lr: (N, 3, H, W) floats in [0, 1], sides multiples of the working factor.
        hr: (N, 3, 4H, 4W) floats.

    Returns:
        Whether it was done: not where the output is no plain convolution, or is no number.
    """
    last = network.tail if network.lift is None else list(network.lift.children())[-1]
    if not isinstance(last, nn.Conv2d):
        return False
    features: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    network.phases(lr)
    hook.remove()
    if network.architecture.planes == 1:
        lr, hr = luma(lr), luma(hr)
    target = F.pixel_unshuffle(hr, network.shuffle)
    if network.residual is not None:
        target = target - network.residual(lr)
        if network.lift is None:
            target = F.pixel_unshuffle(target, network.architecture.factor)
    side = last.kernel_size[0]
    inputs = F.unfold(features[0], side, padding=side // 2).transpose(1, 2).flatten(0, 1)
    outputs = target.permute(0, 2, 3, 1).flatten(0, 2)
    now = last.weight.flatten(1).T
    if last.bias is not None:
        inputs = torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1)
        now = torch.cat([now, last.bias[None]])
    gram = (inputs.T @ inputs).double()
    # The least there is: features that are zero everywhere, of dead ReLUs, ask for no change.
    gram.diagonal().add_(PENALTY * gram.diagonal().mean()).clamp_(min=1e-12)
    change = torch.linalg.solve(gram, (inputs.T @ (outputs - inputs @ now)).double())
    best = now + change.to(now)
    if not bool(best.isfinite().all()):
        return False
    if last.bias is not None:
        last.bias.copy_(best[-1])
        best = best[:-1]
    last.weight.copy_(best.T.view_as(last.weight))
    return True
