"""Teachers of other families: whatever the optional package spandrel recognises by its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from nas.common.errors import InputError
from search_spaces.architecture import SCALE

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor


class Foreign(nn.Module):
    """A network that spandrel built, called as spandrel says: padded where it must be."""

    def __init__(self, descriptor: ImageModelDescriptor[Any]) -> None:
        super().__init__()
        self.model = descriptor.model
        self._call = descriptor

    def forward(self, lr: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to four times the sides, clamped."""
        return self._call(lr)


def assemble(tensors: Mapping[str, Tensor]) -> Foreign:
    """Build the network that these tensors are of.

    They were read without executing anything, and spandrel is given the tensors, never the file.

    Raises:
        InputError: spandrel is not installed or knows no such network, or it does not upscale RGB
            by 4; says so without naming the file.
    """
    try:
        import spandrel
    except ImportError as fault:
        raise InputError(
            "it is no 4x HAT and no model of this workbench; for other networks install the "
            "package spandrel: pip install 'nas-workbench[spandrel]'"
        ) from fault
    try:
        found = spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(tensors))
    except Exception as fault:  # its many architectures raise what they like on odd tensors
        raise InputError(
            "it is no 4x HAT, no model of this workbench and nothing that spandrel "
            f"{spandrel.__version__} recognises"
        ) from fault
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise InputError("it is a network that needs more than a picture to work on")
    channels = (found.input_channels, found.output_channels)
    if found.scale != SCALE or channels != (3, 3):
        raise InputError(
            f"it upscales pictures of {channels[0]} channels by {found.scale}, not RGB by {SCALE}"
        )
    return Foreign(found)
