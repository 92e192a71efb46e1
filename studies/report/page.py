"""Self-contained HTML page: text, tables and Plotly figures, in a light and a dark theme.

The page loads nothing from the network: its policy forbids it, and it embeds Plotly.
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
"""Colours of the studies in a comparison."""

LOW_TO_HIGH = ((0.0, "#7256b8"), (0.5, "#c4517f"), (1.0, "#ef9a3a"))
"""Colour scale that is legible on white and on black."""

TICKS_MS = tuple(m * 10.0**e for e in range(-4, 5) for m in (1, 2, 5))
LABEL = 0.025
"""Decades of runtime that a label needs."""

LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}


def shade(share: float) -> str:
    """Return the colour at a position between 0 and 1 of `LOW_TO_HIGH`."""
    for (low, first), (high, second) in itertools.pairwise(LOW_TO_HIGH):
        if share <= high:
            part = (share - low) / (high - low)
            ends = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (first, second)]
            mixed = [round(a + (b - a) * part) for a, b in zip(*ends, strict=True)]
            return "#" + "".join(f"{value:02x}" for value in mixed)
    return LOW_TO_HIGH[-1][1]


def colours(count: int) -> list[str]:
    """Return colours for a number of studies."""
    return [STUDIES[index % len(STUDIES)] for index in range(count)]


_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; form-action 'none'; base-uri 'none'"
)
"""No connection to other hosts; Plotly compiles the shaders of some figures."""


@dataclass(frozen=True, slots=True)
class Section:
    """Section of a page: anchor, heading, and body in HTML."""

    name: str
    title: str
    body: str


def page(title: str, lead: str, sections: Sequence[Section], figures: Mapping[str, Figure]) -> str:
    """Return a page.

    Args:
        title: Heading of the page.
        lead: HTML below the heading.
        sections: Its sections.
        figures: Figures by the names that `plot` was given.
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


def plot(name: str, label: str, height: int = 440) -> str:
    """Return the element of a figure.

    Args:
        name: Name of the figure among those of the page.
        label: Description for screen readers.
        height: In CSS pixels.
    """
    return (
        f'<div class="plot" data-figure="{escape(name)}" role="img" aria-label="{escape(label)}" '
        f'style="height:{height}px"></div>'
    )


def show_all_note(name: str, text: str) -> str:
    """Return a note on what lies beyond the axes of a figure, with a button that shows it."""
    return (
        f'<p class="note">{escape(text)} <button type="button" class="whole" '
        f'data-whole="{escape(name)}">Show all</button></p>'
    )


def definition_list(rows: Mapping[str, str]) -> str:
    """Return terms and their values, which are HTML, in two columns."""
    return (
        '<dl class="facts">'
        + "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in rows.items())
        + "</dl>"
    )


def stat_tiles(figures: Sequence[tuple[str, str, str]]) -> str:
    """Return key figures in large type: value, name, and detail of each."""
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
    """Return plain text as a paragraph; kind ``note`` is in small type."""
    return f"<p{f' class={kind}' if kind else ''}>{escape(text)}</p>"


def commands(lines: Sequence[tuple[str, str]]) -> str:
    """Return commands to copy, each below its purpose."""
    return "".join(
        f"<p>{escape(text)}</p><pre><code>{escape(line)}</code></pre>" for text, line in lines
    )


def _drawing(figure: Figure) -> dict[str, Any]:
    """Return a figure for the script of the page, which adds the theme."""
    drawn: dict[str, Any] = json.loads(figure.to_json())
    drawn["layout"].pop("template", None)
    return drawn


def _scripts(drawn: Mapping[str, Any]) -> str:
    if not drawn:
        return f"<script>{_text('page.js')}</script>\n"
    from plotly.offline import get_plotlyjs

    # HTML tags and comments have a meaning even in strings of a script.
    content = json.dumps(drawn, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f"<script>{get_plotlyjs()}</script>\n"
        f'<script type="application/json" id="figures">{content}</script>\n'
        f"<script>{_text('page.js')}</script>\n"
    )


def _text(name: str) -> str:
    return files("studies.report").joinpath(name).read_text(encoding="utf-8")
