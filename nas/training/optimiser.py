"""The optimisers that recipes name: Adam for all, or Muon for kernels and Adam for the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from nas.training.muon import Muon, is_kernel


class Optimiser:
    """Moves all parameters that are trained.

    Args:
        parameters: those to move.
        kernels_by_muon: move kernels by Muon; what `is_kernel` says is none is Adam's in any case.
        lr: peak rate; of Muon where it is used.
        adam_lr: peak rate of what Adam moves beside Muon.
        betas: Adam's.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        kernels_by_muon: bool,
        lr: float,
        adam_lr: float,
        betas: tuple[float, float],
    ) -> None:
        kernels: list[Tensor] = []
        others: list[Tensor] = []
        for parameter in parameters:
            by_muon = kernels_by_muon and is_kernel(parameter)
            (kernels if by_muon else others).append(parameter)
        self.lr, self.adam_lr = lr, adam_lr if kernels_by_muon else lr
        self.muon = Muon(kernels)
        self.adam: torch.optim.Adam | None = None
        if others:
            self.adam = torch.optim.Adam(others, lr=self.adam_lr, betas=betas, fused=True)

    def step(self, rate: float) -> None:
        """Move everything by its gradient, at this share of the peak rates."""
        self.muon.step(self.lr * rate)
        if self.adam is not None:
            self.adam.param_groups[0]["lr"] = self.adam_lr * rate
            self.adam.step()

    def state_dict(self) -> dict[str, Any]:
        """What to go on from."""
        adam = None if self.adam is None else self.adam.state_dict()
        return {"muon": self.muon.state_dict(), "adam": adam}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned, for the same parameters."""
        self.muon.load_state_dict(state["muon"])
        if self.adam is not None:
            self.adam.load_state_dict(state["adam"])
