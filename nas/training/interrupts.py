"""Ctrl+C and termination, kept until a step is over: half a step is no state to go on from."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interrupts:
    """Whether the person or the system wants the work to end."""

    wanted: bool = False


@contextmanager
def kept() -> Iterator[Interrupts]:
    """Note the first SIGINT or SIGTERM instead of acting on it; the second ends at once.

    Does nothing outside the main thread, where Python handles no signals.
    """
    interrupts = Interrupts()

    def note(number: int, frame: FrameType | None) -> None:
        if interrupts.wanted:
            raise KeyboardInterrupt
        interrupts.wanted = True

    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
