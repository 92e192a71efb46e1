"""Loading and saving of teachers, of any family in `teachers.registry`.

Nothing in a file is executed: safetensors hold only numbers, and ``.pth`` files are opened with
``weights_only``.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from nas.common.checked_files import require_whole, sealed
from nas.common.errors import InputError
from nas.common.files import write_atomic
from search_spaces.model_file import SUFFIX
from teachers.registry import family_of_file

WEIGHTS = Path(__file__).parent / "weights"
SHIPPED = {"hat-tiny": "dda2bd8a0682188721bffe14893171a04dcd104a9f68168b09b5961a852e4fcb"}
"""Names of the shipped teachers and SHA-256 of their files, by which studies identify them."""
CONTAINERS = ("params_ema", "params")  # BasicSR's names, the average first

TeacherInput: TypeAlias = Literal["clean", "compressed"]
"""Input of a teacher: LR that was never compressed, or the compressed LR that students get."""

_COMPRESSED = ":compressed"


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """A network whose outputs students are fitted to.

    Attributes:
        name: The shipped name, or the file's stem.
        network: In eval mode, without gradients; ``(N, 3, H, W)`` in [0, 1] to 4 times the sides.
        digest: SHA-256 of the file, 64 hex digits; with compressed input, of that too. Outputs
            are cached under it.
    """

    name: str
    network: nn.Module
    digest: str
    input: TeacherInput = "clean"

    def levels(self, qps: Sequence[int | None]) -> tuple[int | None, ...]:
        """Compression levels of its input, for students that train on ``qps``."""
        return (None,) if self.input == "clean" else tuple(qps)

    def group_by_image(
        self, outputs: Sequence[np.ndarray], qps: Sequence[int | None]
    ) -> list[Sequence[np.ndarray]]:
        """Split outputs for all images, each at all of its `levels`, into one list an image."""
        each = len(self.levels(qps))
        return [outputs[i : i + each] for i in range(0, len(outputs), each)]


def split_input(source: str) -> tuple[str, TeacherInput]:
    """Split ``NAME`` (clean input) or ``NAME:compressed`` into name and input."""
    bare = source.removesuffix(_COMPRESSED)
    return bare, "clean" if bare == source else "compressed"


def load_teacher(source: str | Path) -> Teacher:
    """Load a teacher by its shipped name or from a ``.safetensors`` or ``.pth`` file.

    With the suffix ``:compressed`` its input is the compressed LR, as the student's; otherwise the
    clean LR, which the student never gets.

    Raises:
        InputError: there is no such file, or no family recognizes it.
    """
    bare, given = split_input(str(source))
    if given == "compressed":
        teacher = load_teacher(bare)
        digest = hashlib.sha256((teacher.digest + _COMPRESSED).encode()).hexdigest()
        return replace(teacher, name=teacher.name + _COMPRESSED, digest=digest, input=given)
    shipped = str(source) in SHIPPED
    path = WEIGHTS / f"{source}{SUFFIX}" if shipped else Path(source)
    if not path.is_file():
        raise InputError(
            f"there is no teacher {str(source)!r}: "
            f"give {' or '.join(SHIPPED)}, or a .safetensors or .pth file"
        )
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise InputError(f"{path} cannot be read: {fault.strerror}") from fault
    digest = hashlib.sha256(content).hexdigest()
    if shipped and digest != SHIPPED[str(source)]:
        raise InputError(f"{path} is damaged: install nas-workbench again")
    require_whole(path, content)
    tensors = _tensors(path, content)
    name, network = family_of_file(path, tensors).load(path, tensors)
    return Teacher(name, network, digest)


def save_teacher(network: nn.Module, path: Path, *, half: bool = True) -> None:
    """Write a network as safetensors, by default in half precision.

    Half precision halves the file and changes the output by less than its 8-bit rounding does.
    """
    content = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in network.state_dict().items()
    }
    write_atomic(path, sealed(content, {"format": "pt"}))


def _tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    """Read a file's tensors as float32 (indices as they are)."""
    try:
        if path.suffix == SUFFIX:
            loaded: object = load_safetensors(content)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about pickle protocols
                loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as fault:  # unpicklers raise anything on damaged bytes
        raise InputError(
            f"{path} cannot be read as weights: it must be a .safetensors file, "
            "or a .pth file that holds tensors and nothing else"
        ) from fault
    for container in CONTAINERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(container), Mapping):
            loaded = loaded[container]
            break
    if not isinstance(loaded, Mapping):
        raise InputError(f"{path} is no teacher: it holds no named tensors")
    tensors = {
        str(name).removeprefix("module."): t.float() if t.is_floating_point() else t
        for name, t in loaded.items()
        if isinstance(t, Tensor)
    }
    if any(bool(tensor.isnan().any()) for tensor in tensors.values()):
        raise InputError(f"{path} holds weights that are NaN: give another teacher")
    return tensors
