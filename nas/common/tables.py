"""Tables: columns defined once, rendered as text, Markdown, HTML, or column-wise JSON."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from nas.common.text import plain, printable

_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """Column of a table.

    Attributes:
        key: Key of its values in the rows.
        title: Heading.
        format: Format of its numbers, such as ``+.3f``; empty for a column of text.
        optional: A terminal that is too narrow drops the column with the highest value first; 0 is
            never dropped.
    """

    key: str
    title: str
    format: str = ""
    optional: int = 0

    def cell(self, value: Any) -> str:
        """Format a value: text stays as it is, None is a dash."""
        if value is None:
            return "-"
        return value if isinstance(value, str) else format(value, self.format)


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows. Columns without any value are left out."""

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]

    @property
    def shown(self) -> list[Column]:
        """Columns that have a value in some row; all of them in a table without rows."""
        return [
            column
            for column in self.columns
            if not self.rows or any(row.get(column.key) is not None for row in self.rows)
        ]

    def text(self, width: int | None = None) -> tuple[list[str], list[str]]:
        """Lay the table out as lines of the heading and lines of the body.

        To fit into ``width`` terminal cells, headings take a line a word, then optional columns are
        dropped. Cells are never cut: if all of this does not suffice, lines are longer than that.
        """
        columns = self.shown
        dropped = sorted(columns, key=lambda column: column.optional)
        while True:
            for split in (False, True):
                head, body = _lines(columns, self.rows, split)
                if width is None or max(map(_cells, (*head, *body)), default=0) <= width:
                    return head, body
            last = dropped.pop()
            if not last.optional:
                return head, body
            columns = [column for column in columns if column is not last]

    def markdown(self) -> str:
        """Render as Markdown; text from outside marks nothing up."""
        columns = self.shown
        lines = [
            [column.title for column in columns],
            ["---:" if column.format else "---" for column in columns],
            *([plain(c.cell(row.get(c.key))) for c in columns] for row in self.rows),
        ]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def html(self, marked: int = -1) -> str:
        """Render as HTML that a click on a heading sorts; ``marked`` is a row to highlight."""
        columns = self.shown
        head = "".join(
            f'<th scope="col"{" class=number" if column.format else ""}>'
            f'<button type="button">{escape(column.title)}</button></th>'
            for column in columns
        )
        body = "".join(
            f"<tr{' class=marked' if index == marked else ''}>"
            + "".join(_html_cell(column, row.get(column.key)) for column in columns)
            + "</tr>"
            for index, row in enumerate(self.rows)
        )
        return (
            '<div class="wide"><table class="sortable">'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )


def by_column(keys: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return unformatted values in the form that MLflow shows as a table."""
    return {"columns": list(keys), "data": [[row[key] for key in keys] for row in rows]}


def _lines(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], split: bool
) -> tuple[list[str], list[str]]:
    titles = [printable(column.title) for column in columns]
    heads = [title.split() if split else [title] for title in titles]
    height = max(map(len, heads), default=0)
    heads = [[""] * (height - len(head)) + head for head in heads]
    bodies = [[printable(c.cell(row.get(c.key))) for row in rows] for c in columns]
    drawn = []
    for column, head, body in zip(columns, heads, bodies, strict=True):
        width = max(map(_cells, (*head, *body)), default=0)
        pads = [(cell, " " * (width - _cells(cell))) for cell in (*head, *body)]
        drawn.append([pad + cell if column.format else cell + pad for cell, pad in pads])
    lines = [_GAP.join(line).rstrip() for line in zip(*drawn, strict=True)]
    return lines[:height], lines[height:]


def _cells(text: str) -> int:
    """Width of a text in a terminal."""
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    )


def _html_cell(column: Column, value: Any) -> str:
    if not column.format:
        return f"<td>{escape(column.cell(value))}</td>"
    number = isinstance(value, int | float)
    data = f' data-value="{float(value):.9g}"' if number else ""
    return f"<td class=number{data}>{escape(column.cell(value))}</td>"
