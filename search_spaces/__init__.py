"""What can be built: architectures, blocks, search spaces and the published networks."""

from __future__ import annotations

import importlib
from typing import Any

# No name here may be a submodule's: importing that would replace the name by the module.
_HOMES = {
    "Architecture": "architecture",
    "Stage": "architecture",
    "Tail": "architecture",
    "InputError": "errors",
    "Model": "model",
    "Network": "network",
    "build": "network",
    "fuse": "network",
    "Space": "space",
    "load_model": "model",
    "load_space": "space",
    "published": "survey",
    "references": "comparators",
    "save_model": "model",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: importing the package loads no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'search_spaces' has no attribute '{name}'")
    module = importlib.import_module(f"search_spaces.{_HOMES[name]}")
    return getattr(module, name)
