"""A trained network as a file: deploy weights that say themselves which network they are of.

The file is safetensors, whose header holds the architecture as JSON beside a name and whatever
else is known (gain, licence, what it was trained on). So one file is enough, loading it runs no
code, and any size of picture works.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors

from nas.common.checked_files import SEAL, require_whole, sealed
from nas.common.errors import InputError, one_line
from nas.common.files import read_text, write_atomic
from search_spaces.architecture import SCALE, Architecture
from search_spaces.networks.factory import build, fuse
from search_spaces.networks.network import Network

FORMAT = "nas-workbench-1"
SUFFIX = ".safetensors"
_FORMATS = "nas-workbench-"
_OWN = ("format", "architecture", "name", "scale", SEAL)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A network that is ready to use.

    Attributes:
        name: For people, and in file names.
        network: In deploy form and eval mode, float32, without gradients.
        facts: What else is known of it, as strings: ``gain_db``, ``licence``, ``data``...
        digest: SHA-256 of the file it came from, 64 hex digits; empty for one that was never
            written.
    """

    name: str
    network: Network
    facts: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""

    @property
    def architecture(self) -> Architecture:
        """What it is built as."""
        return self.network.architecture


def model_bytes(
    network: Network,
    name: str,
    facts: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> bytes:
    """Return a network, folded if it is not yet, as the content of a file.

    Args:
        network: the network.
        name: for people.
        facts: what else is known of it.
        dtype: of the weights in the file; loaded they are float32 again.

    Raises:
        ValueError: a fact has a name that the format itself uses.
    """
    facts = dict(facts or {})
    if taken := [key for key in facts if key in _OWN]:
        raise ValueError(f"a model's fact cannot be called '{taken[0]}'")
    header = {
        "format": FORMAT,
        "name": name,
        "scale": str(SCALE),
        "architecture": network.architecture.to_json(),
        **facts,
    }
    tensors = {
        key: tensor.detach().cpu().to(dtype).contiguous()
        for key, tensor in fuse(network).state_dict().items()
    }
    return sealed(tensors, header)


def save_model(model: Model, path: Path) -> Model:
    """Write a model and return it as it would be loaded again.

    Raises:
        InputError: the name does not end in ``.safetensors``.
        OSError: it cannot be written.
    """
    if path.suffix != SUFFIX:
        raise InputError(f"{path}: a model is written as {SUFFIX}; give such a name")
    content = model_bytes(model.network, model.name, model.facts)
    write_atomic(path, content)
    return Model(model.name, model.network, model.facts, hashlib.sha256(content).hexdigest())


def load_model(path: Path) -> Model:
    """Read a model from a file that `save_model` wrote.

    Raises:
        InputError: there is no such file, it is damaged, or no model of the workbench; says why.
    """
    header, content = _opened(path)
    written_as = header.get("format", "")
    if written_as != FORMAT and written_as.startswith(_FORMATS):
        raise InputError(
            f"{path} is of a newer version of the workbench, which writes {written_as!r} where "
            f"this one reads {FORMAT!r}: upgrade nas-workbench"
        )
    if written_as != FORMAT or "architecture" not in header:
        raise InputError(
            f"{path} does not say which network its weights are of: it must be a model that this "
            "workbench wrote, with its architecture in the file's header"
        )
    if header.get("scale") != str(SCALE):
        raise InputError(f"{path} upscales by {header.get('scale')}; models here upscale by 4")
    network = _assembled(path, content, header["architecture"])
    facts = {key: value for key, value in sorted(header.items()) if key not in _OWN}
    name = "".join(filter(str.isprintable, header.get("name", "")))[:100] or path.stem
    return Model(name, network, facts, hashlib.sha256(content).hexdigest())


def load_bare(path: Path, architecture: Architecture) -> Model:
    """Read deploy weights without a model's header, whose architecture stands elsewhere.

    Raises:
        InputError: there is no such file, it is damaged, or holds the weights of another network.
    """
    _, content = _opened(path)
    network = _assembled(path, content, architecture.to_json())
    return Model(architecture.label, network, {}, hashlib.sha256(content).hexdigest())


def is_model(path: Path) -> bool:
    """Whether a safetensors file says which network its weights are of, to this version or a newer.

    Raises:
        InputError: there is no such file, or it is none.
    """
    return _header(path).get("format", "").startswith(_FORMATS)


def read_architecture(path: Path) -> Architecture:
    """Read an architecture from its JSON file, or from the header of a model's file.

    Raises:
        InputError: there is no such file, it is damaged, or it holds none.
    """
    if path.suffix == SUFFIX:
        header, _ = _opened(path)
        if "architecture" not in header:
            raise InputError(f"{path} does not say which network its weights are of")
        text = header["architecture"]
    else:
        text = read_text(path)
    try:
        return Architecture.from_json(text)
    except InputError as fault:
        raise InputError(f"{path}: {fault}") from fault


def _assembled(path: Path, content: bytes, architecture: str) -> Network:
    try:
        network = fuse(build(Architecture.from_json(architecture), seed=0))
        network.load_state_dict(load_tensors(content), strict=True)
    except InputError as fault:
        raise InputError(
            f"{path} holds a network that cannot be built here, "
            f"perhaps it is of a newer version or needs a --plugin: {fault}"
        ) from fault
    except RuntimeError as fault:
        detail = one_line(fault, 200)
        raise InputError(f"{path}: weights and architecture do not fit: {detail}") from fault
    if not all(bool(tensor.isfinite().all()) for tensor in network.state_dict().values()):
        raise InputError(f"{path} holds weights that are no numbers: train it again")
    return network.requires_grad_(False)


def _opened(path: Path) -> tuple[dict[str, str], bytes]:
    """Read a file's header and all of it, as it was written."""
    header, content = _header(path), _content(path)
    require_whole(path, content)
    return header, content


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise InputError(f"{path} cannot be read: {fault.strerror}") from fault


def _header(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as fault:
        raise InputError(
            f"{path} is no model: it must be a {SUFFIX} file of this workbench, whole and readable"
        ) from fault
