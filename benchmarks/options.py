"""Command-line options and JSON output that several benchmarks share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.common.files import write_atomic


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help is the docstring of a module, unwrapped."""
    return argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_networks(parser: argparse.ArgumentParser, default: Iterable[str]) -> None:
    """Add ``--networks``, a list of names."""
    listed = ",".join(default)
    parser.add_argument(
        "--networks", type=names, default=listed, metavar="A,B", help=f"of the survey's ({listed})"
    )


def add_size(parser: argparse.ArgumentParser) -> None:
    """Add ``--size``, a height and a width."""
    parser.add_argument(
        "--size", type=size, default="540x960", metavar="HxW", help="LR height x width (540x960)"
    )


def add_json(parser: argparse.ArgumentParser, what: str = "the rows") -> None:
    """Add ``--json``, the file that `write_json` writes."""
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"where to write {what}")


def names(text: str) -> list[str]:
    """Parse ``RepTCN,RVSR``."""
    return text.split(",")


def numbers(text: str) -> list[int]:
    """Parse ``1,2,4``."""
    return [int(number) for number in text.split(",")]


def size(text: str) -> tuple[int, int]:
    """Parse ``540x960`` to height and width."""
    height, width = (int(side) for side in text.split("x"))
    return height, width


@contextmanager
def alone(what: str, failed: list[str]) -> Iterator[None]:
    """Catch and print the error of a measurement, and add the measurement to ``failed``."""
    try:
        yield
    except Exception as fault:
        failed.append(what)
        message = (str(fault).strip() or "no message").splitlines()[0]
        print(f"{what} failed, {type(fault).__name__}: {message[:300]}", flush=True)


def write_json(file: Path | None, content: Any) -> None:
    """Write JSON to a file, if one is given."""
    if file is not None:
        write_atomic(file, (json.dumps(content, indent=1) + "\n").encode())
