"""What a training goes on from: one file, replaced whole, that says which training it is of."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nas.common.errors import InputError, reason
from nas.common.files import write_atomic
from nas.training.engine.folder import LAST

FORMAT = 1
_EARLIER = b"PK"  # how checkpoints of earlier versions begin, which have no hash


def save_checkpoint(path: Path, settings: Mapping[str, str], state: Mapping[str, Any]) -> None:
    """Replace the checkpoint at ``path``.

    Args:
        path: the file.
        settings: what the training depends on, by name.
        state: tensors, numbers, strings, and dictionaries, lists and tuples of them.

    Raises:
        InputError: it cannot be written.
    """
    content = {"format": FORMAT, "settings": dict(settings), "state": dict(state)}
    archive = io.BytesIO()
    torch.save(content, archive)
    saved = archive.getvalue()
    try:
        write_atomic(path, hashlib.sha256(saved).hexdigest().encode() + saved)
    except OSError as fault:
        raise InputError(f"{path.parent} cannot be written: {reason(fault)}") from fault


def load_checkpoint(path: Path, settings: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the state that was saved, or None where there is no file.

    Nothing in the file is executed.

    Raises:
        InputError: it is no checkpoint, or that of a training with other settings.
    """
    if not path.exists():
        return None
    try:
        saved = _unsealed(path.read_bytes())
        content: Any = torch.load(io.BytesIO(saved), map_location="cpu", weights_only=True)
        kept, state = content["settings"], content["state"]
        known = content["format"] == FORMAT and isinstance(kept, dict) and isinstance(state, dict)
    except OSError as fault:
        raise InputError(f"{path} cannot be read: {fault.strerror}") from fault
    except Exception as fault:  # bytes that are no checkpoint make unpicklers raise anything
        raise InputError(_no_checkpoint(path)) from fault
    if not known:
        raise InputError(_no_checkpoint(path))
    for name in settings:
        if kept.get(name) != settings[name]:
            raise InputError(
                f"{path} is of a training with another {name}: write to another place, "
                "or remove that file to begin again"
            )
    return dict(state)


def _no_checkpoint(path: Path) -> str:
    told = f"{path} is no checkpoint of a training, or is damaged: remove it to begin again"
    last = path.with_name(LAST)
    if last.is_file():
        told += f", or go on from its weights in another folder by --start {last} --out FOLDER"
    return told


def _unsealed(content: bytes) -> bytes:
    """Return what was saved; its hash goes before, because torch's archive does not check itself.

    Raises:
        ValueError: it has changed since it was saved.
    """
    if content.startswith(_EARLIER):
        return content
    seal, saved = content[:64], content[64:]
    if hashlib.sha256(saved).hexdigest().encode() != seal:
        raise ValueError("it has changed since it was saved")
    return saved
