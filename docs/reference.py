"""Make the API reference from docstrings: ``python docs/reference.py site/api``."""

from __future__ import annotations

import argparse
from pathlib import Path
from pkgutil import walk_packages

import pdoc
import pdoc.render

import nas
import search_spaces
import studies
import teachers


def modules() -> list[str]:
    """All modules of the workbench; pdoc itself passes over what ``__all__`` leaves out."""
    packages = (search_spaces, teachers, nas, studies)
    below = [
        found.name
        for package in packages
        for found in walk_packages(package.__path__, f"{package.__name__}.")
        if not found.name.rpartition(".")[2].startswith("_")
    ]
    return [package.__name__ for package in packages] + below


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="folder of the pages")
    parser.add_argument("modules", nargs="*", help="default all")
    given = parser.parse_args()
    pdoc.render.configure(docformat="google", show_source=False)
    pdoc.pdoc(*(given.modules or modules()), output_directory=given.output)
    print(given.output / "index.html")


if __name__ == "__main__":
    main()
