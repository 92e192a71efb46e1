"""Exponential moving average of weights: the network that is measured, not the one that moves."""

from __future__ import annotations

import copy
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

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
