"""What a browser would find on a page."""

from __future__ import annotations

import json
from html.parser import HTMLParser


class Page(HTMLParser):
    """Addresses, pictures, tables, text and figures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.rows: list[list[str]] = []
        self.words = ""
        self.scripts: list[str] = []
        self.styles = ""
        self._inside = ""
        self.feed(text)
        (found,) = [s for s in self.scripts if s.startswith("{")] or ["{}"]
        self.figures = json.loads(found)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = "heading" if tag == "button" and "data-whole" not in dict(attrs) else tag
        if tag == "tr":
            self.rows.append([])
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside == "style":
            self.styles += data
        else:
            self.words += data
        if self._inside in ("td", "heading"):
            self.rows[-1].append(data)
