"""Words from outside in Markdown: they are shown as they are, and mark nothing up."""

from __future__ import annotations

import re
from html import escape

_MARKS = re.compile(r"[\\`*_\[\]|~]")


def plain(text: str) -> str:
    """Return words for a sentence or for a cell of a table, on one line."""
    return _MARKS.sub(r"\\\g<0>", escape(_on_one_line(text), quote=False))


def code(text: str) -> str:
    """Return words as code, on one line; readers differ on backticks within, so they go."""
    return "`" + (_on_one_line(text).replace("`", "'") or "unnamed") + "`"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
