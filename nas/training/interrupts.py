"""Ctrl+C and termination, kept until a step is over: half a step is no state to go on from."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

_HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Interrupts:
    """Whether the person or the system wants the work to end."""

    wanted: bool = False


@contextmanager
def kept() -> Iterator[Interrupts]:
    """Note the first SIGINT, SIGTERM or SIGHUP instead of acting on it; the second ends at once.

    Whoever listened before hears of the first too, and only its `KeyboardInterrupt` is put off:
    the command line exits by the signal. Signals that are ignored (``nohup``) stay so. Does nothing
    outside the main thread, where Python handles no signals.
    """
    interrupts = Interrupts()

    def note(number: int, frame: FrameType | None) -> None:
        if interrupts.wanted:
            raise KeyboardInterrupt
        interrupts.wanted = True
        if callable(listeners[number]):
            with suppress(KeyboardInterrupt):
                listeners[number](number, frame)

    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    listeners: dict[int, Any] = {number: signal.getsignal(number) for number in _HEARD}
    heard = [number for number in _HEARD if listeners[number] not in (signal.SIG_IGN, None)]
    for number in heard:
        signal.signal(number, note)
    try:
        yield interrupts
    finally:
        for number in heard:
            signal.signal(number, listeners[number])
