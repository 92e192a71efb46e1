"""Blocks and spaces from outside: a Python file, or a package found by its entry point.

A plugin registers what it brings in one call each and edits nothing here::

    from search_spaces.blocks import LinearBlock, blocks
    from search_spaces.space import Space, spaces

    blocks.add("mine", MyBlock)
    spaces.add("mine", Space.from_dict({"dimensions": {"block": ["mine", "ecb"]}}, "mine"))

A package names its module (or a function to call) under the entry point group ``nas.plugins``.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path

from nas.common.errors import InputError, one_line

GROUP = "nas.plugins"

_loaded: dict[str, None] = {}


def load(path: str | Path) -> None:
    """Run a Python file, once in a process, so that what it registers can be used by name.

    Raises:
        InputError: there is no such file, or it fails.
    """
    file = Path(path).resolve()
    if str(file) in _loaded:
        return
    if not file.is_file() or file.suffix != ".py":
        raise InputError(f"plugin {path}: there is no such Python file; give the path of a .py")
    name = f"nas_plugin_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _failed(str(path), error) from error
    _loaded[str(file)] = None


def load_all(paths: Iterable[str | Path] = ()) -> None:
    """Load every installed plugin package, then the given files; a worker repeats this call.

    Raises:
        InputError: a plugin fails.
    """
    for entry in entry_points(group=GROUP):
        if f"{GROUP}:{entry.name}" in _loaded:
            continue
        try:
            plugin = entry.load()
            if callable(plugin):
                plugin()
        except (Exception, SystemExit) as error:
            raise _failed(f"{entry.name} ({entry.value})", error) from error
        _loaded[f"{GROUP}:{entry.name}"] = None
    for path in paths:
        load(path)


def loaded_files() -> tuple[str, ...]:
    """Absolute paths of the plugin files loaded so far, to be loaded by workers as well."""
    return tuple(name for name in _loaded if not name.startswith(f"{GROUP}:"))


def _failed(plugin: str, error: BaseException) -> InputError:
    detail = f"{type(error).__name__}: {one_line(error)}"
    return InputError(f"plugin {plugin} cannot be loaded: {detail}")
