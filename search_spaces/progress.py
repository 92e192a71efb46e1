"""How long work reports its progress: one callback, drawn by whoever wants to draw it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called as ``progress(done, total, note)``; ``note`` is a few words, such as the best result."""


def silent(done: int, total: int, note: str) -> None:
    """Report nothing."""
