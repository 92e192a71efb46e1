"""Make the API reference from docstrings: ``python docs/reference.py site/api``."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages

import pdoc
import pdoc.render

import nas
import search_spaces
import studies
import teachers

NEEDS = {"nas.deploy.kernels": "triton"}
"""Modules that want a package which not every machine has; without it they have no page."""


def modules() -> list[str]:
    """All modules that can be imported; pdoc itself passes over what ``__all__`` leaves out."""
    packages = (search_spaces, teachers, nas, studies)
    below = [
        found.name
        for package in packages
        for found in walk_packages(package.__path__, f"{package.__name__}.")
        if not found.name.rpartition(".")[2].startswith("_")
    ]
    return [name for name in [p.__name__ for p in packages] + below if name not in absent()]


def absent() -> list[str]:
    """The modules that cannot be imported here."""
    return [module for module, package in NEEDS.items() if find_spec(package) is None]


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="folder of the pages")
    parser.add_argument("modules", nargs="*", help="default all")
    given = parser.parse_args()
    pdoc.render.configure(docformat="google", show_source=False)
    left_out = [f"!{module}" for module in absent()]  # pdoc finds them itself below a package
    pdoc.pdoc(*(given.modules or modules()), *left_out, output_directory=given.output)
    print(given.output / "index.html")


if __name__ == "__main__":
    main()
