"""Muon: gradient descent with orthogonalised momentum, for the kernels of convolutions.

Keller Jordan et al., 2024 (kellerjordan.github.io/posts/muon). Each kernel, as a matrix (out, in x
k x k), moves along the nearest semi-orthogonal matrix to its momentum, so that every direction of
the kernel learns at the same speed. Features of pictures are nearly parallel (mostly brightness),
and plain or per-weight scaled gradients spend a short run on that one direction: on short runs
this was worth more than any other change (``docs/proxy.md``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Newton-Schulz coefficients of the paper: singular values go near 1 within five rounds."""

VANISHED = 1e-8
"""Norm of a mean gradient below which steps get shorter instead of staying as they are. Behind dead
ReLUs gradients are zero and the mean fades: it must not drag its kernel on in the last direction,
and the squares of its last traces are zero in float32."""


class Muon:
    """Moves matrices; everything else is another optimiser's.

    Args:
        parameters: kernels (out, in, k, k), all trained at each step.
        momentum: of the running mean of gradients; the step looks one update ahead (Nesterov).
    """

    def __init__(self, parameters: Iterable[Tensor], momentum: float = 0.9) -> None:
        self.momentum = momentum
        # Kernels of one shape are orthogonalised together.
        groups: dict[torch.Size, list[Tensor]] = {}
        for parameter in parameters:
            groups.setdefault(parameter.shape, []).append(parameter)
        self._groups = list(groups.values())
        self._means = [[torch.zeros_like(p) for p in group] for group in self._groups]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Move every kernel; its change has a spectral norm of about lr sqrt(out / (in k^2)).

        With that factor outputs of any layer change about equally (Yang et al., 2023,
        arXiv 2310.17813).
        """
        for group, means in zip(self._groups, self._means, strict=True):
            gradients = [p.grad for p in group if p.grad is not None]
            if len(gradients) < len(group):
                raise ValueError("a kernel has no gradient: run backward before the step")
            torch._foreach_lerp_(means, gradients, 1 - self.momentum)
            ahead = torch._foreach_lerp(gradients, means, self.momentum)
            moves = orthogonalised(torch.stack([a.flatten(1) for a in ahead]))
            rows, columns = moves.shape[-2:]
            rate = lr * math.sqrt(rows / columns)
            torch._foreach_add_(group, [m.view(group[0].shape) for m in moves], alpha=-rate)

    def state_dict(self) -> dict[str, list[Tensor]]:
        """The running means, in the order of the kernels' groups."""
        return {"means": [mean for means in self._means for mean in means]}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Go on from what `state_dict` returned, for the same kernels."""
        kept = [mean for means in self._means for mean in means]
        for mean, saved in zip(kept, state["means"], strict=True):
            mean.copy_(saved)


def orthogonalised(matrices: Tensor, rounds: int = 5) -> Tensor:
    """Bring the singular values of (N, rows, columns) near 1, leaving the singular vectors.

    The rounds work on the small Gram matrices only: X -> (a + b XX' + c (XX')^2) X commutes.
    """
    a, b, c = _QUINTIC
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices if wide else matrices.mT
    # Divided first: gradients of any size stay finite.
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(VANISHED)
    gram = x @ x.mT
    eye = torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
    product = eye
    for _ in range(rounds):
        factor = a * eye + b * gram + c * (gram @ gram)
        product = factor @ product
        gram = factor @ gram @ factor
    x = product @ x
    return x if wide else x.mT
