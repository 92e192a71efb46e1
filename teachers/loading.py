"""Teachers from files: HATs (ours and the official), models of the workbench, and foreign ones.

The settings of a HAT are read off the shapes of its tensors, so a bare checkpoint is enough; a
model of the workbench says its architecture itself; others are for the optional package spandrel.
Nothing in a file is ever executed: safetensors hold only numbers, and ``.pth`` files are opened
with ``weights_only``.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
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
from nas.common.errors import InputError, one_line
from nas.common.files import write_atomic
from search_spaces.model_file import SUFFIX, is_model, load_model
from teachers.hat.network import HAT, OFFICIAL_CONV_SCALE, HATSettings

WEIGHTS = Path(__file__).parent / "weights"
SHIPPED = {"hat-tiny": "dda2bd8a0682188721bffe14893171a04dcd104a9f68168b09b5961a852e4fcb"}
"""Names of the teachers that come along, and SHA-256 of their files: studies know them by it."""
CONTAINERS = ("params_ema", "params")  # BasicSR's names, the average first

TeacherInput: TypeAlias = Literal["clean", "compressed"]
"""What a teacher sees of a picture: LR that was never compressed, or what its student sees."""

_COMPRESSED = ":compressed"


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """A network whose outputs students are fitted to.

    Attributes:
        name: The shipped name, or the file's stem.
        network: In eval mode, without gradients; ``(N, 3, H, W)`` in [0, 1] to 4 times the sides.
        digest: SHA-256 of the file, 64 hex digits, and of what it sees unless that is clean:
            outputs are cached under it.
        input: What it sees.
    """

    name: str
    network: nn.Module
    digest: str
    input: TeacherInput = "clean"

    def levels(self, qps: Sequence[int | None]) -> tuple[int | None, ...]:
        """The compression levels that it is asked about, for students that see ``qps``."""
        return (None,) if self.input == "clean" else tuple(qps)

    def by_picture(
        self, made: Sequence[np.ndarray], qps: Sequence[int | None]
    ) -> list[Sequence[np.ndarray]]:
        """Part what was made of pictures, each at all of its `levels`, into one row a picture."""
        each = len(self.levels(qps))
        return [made[i : i + each] for i in range(0, len(made), each)]


def named_input(source: str) -> tuple[str, TeacherInput]:
    """Split what a user calls a teacher: ``NAME`` sees clean LR, ``NAME:compressed`` the other."""
    bare = source.removesuffix(_COMPRESSED)
    return bare, "clean" if bare == source else "compressed"


def load_teacher(source: str | Path) -> Teacher:
    """Load a teacher by its shipped name or from a ``.safetensors`` or ``.pth`` file.

    With ``:compressed`` behind it, it sees the compressed LR, as the student does; else clean LR,
    which the student never sees. The file holds a 4x HAT, a model that this workbench trained, or
    anything for 4x that the package spandrel recognises, where that is installed.

    Raises:
        InputError: There is no such file, or it holds none of these; says what is missing.
    """
    bare, sees = named_input(str(source))
    if sees == "compressed":
        teacher = load_teacher(bare)
        digest = hashlib.sha256((teacher.digest + _COMPRESSED).encode()).hexdigest()
        return replace(teacher, name=teacher.name + _COMPRESSED, digest=digest, input=sees)
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
    if path.suffix == SUFFIX and is_model(path):
        model = load_model(path)
        return Teacher(model.name, model.network, model.digest)
    if any(name.endswith("relative_position_bias_table") for name in tensors):
        network: nn.Module = _assemble(path, tensors)
    else:
        network = _foreign(path, tensors)
    return Teacher(path.stem, network, digest)


def save_teacher(network: HAT, path: Path, *, half: bool = True) -> None:
    """Write a network as safetensors, in half precision unless told otherwise.

    Half precision halves the file and moves the output by less than its 8-bit rounding does.
    """
    content = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in network.state_dict().items()
    }
    write_atomic(path, sealed(content, {"format": "pt"}))


def settings_of(tensors: Mapping[str, Tensor]) -> HATSettings:
    """Read the settings of a HAT off the names and shapes of its tensors.

    Raises:
        InputError: A tensor that every 4x HAT has is missing; names it.
    """
    embed = _shape(tensors, "conv_first.weight")[0]
    features = _shape(tensors, "conv_last.weight")[1]
    doubles = _shape(tensors, "upsample.0.weight")[0] == 4 * features
    if not doubles or "upsample.2.weight" not in tensors:
        raise InputError("it does not upscale by 4 (no upsample.2.weight, or of another shape)")
    block = "layers.0.residual_group.blocks.0"
    overlap_table = "layers.{}.residual_group.overlap_attn.relative_position_bias_table"
    window = (math.isqrt(_shape(tensors, f"{block}.attn.relative_position_bias_table")[0]) + 1) // 2
    extent = math.isqrt(_shape(tensors, overlap_table.format(0))[0]) + 1 - window
    depths = _depths(tensors, r"layers\.(\d+)\.residual_group\.blocks\.(\d+)\.")
    conv_scale = tensors.get("conv_scale")
    return HATSettings(
        embed_dim=embed,
        depths=depths,
        heads=tuple(_shape(tensors, overlap_table.format(i))[1] for i in range(len(depths))),
        window=window,
        compress=embed // _shape(tensors, f"{block}.conv_block.cab.0.weight")[0],
        squeeze=embed // _shape(tensors, f"{block}.conv_block.cab.3.attention.1.weight")[0],
        mlp_ratio=_shape(tensors, f"{block}.mlp.fc1.weight")[0] / embed,
        overlap=(extent - window) / window,
        conv_scale=OFFICIAL_CONV_SCALE if conv_scale is None else float(conv_scale),
        features=features,
        image_skip="image_skip.weight" in tensors,
    )


def _shape(tensors: Mapping[str, Tensor], name: str) -> torch.Size:
    tensor = tensors.get(name)
    if tensor is None or (tensor.ndim != 4 and name.split(".")[-2].startswith("conv")):
        raise InputError(f"it has no usable tensor {name}")
    return tensor.shape


def _depths(tensors: Mapping[str, Tensor], pattern: str) -> tuple[int, ...]:
    """How many blocks each group has."""
    found = {tuple(map(int, hit.groups())) for name in tensors if (hit := re.match(pattern, name))}
    groups = 1 + max(group for group, _ in found)
    if groups > len(found):  # as a name may claim it
        raise InputError(f"it has {len(found)} blocks in {groups} groups")
    return tuple(sum(group == wanted for group, _ in found) for wanted in range(groups))


def _tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    """Read a file's tensors as float32 (indices as they are)."""
    try:
        if path.suffix == SUFFIX:
            loaded: object = load_safetensors(content)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on the pickle protocol of a file we may refuse
                loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as fault:  # bytes that are no checkpoint make unpicklers raise anything
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
        raise InputError(f"{path} holds weights that are no numbers: give another teacher")
    return tensors


def _foreign(path: Path, tensors: dict[str, Tensor]) -> nn.Module:
    from teachers.spandrel import assemble

    try:
        return assemble(tensors).eval().requires_grad_(False)
    except InputError as fault:
        raise InputError(f"{path} is no teacher: {fault}") from fault


def _assemble(path: Path, tensors: Mapping[str, Tensor]) -> HAT:
    try:
        with torch.device("meta"):  # shapes only: no time for, and no luck from, random weights
            network = HAT(settings_of(tensors))
        network.load_state_dict(tensors, strict=True, assign=True)
    except InputError as fault:
        raise InputError(f"{path} is no teacher: {fault}; a 4x HAT is needed") from fault
    except (RuntimeError, ValueError, IndexError, ZeroDivisionError) as fault:
        detail = one_line(fault)
        raise InputError(f"{path} is no teacher that fits together: {detail}") from fault
    return network.eval().requires_grad_(False)
