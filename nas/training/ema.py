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

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages towards the live weights; the first updates move them further."""
        self._updates += 1
        decay = min(self.decay, self._updates / (self._updates + 9))
        torch._foreach_lerp_(self._average, self._live, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        """What to go on from: the averages and how many updates made them."""
        return {"average": self.network.state_dict(), "updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.network.load_state_dict(state["average"])
        self._updates = state["updates"]
