"""Number formats of a step on a GPU: measured on the network at hand, not assumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

PrecisionName: TypeAlias = Literal["fp32", "bf16", "fp16"]

CHOICES: tuple[PrecisionName, ...] = ("fp32", "bf16", "fp16")
_WORTH = 0.95
"""Lower precision must take less than this share of the time: what it gains must show."""


@dataclass(frozen=True, slots=True)
class Precision:
    """How the features of a network are computed; weights, tail and loss are always FP32.

    The output is left in FP32 because numbers of 8 bits, such as BF16 has between 0.5 and 1, are a
    grey level apart.

    Attributes:
        name: of the number format.
        channels_last: memory layout of pictures and kernels.
    """

    name: PrecisionName = "fp32"
    channels_last: bool = True

    @property
    def layout(self) -> torch.memory_format:
        """The layout, as torch calls it."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def __str__(self) -> str:
        return f"{self.name}{', channels_last' if self.channels_last else ''}"

    def autocast(self, device: str) -> AbstractContextManager[object]:
        """Inside it, convolutions use the number format."""
        if self.name == "fp32":
            return nullcontext()
        kind = torch.bfloat16 if self.name == "bf16" else torch.float16
        return torch.autocast(device.split(":")[0], dtype=kind)


ALL = tuple(Precision(name, channels_last) for name in CHOICES for channels_last in (False, True))


def parse_precision(text: str) -> Precision:
    """The inverse of ``str``."""
    name, _, layout = text.partition(", ")
    return Precision(name, bool(layout))  # type: ignore[arg-type]


def fastest(step: Callable[[Precision], None], device: str, rounds: int = 10) -> Precision:
    """Time a step on a GPU in every format and layout and return the best.

    Args:
        step: does one forward and backward pass; called often, and must change no weights.
        device: the GPU, which need not be the current one.
        rounds: how often each is timed, after three untimed ones.
    """
    names: list[PrecisionName] = ["fp32", "bf16" if torch.cuda.is_bf16_supported() else "fp16"]
    taken: dict[Precision, float] = {}
    for name in names:
        for channels_last in (False, True):
            choice = Precision(name, channels_last)
            for _ in range(3):
                step(choice)
            torch.cuda.synchronize(device)
            began = time.perf_counter()
            for _ in range(rounds):
                step(choice)
            torch.cuda.synchronize(device)
            taken[choice] = time.perf_counter() - began
    full = min((c for c in taken if c.name == "fp32"), key=taken.__getitem__)
    best = min(taken, key=taken.__getitem__)
    return best if taken[best] < _WORTH * taken[full] else full


class LossScale:
    """Keeps FP16's gradients from vanishing: the loss is multiplied, and the gradients divided.

    Where they overflow the step is left out and the factor halved; after many good steps it is
    doubled. With other formats the factor is one for ever.
    """

    _GOOD = 2000

    def __init__(self, precision: Precision) -> None:
        self._moves = precision.name == "fp16"
        self.factor = 65536.0 if self._moves else 1.0
        self._good = 0

    def unscale(self, gradients: list[Tensor]) -> bool:
        """Divide gradients; return whether they can be used."""
        if not self._moves:
            return True
        torch._foreach_div_(gradients, self.factor)
        usable = all(bool(gradient.isfinite().all()) for gradient in gradients)
        self._good = self._good + 1 if usable else 0
        if not usable:
            self.factor /= 2
        elif self._good % self._GOOD == 0:
            self.factor *= 2
        return usable or self.factor < 1  # then it is no overflow: the guard must see it

    def state_dict(self) -> dict[str, float]:
        """What to go on from."""
        return {"factor": self.factor, "good": self._good}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from what `state_dict` returned."""
        self.factor, self._good = state["factor"], int(state["good"])
