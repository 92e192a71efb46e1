"""Where the workbench keeps what it can compute again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Return the cache folder: ``$NAS_CACHE``, else the user's cache folder of the system.

    Everything in it can be deleted at any time; it is made again when needed. The folder itself
    is made by whoever writes into it.
    """
    if chosen := os.environ.get("NAS_CACHE"):
        return Path(chosen).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "nas-workbench"
