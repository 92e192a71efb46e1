"""Output of commands: progress bars, tables, notes on stderr, and JSON documents."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from nas.common.tables import Table
from nas.common.text import Progress as Report
from nas.common.text import printable

out = Console(soft_wrap=False, highlight=False)
err = Console(stderr=True, highlight=False)


@contextmanager
def progress_bar(title: str) -> Iterator[Report]:
    """Show a bar on stderr and yield its callback; nothing is shown without a terminal."""
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
            bar.update(task, completed=done, total=total, note=printable(note))

        yield report


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def say(text: str, *, mark: str = "", style: str = "") -> None:
    """Print a line on stderr, so that stdout holds nothing but the result.

    Args:
        text: Printed as it is: names of files may hold what markup is made of.
        mark: A word in yellow before the line.
        style: Style of the line, such as ``dim``.
    """
    line = Text(printable(text), style)
    err.print(Text.assemble((mark, "yellow"), " ", line) if mark else line, soft_wrap=True)


def say_not_tracked(fault: str) -> None:
    """Say why MLflow lacks some results, and how it gets them."""
    say(f"MLflow lacks some results: {fault}; run the command again to send them.", style="yellow")


def drawn(table: Table, width: int | None, title: str = "") -> Text:
    """Render a table below its title; in ``width`` cells if its names allow that."""
    head, body = table.text(width)
    parts = [("\n".join(head), "bold"), *(("\n" + line, "") for line in body)]
    if title:
        # A name within the title stays whole.
        lines = textwrap.wrap(
            printable(title), width or sys.maxsize, break_long_words=False, break_on_hyphens=False
        )
        parts.insert(0, ("\n".join(lines) + "\n", "italic"))
    return Text.assemble(*parts, no_wrap=True, overflow="ignore")


def show(table: Table, title: str = "") -> None:
    """Print a table on stdout: all columns into a pipe, those that fit on a terminal."""
    out.print(drawn(table, out.width if out.is_terminal else None, title), soft_wrap=True)


def count(number: float) -> str:
    """12_345 -> '12.3 k', 5.0e9 -> '5.00 G'."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:g}"
