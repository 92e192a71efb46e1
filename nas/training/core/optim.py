"""Optimizers: Adam for everything, or Muon for kernels and Adam for the rest; weight averages."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.common.registry import Registry

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Newton-Schulz coefficients of the paper: singular values go near 1 within five rounds."""

VANISHED = 1e-8
"""Norm of a mean gradient below which steps get shorter instead of staying as they are. Behind dead
ReLUs gradients are zero and the mean fades: it must not drag its kernel on in the last direction,
and the squares of its last traces are zero in float32."""


def is_kernel(parameter: Tensor) -> bool:
    """Whether a parameter is Muon's to move: (out, in > 1, k, k), so no depthwise kernel."""
    return parameter.dim() == 4 and parameter.shape[1] > 1


class Muon:
    """Moves matrices; everything else is another optimiser's.

    Attributes:
        means: the running means of gradients, in the order of the kernels' shapes.

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
        self._sizes = [len(group) for group in groups.values()]
        self._kernels = [kernel for group in groups.values() for kernel in group]
        self.means = [torch.zeros_like(kernel) for kernel in self._kernels]

    @torch.no_grad()
    def step(self, lr: float | Tensor) -> None:
        """Move every kernel; its change has a spectral norm of about lr sqrt(out / (in k^2)).

        With that factor outputs of any layer change about equally (Yang et al., 2023,
        arXiv 2310.17813). As a tensor, ``lr`` is not looked at from the CPU.
        """
        gradients = [p.grad for p in self._kernels if p.grad is not None]
        if len(gradients) < len(self._kernels):
            raise ValueError("a kernel has no gradient: run backward before the step")
        if not gradients:
            return
        torch._foreach_lerp_(self.means, gradients, 1 - self.momentum)
        ahead = iter(torch._foreach_lerp(gradients, self.means, self.momentum))
        stacks = [
            torch.stack([_as_matrix(next(ahead)) for _ in range(size)]) for size in self._sizes
        ]
        # A GPU multiplies in tiles of 64: matrices that are padded up to it cost nothing more.
        tile = 64 if stacks[0].is_cuda else 1
        moves: list[Tensor] = []
        for stack in orthogonalised(stacks, tile=tile):
            rows, columns = stack.shape[-2:]
            moves += stack.mul_(lr * math.sqrt(rows / columns)).unbind()
        pairs = zip(moves, self._kernels, strict=True)
        torch._foreach_sub_(self._kernels, [_as_kernel(move, kernel) for move, kernel in pairs])

    def state_dict(self) -> dict[str, list[Tensor]]:
        """The running means, in the order of the kernels' shapes."""
        return {"means": list(self.means)}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Go on from what `state_dict` returned, for the same kernels."""
        for mean, saved in zip(self.means, state["means"], strict=True):
            mean.copy_(saved)


def _as_matrix(kernel: Tensor) -> Tensor:
    """A row for each output; a view in the memory layout channels_last, which is the usual one."""
    return kernel.permute(0, 2, 3, 1).flatten(1)


def _as_kernel(matrix: Tensor, like: Tensor) -> Tensor:
    outputs, inputs, height, width = like.shape
    return matrix.view(outputs, height, width, inputs).permute(0, 3, 1, 2)


def orthogonalised(
    stacks: Sequence[Tensor], *, rounds: int = 5, tile: int = 1
) -> tuple[Tensor, ...]:
    """Bring the singular values of (N, rows, columns) near 1, leaving the singular vectors.

    The rounds work on the small Gram matrices only: X -> (a + b XX' + c (XX')^2) X commutes. Those
    of one size go through them together, whatever stacks they are of.

    Args:
        stacks: matrices of one shape each.
        rounds: Newton-Schulz steps.
        tile: Gram matrices are padded with zeros up to a multiple of it, which changes nothing.
    """
    upright = [stack.shape[-2] > stack.shape[-1] for stack in stacks]
    wide = [stack.mT if tall else stack for stack, tall in zip(stacks, upright, strict=True)]
    # Divided first: gradients of any size stay finite.
    wide = [x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(VANISHED) for x in wide]
    together: dict[int, list[int]] = {}
    for index, x in enumerate(wide):
        together.setdefault(-(-x.shape[-2] // tile) * tile, []).append(index)
    found: dict[int, Tensor] = {}
    for size, members in together.items():
        grams = []
        for x in (wide[index] for index in members):
            spare = size - x.shape[-2]
            grams.append(F.pad(x @ x.mT, (0, spare, 0, spare)) if spare else x @ x.mT)
        products = _polynomial(torch.cat(grams), rounds)
        for index, product in zip(
            members, products.split([len(wide[index]) for index in members]), strict=True
        ):
            rows = wide[index].shape[-2]
            x = product[:, :rows, :rows] @ wide[index]
            found[index] = x.mT if upright[index] else x
    return tuple(found[index] for index in range(len(stacks)))


def _polynomial(gram: Tensor, rounds: int) -> Tensor:
    """What all rounds together multiply the matrices of these (N, n, n) Gram matrices by."""
    a, b, c = _QUINTIC
    scaled_eye = a * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    product: Tensor | None = None
    for left in reversed(range(rounds)):
        factor = torch.baddbmm(torch.add(scaled_eye, gram, alpha=b), gram, gram, alpha=c)
        product = factor if product is None else factor @ product
        if left:
            gram = factor @ gram @ factor
    return scaled_eye / a if product is None else product


N = TypeVar("N", bound=nn.Module)


class Ema(Generic[N]):
    """A running average of a network's parameters.

    Attributes:
        network: a copy of the network in eval mode that holds the averages.
        decay: how much of the average stays at each update, once warm.
    """

    def __init__(self, network: N, decay: float = 0.99) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self._average: list[Tensor] = list(self.network.parameters())
        self._live: list[Tensor] = list(network.parameters())
        self._updates = 0

    def share(self, update: int) -> float:
        """How far update number ``update`` moves the averages: the first ones move them further."""
        return 1 - min(self.decay, update / (update + 9))

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages towards the live weights."""
        self._updates += 1
        torch._foreach_lerp_(self._average, self._live, self.share(self._updates))

    @torch.no_grad()
    def move(self, share: Tensor) -> None:
        """Do an update whose `share` is known to the device alone; the caller counts."""
        change = torch._foreach_sub(self._live, self._average)
        torch._foreach_mul_(change, share)
        torch._foreach_add_(self._average, change)

    def state_dict(self) -> dict[str, Any]:
        """What to go on from: the averages and how many updates made them."""
        return {"average": self.network.state_dict(), "updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.network.load_state_dict(state["average"])
        self._updates = state["updates"]


class Optimizer:
    """Muon for kernels and Adam for the rest, or Adam for everything.

    Args:
        parameters: those to move.
        muon: move kernels by Muon; see `is_kernel`.
        betas: Adam's.
        tensor_rates: rates come as tensors, so that a CUDA graph can replay the step.
        fused: use Adam's fused kernel, which rounds differently from its loop.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        muon: bool = True,
        betas: tuple[float, float] = (0.9, 0.99),
        tensor_rates: bool = False,
        fused: bool = True,
    ) -> None:
        parameters = list(parameters)
        self.muon = Muon(p for p in parameters if muon and is_kernel(p))
        others = [p for p in parameters if not (muon and is_kernel(p))]
        self._adam_only = not muon
        self._adam_lr: Tensor | None = None
        self.adam: torch.optim.Adam | None = None
        if others:
            if tensor_rates:
                self._adam_lr = torch.zeros((), device=others[0].device)
            self.adam = torch.optim.Adam(
                others,
                lr=0.0 if self._adam_lr is None else self._adam_lr,
                betas=betas,
                fused=fused,
                capturable=tensor_rates and others[0].is_cuda,
            )

    def step(self, lr: float | Tensor, adam_lr: float | Tensor) -> None:
        """Move everything by its gradient: kernels at ``lr``, the rest at ``adam_lr``.

        Without Muon everything moves at ``lr``.
        """
        self.muon.step(lr)
        if self.adam is not None:
            adam_lr = lr if self._adam_only else adam_lr
            if self._adam_lr is not None:
                self._adam_lr.copy_(adam_lr)  # type: ignore[arg-type]
            else:
                self.adam.param_groups[0]["lr"] = adam_lr
            self.adam.step()

    def reset_state(self) -> None:
        """Zero all running means in place; the weights stay."""
        adam = {} if self.adam is None else self.adam.state
        for tensor in (*self.muon.means, *(t for state in adam.values() for t in state.values())):
            tensor.zero_()

    def state_dict(self) -> dict[str, Any]:
        """The running means of both."""
        adam = None if self.adam is None else self.adam.state_dict()
        return {"muon": self.muon.state_dict(), "adam": adam}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned, for the same parameters."""
        self.muon.load_state_dict(state["muon"])
        if self.adam is not None:
            self.adam.load_state_dict(state["adam"])


optimizers: Registry[Callable[..., Optimizer]] = Registry("optimiser")
"""Name -> optimizer of parameters and keyword arguments, as recipes name them."""

optimizers.add("adam", partial(Optimizer, muon=False))
optimizers.add("muon", Optimizer)
