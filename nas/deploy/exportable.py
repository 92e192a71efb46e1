"""The form of a network that leaves PyTorch: any height and width, without a branch on them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as shapes
from torch.nn import functional as F

from nas.common.errors import InputError, one_line
from search_spaces.architecture import SCALE
from search_spaces.networks.inference import simplified
from search_spaces.networks.network import Network

INPUT, OUTPUT = "lr", "sr"
"""What goes in and out: (N, 3, H, W) RGB in [0, 1], and the same at 4 times the sides."""

_PROMISES = ((True, 8), (True, 16), (False, 8), (False, 16))
"""Any batch or one picture, and the smallest side: the first that a network can keep. The larger
side is for networks that pool with strides; normalising over channels wants one picture."""

_SIDES = (27, 35)
"""Of the example: odd and unequal sides, so that nothing looks constant by chance."""


class Exportable(nn.Module):
    """The simplest form with its output clamped to [0, 1], whose sizes may be symbols.

    A network pads a picture to its working factor only where that is needed, which is a decision
    on a number. Here the rows and columns beyond the picture are always looked up, by indices that
    stop at its border: none where the factor divides it, and always the same values. Clamping comes
    before the last pixel-shuffle, where runtimes make it a part of the convolution.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = simplified(network)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, 3, 4H, 4W) in [0, 1]."""
        height, width = x.shape[-2:]
        factor = self.network.factor
        if isinstance(height, int) and isinstance(width, int):
            x = self.network.padded(x)
        elif factor > 1:
            x = _repeated(_repeated(x, height, factor, 2), width, factor, 3)
        phases = self.network.phases(x)
        if not self.network.clipped:
            phases = phases.clamp(0, 1)
        upscaled = F.pixel_shuffle(phases, self.network.shuffle)
        if factor == 1:
            return upscaled
        return upscaled[..., : SCALE * height, : SCALE * width]


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A portable form as a graph of operators.

    Attributes:
        exported: the graph.
        size: LR height and width that it is for; None for any.
        smallest: smallest side that it takes.
        batch: whether it takes any number of pictures, or one.
    """

    exported: ExportedProgram
    size: tuple[int, int] | None
    smallest: int
    batch: bool


def program(exportable: Exportable, size: tuple[int, int] | None = None) -> Program:
    """Export for any batch, height and width, or for one picture of a given size.

    Raises:
        InputError: the network does something that depends on the very size of the picture.
    """
    if size is not None:
        with quiet(), _no_guards():
            exported = torch.export.export(exportable, (_example(exportable, (1, 3, *size)),))
        return Program(exported, size, min(size), batch=False)
    for batch, smallest in _PROMISES:
        sizes = {2: Dim("height", min=smallest), 3: Dim("width", min=smallest)}
        if batch:
            sizes[0] = Dim("batch")
        example = _example(exportable, (2 if batch else 1, 3, *_SIDES))
        try:
            with quiet(), _no_guards(), torch.no_grad():
                exported = torch.export.export(exportable, (example,), dynamic_shapes=(sizes,))
                exported.module()(_example(exportable, (1, 3, smallest, smallest + 1)))
        except Exception as error:  # PyTorch raises several kinds; all say which guard it was
            fault = error
            continue
        return Program(exported, None, smallest, batch)
    detail = one_line(fault, 200)
    raise InputError(
        f"{exportable.network.network.architecture.label} cannot be exported for changing sizes; "
        f"give one, such as --size 540x960 ({detail})"
    ) from fault


def traced(exportable: Exportable) -> torch.jit.ScriptModule:
    """Trace to TorchScript, for any batch, height and width."""
    with quiet(), torch.no_grad():
        return torch.jit.trace(exportable, _example(exportable, (2, 3, *_SIDES)), check_trace=False)


def _example(exportable: Exportable, shape: tuple[int, ...]) -> Tensor:
    """Always the same values, as files keep them."""
    return torch.full(shape, 0.5, dtype=next(exportable.parameters()).dtype)


def _repeated(x: Tensor, length: int, factor: int, axis: int) -> Tensor:
    """The picture with its last row or column repeated up to a multiple of the factor."""
    index = torch.arange((length + factor - 1) // factor * factor, device=x.device)
    return x.index_select(axis, index.clamp(max=length - 1))


@contextmanager
def quiet() -> Iterator[None]:
    """PyTorch warns of its own deprecations, and of branches that are on ranks, not on sizes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _no_guards() -> AbstractContextManager[None]:
    """Let sizes be symbols also where PyTorch would like to know whether a map is contiguous.

    The cropped output is, or is not, by its size; PyTorch's ONNX exporter sets the same switch.
    """
    return shapes.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
