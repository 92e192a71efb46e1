"""One self-contained HTML page: text, tables and Plotly figures, in light and in dark.

The page asks nothing of the network: its policy forbids it, and Plotly's program is inside, once.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

FRONT, OTHER, GREY, LIMIT = "#1f6feb", "#6f9fe8", "#8a929e", "#d1343f"
BAND = "rgba(31, 111, 235, 0.14)"
STUDIES = ("#1f6feb", "#d98324", "#1a9c74", "#b0559f", "#8a6d3b", "#4a9fc9")
"""Colours of studies beside each other."""

LOW_TO_HIGH = ((0.0, "#7256b8"), (0.5, "#c4517f"), (1.0, "#ef9a3a"))
"""A scale that is legible on white and on black."""

TICKS_MS = tuple(m * 10.0**e for e in range(-4, 5) for m in (1, 2, 5))
LABEL = 0.025
"""Decades of runtime that a label needs."""

LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}


def shade(share: float) -> str:
    """The colour at a place between 0 and 1 of `LOW_TO_HIGH`."""
    for (low, first), (high, second) in itertools.pairwise(LOW_TO_HIGH):
        if share <= high:
            part = (share - low) / (high - low)
            ends = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (first, second)]
            mixed = [round(a + (b - a) * part) for a, b in zip(*ends, strict=True)]
            return "#" + "".join(f"{value:02x}" for value in mixed)
    return LOW_TO_HIGH[-1][1]


def colours(count: int) -> list[str]:
    """Colours for that many studies beside each other."""
    return [STUDIES[index % len(STUDIES)] for index in range(count)]


_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; form-action 'none'; base-uri 'none'"
)
"""Nothing from elsewhere, nothing to elsewhere; Plotly compiles the shaders of some figures."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page.

    Attributes:
        name: Its anchor.
        title: Its heading, and its entry in the page's contents.
        body: HTML.
    """

    name: str
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its heading; a click on it sorts the table.
        form: How its numbers are written, such as ``+.3f``; empty for text.
    """

    title: str
    form: str = ""


def page(title: str, lead: str, sections: Sequence[Section], figures: Mapping[str, Figure]) -> str:
    """Return a whole page.

    Args:
        title: Of the page.
        lead: HTML below the title.
        sections: Its parts.
        figures: What stands at the places that `plot` made, by name.
    """
    contents = "".join(
        f'<a href="#{section.name}">{escape(section.title)}</a>' for section in sections
    )
    nav = f'<nav aria-label="Contents">{contents}</nav>' if len(sections) > 1 else ""
    parts = [
        f'<section id="{s.name}"><h2>{escape(s.title)}</h2>{s.body}</section>' for s in sections
    ]
    drawn = {name: _drawing(figure) for name, figure in figures.items()}
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>{_text('page.css')}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(title)}</h1>{lead}</header>\n{nav}\n<main>{''.join(parts)}</main>\n"
        f"{_scripts(drawn)}</body>\n</html>\n"
    )


def plot(name: str, told: str, height: int = 440) -> str:
    """Return a place for a figure.

    Args:
        name: Of the figure among the page's.
        told: What it shows, for who cannot see it.
        height: In CSS pixels.
    """
    return (
        f'<div class="plot" data-figure="{escape(name)}" role="img" aria-label="{escape(told)}" '
        f'style="height:{height}px"></div>'
    )


def whole(name: str, told: str) -> str:
    """Return a note on what a figure does not show at first, with a button that shows it.

    Args:
        name: Of the figure.
        told: What lies beyond its axes.
    """
    return (
        f'<p class="note">{escape(told)} <button type="button" class="whole" '
        f'data-whole="{escape(name)}">Show all</button></p>'
    )


def table(columns: Sequence[Column], rows: Sequence[Sequence[Any]], marked: int = -1) -> str:
    """Return a table that a click on a heading sorts.

    Args:
        columns: Headings and forms.
        rows: A value a column: a number or None where the column has a form, else text.
        marked: Index of a row to point out.
    """
    head = "".join(
        f'<th scope="col"{_kind(c)}><button type="button">{escape(c.title)}</button></th>'
        for c in columns
    )
    body = "".join(
        f"<tr{' class=marked' if index == marked else ''}>"
        + "".join(_cell(column, value) for column, value in zip(columns, row, strict=True))
        + "</tr>"
        for index, row in enumerate(rows)
    )
    return (
        '<div class="wide"><table class="sortable">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def facts(rows: Mapping[str, str]) -> str:
    """Return names and what they are, in two columns; the values are HTML."""
    return (
        '<dl class="facts">'
        + "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in rows.items())
        + "</dl>"
    )


def tiles(figures: Sequence[tuple[str, str, str]]) -> str:
    """Return the figures that matter most, large: value, what it is, and a word more."""
    return (
        '<div class="tiles">'
        + "".join(
            f"<div><strong>{escape(value)}</strong><span>{escape(name)}</span>"
            f"<small>{escape(more)}</small></div>"
            for value, name, more in figures
        )
        + "</div>"
    )


def paragraph(text: str, kind: str = "") -> str:
    """Return plain text as a paragraph; ``note`` is set apart."""
    return f"<p{f' class={kind}' if kind else ''}>{escape(text)}</p>"


def commands(lines: Sequence[tuple[str, str]]) -> str:
    """Return commands to copy, each below what it is for."""
    return "".join(
        f"<p>{escape(told)}</p><pre><code>{escape(line)}</code></pre>" for told, line in lines
    )


def _kind(column: Column) -> str:
    return " class=number" if column.form else ""


def _cell(column: Column, value: Any) -> str:
    if not column.form:
        return f"<td>{escape(str(value))}</td>"
    if value is None:
        return "<td class=number>-</td>"
    return f'<td class=number data-value="{float(value):.9g}">{format(value, column.form)}</td>'


def _drawing(figure: Figure) -> dict[str, Any]:
    """A figure for the page's script, which brings the theme."""
    drawn: dict[str, Any] = json.loads(figure.to_json())
    drawn["layout"].pop("template", None)
    return drawn


def _scripts(drawn: Mapping[str, Any]) -> str:
    if not drawn:
        return f"<script>{_text('page.js')}</script>\n"
    from plotly.offline import get_plotlyjs

    # Within a script, tags and comments have a meaning, also within its strings.
    content = json.dumps(drawn, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f"<script>{get_plotlyjs()}</script>\n"
        f'<script type="application/json" id="figures">{content}</script>\n'
        f"<script>{_text('page.js')}</script>\n"
    )


def _text(name: str) -> str:
    return files("studies.report").joinpath(name).read_text(encoding="utf-8")
