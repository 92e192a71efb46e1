"""What a person sees: bars and tables on stderr or stdout; JSON documents for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from nas.common.text import Progress as Report

_STEERING = {code: f"\\x{code:02x}" for code in (*range(10), *range(11, 32), *range(127, 160))}
"""Control characters, which would move the cursor or worse, as Python writes them."""

out = Console(soft_wrap=False, highlight=False)
err = Console(stderr=True, highlight=False)


@contextmanager
def progress_bar(title: str) -> Iterator[Report]:
    """A bar on stderr, as a callback for the engine; nothing when stderr is no terminal."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(title, total=None, note="")

        def report(done: int, total: int, note: str) -> None:
            bar.update(task, completed=done, total=total, note=note.translate(_STEERING))

        yield report


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def say(text: str, *, mark: str = "", style: str = "") -> None:
    """A line for the person on stderr, so that stdout stays the result's.

    Args:
        text: the line, printed as it is, for names of files may hold what markup is made of; but
            nothing in it moves the cursor.
        mark: a word to stand before it in yellow.
        style: of the text, such as ``dim``.
    """
    line = Text(text.translate(_STEERING), style)
    err.print(Text.assemble((mark, "yellow"), " ", line) if mark else line, soft_wrap=True)


def say_undelivered(fault: str) -> None:
    """Tell what keeps MLflow from having everything, and what brings it the rest."""
    say(f"not all of it is in MLflow: {fault}; run again to deliver.", style="yellow")


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None
) -> RenderableType:
    """A compact table below its title; columns of numbers are right-aligned."""
    drawn = _Fitted(columns, rows)
    return drawn if title is None else Group(Text(title, style="italic"), drawn)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A table whose headings take a line a word where it would be wider than the terminal."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = self._drawn(self.columns)
        needed = console.measure(whole, options=options.update(max_width=_ANY_WIDTH)).maximum
        fits = needed <= options.max_width
        yield whole if fits else self._drawn([name.replace(" ", "\n") for name in self.columns])

    def _drawn(self, columns: Sequence[str]) -> Table:
        drawn = Table(box=None, pad_edge=False, header_style="bold")
        for index, column in enumerate(columns):
            numeric = all(_numeric(row[index]) for row in self.rows) if self.rows else False
            drawn.add_column(column, justify="right" if numeric else "left", no_wrap=numeric)
        for row in self.rows:
            drawn.add_row(*(Text(cell.translate(_STEERING)) for cell in row))
        return drawn


_ANY_WIDTH = 10_000


def show(drawn: RenderableType) -> None:
    """A table or text on stdout. Piped output is not cut to a terminal's width."""
    if out.is_terminal:
        out.print(drawn)
    else:
        Console(width=200, highlight=False).print(drawn)


def count(number: float) -> str:
    """12_345 -> '12.3 k', 5.0e9 -> '5.00 G'."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:g}"


def _numeric(cell: str) -> bool:
    return not cell or cell == "-" or cell.lstrip("+-~").replace(",", "")[:1].isdigit()
