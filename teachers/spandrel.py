"""Teachers of all other families, which the optional package spandrel recognizes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nas.common.errors import InputError
from search_spaces.architecture import SCALE

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor


class SpandrelNetwork(nn.Module):
    """A network that spandrel built, called through its descriptor, which pads where needed."""

    def __init__(self, descriptor: ImageModelDescriptor[Any]) -> None:
        super().__init__()
        self.model = descriptor.model
        self._call = descriptor

    def forward(self, lr: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to four times the sides, clamped."""
        return self._call(lr)


def load(path: Path, tensors: Mapping[str, Tensor]) -> tuple[str, nn.Module]:
    """Name and network of a file.

    Raises:
        InputError: spandrel does not recognize it as a 4x network for RGB.
    """
    try:
        return path.stem, assemble(tensors).eval().requires_grad_(False)
    except InputError as fault:
        raise InputError(f"{path} is no teacher: {fault}") from fault


def assemble(tensors: Mapping[str, Tensor]) -> SpandrelNetwork:
    """Build the network of these tensors.

    Spandrel gets the tensors, which were read without executing anything, and never the file.

    Raises:
        InputError: spandrel is not installed, does not recognize the network, or it does not
            upscale RGB by 4.
    """
    try:
        import spandrel
    except ImportError as fault:
        raise InputError(
            "no built-in family of teachers recognizes it; for other networks install the "
            "package spandrel: pip install 'nas-workbench[spandrel]'"
        ) from fault
    try:
        found = spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(tensors))
    except Exception as fault:  # its architectures raise anything on odd tensors
        raise InputError(
            "neither a built-in family of teachers nor spandrel "
            f"{spandrel.__version__} recognizes it"
        ) from fault
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise InputError("it is a network that needs more than an image as input")
    channels = (found.input_channels, found.output_channels)
    if found.scale != SCALE or channels != (3, 3):
        raise InputError(
            f"it upscales images of {channels[0]} channels by {found.scale}, not RGB by {SCALE}"
        )
    return SpandrelNetwork(found)


def convolutions(network: nn.Module) -> list[nn.Module]:
    """Convolutions of any network whose outputs are features at LR resolution or slightly below."""
    side, found = 48, []

    def record(layer: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        channels, width = out.shape[1], out.shape[-1]
        if (
            channels >= _MIN_CHANNELS
            and side // 4 <= width <= side
            and channels not in _IMAGE_CHANNELS
        ):
            found.append(layer)

    with ExitStack() as hooks:
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                hooks.callback(layer.register_forward_hook(record).remove)
        with torch.no_grad():
            network(torch.zeros(1, 3, side, side, device=next(network.parameters()).device))
    return [layer for layer in found if found.count(layer) == 1]


_MIN_CHANNELS = 8  # fewer channels are an image
_IMAGE_CHANNELS = tuple(
    3 * shuffle**2 for shuffle in (2, 3, 4)
)  # and so are these, before a shuffle
