"""Where the workbench keeps what it can compute again."""

from __future__ import annotations

import os
from pathlib import Path

from search_spaces.errors import InputError, reason


def cache_root() -> Path:
    """Return the cache folder: ``$NAS_CACHE``, else the user's cache folder of the system.

    Everything in it can be deleted at any time; it is made again when needed. The folder itself
    is made by whoever writes into it.
    """
    if chosen := os.environ.get("NAS_CACHE"):
        return Path(chosen).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "nas-workbench"


def unwritable(fault: OSError, machine: str = "") -> InputError:
    """What to raise where the cache cannot be written, on this machine or on one that is named."""
    where = f"{cache_root()} of {machine}" if machine else cache_root()
    return InputError(
        f"the cache {where} cannot be written ({reason(fault)}): "
        "make room there, or set NAS_CACHE to another folder"
    )
