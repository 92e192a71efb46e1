"""Training checkpoint: one atomic file, bound to the settings of its training."""

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
_EARLIER = b"PK"  # start of checkpoints of earlier versions, which have no checksum


def save_checkpoint(path: Path, settings: Mapping[str, str], state: Mapping[str, Any]) -> None:
    """Replace the checkpoint at ``path``.

    Args:
        path: the file.
        settings: what the training depends on, by name.
        state: tensors, numbers, strings, and containers of them.

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
    """Return the saved state, or None if there is no file. Nothing in the file is executed.

    Raises:
        InputError: it is not a checkpoint, or of a training with other settings.
    """
    if not path.exists():
        return None
    try:
        saved = _checked(path.read_bytes())
        content: Any = torch.load(io.BytesIO(saved), map_location="cpu", weights_only=True)
        stored, state = content["settings"], content["state"]
        known = content["format"] == FORMAT and isinstance(stored, dict) and isinstance(state, dict)
    except OSError as fault:
        raise InputError(f"{path} cannot be read: {fault.strerror}") from fault
    except Exception as fault:  # unpicklers raise anything on damaged bytes
        raise InputError(_no_checkpoint(path)) from fault
    if not known:
        raise InputError(_no_checkpoint(path))
    for name in settings:
        if stored.get(name) != settings[name]:
            raise InputError(
                f"{path} is of a training with another {name}: write to another folder, "
                "or remove that file to start over"
            )
    return dict(state)


def _no_checkpoint(path: Path) -> str:
    message = f"{path} is no checkpoint of a training, or is damaged: remove it to start over"
    last = path.with_name(LAST)
    if last.is_file():
        message += f", or train from its weights in another folder by --start {last} --out FOLDER"
    return message


def _checked(content: bytes) -> bytes:
    """Return what follows the checksum; torch's archive has none.

    Raises:
        ValueError: the checksum does not match.
    """
    if content.startswith(_EARLIER):
        return content
    checksum, saved = content[:64], content[64:]
    if hashlib.sha256(saved).hexdigest().encode() != checksum:
        raise ValueError("it has changed since it was saved")
    return saved
