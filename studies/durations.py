"""How long things take, for people."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a time as ``42 s``, ``7.1 min`` or ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
