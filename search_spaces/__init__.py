"""What can be built: architectures, blocks, search spaces and the published networks."""

from __future__ import annotations

import importlib
from typing import Any

# No name here may be a submodule's: importing that would replace the name by the module.
_MODULES = {
    "Architecture": "search_spaces.architecture",
    "Stage": "search_spaces.architecture",
    "Tail": "search_spaces.architecture",
    "InputError": "nas.common.errors",
    "Model": "search_spaces.model_file",
    "Network": "search_spaces.networks.network",
    "build": "search_spaces.networks.factory",
    "fuse": "search_spaces.networks.factory",
    "Space": "search_spaces.space",
    "load_model": "search_spaces.model_file",
    "load_space": "search_spaces.space",
    "published": "search_spaces.zoo.survey",
    "references": "search_spaces.zoo.references",
    "save_model": "search_spaces.model_file",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: importing the package loads no torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'search_spaces' has no attribute '{name}'")
    return getattr(importlib.import_module(_MODULES[name]), name)
