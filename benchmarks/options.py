"""What several benchmarks ask for on their command lines, and how they write what they found."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.common.files import write_atomic


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help is a module's docstring, with its lines as they are."""
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
    """``RepTCN,RVSR`` as a list."""
    return text.split(",")


def numbers(text: str) -> list[int]:
    """``1,2,4`` as a list."""
    return [int(number) for number in text.split(",")]


def size(text: str) -> tuple[int, int]:
    """``540x960`` as height and width."""
    height, width = (int(side) for side in text.split("x"))
    return height, width


@contextmanager
def alone(what: str, failed: list[str]) -> Iterator[None]:
    """Let one measurement fail alone: tell why, add it to ``failed``, and go on with the next."""
    try:
        yield
    except Exception as fault:
        failed.append(what)
        told = (str(fault).strip() or "no message").splitlines()[0]
        print(f"{what} failed, {type(fault).__name__}: {told[:300]}", flush=True)


def write_json(file: Path | None, content: Any) -> None:
    """Write what was found so far for other programs; nothing where no file was asked for."""
    if file is not None:
        write_atomic(file, (json.dumps(content, indent=1) + "\n").encode())
