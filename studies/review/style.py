"""How the interactive figures look, on light pages and on dark ones."""

from __future__ import annotations

import itertools

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
