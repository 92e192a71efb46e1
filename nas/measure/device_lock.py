"""Who may use a device when: many who train, or one who measures.

Training takes a device shared, a chunk of steps at a time; measuring takes it alone. Locks on files
in the machine's temporary folder hold across processes and vanish with them, also when they are
killed. A turnstile in front makes newcomers wait behind a measurement that waits, so that trials
that hand the device to each other cannot starve it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch

from nas.common.errors import InputError
from nas.common.locks import lock_file


def device_name(device: str | torch.device) -> str:
    """Return a name for the physical device, equal in all processes that see it."""
    device = torch.device(device)
    if device.type != "cuda":
        return device.type
    properties = torch.cuda.get_device_properties(device)
    return f"cuda-{getattr(properties, 'uuid', device.index or 0)}"


@contextmanager
def exclusive(device: str | torch.device) -> Iterator[None]:
    """Hold a device alone; waits until everyone who has it lets go."""
    name = device_name(device)
    with _locked(f"{name}-turnstile", alone=True), _locked(name, alone=True):
        yield


@contextmanager
def shared(device: str | torch.device) -> Iterator[None]:
    """Hold a device together with others; waits while someone measures or waits to measure.

    Hold it for a second or so at a time: whoever measures waits for the longest holder.
    """
    name = device_name(device)
    with ExitStack() as stack:
        with _locked(f"{name}-turnstile", alone=True):
            stack.enter_context(_locked(name, alone=False))
        yield


class Turns:
    """Holds a device shared for a long piece of work, and lets whoever measures have a turn.

    Use it as a context manager, and call ``next`` at every step of the work.
    """

    def __init__(self, device: str | torch.device) -> None:
        self._device = torch.device(device)
        self._held = ExitStack()
        self._since = 0.0

    def __enter__(self) -> Turns:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def next(self) -> None:
        """Hold the device, anew when it has been held for a second."""
        if time.monotonic() - self._since < _TURN_S:
            return
        self.release()
        self._held.enter_context(shared(self._device))
        self._since = time.monotonic()

    def release(self) -> None:
        """Let go of the device until ``next`` is called."""
        if self._device.type == "cuda" and self._since:
            torch.cuda.synchronize(self._device)  # what is queued runs on
        self._held.close()
        self._since = 0.0


_TURN_S = 1.0


@contextmanager
def _locked(name: str, *, alone: bool) -> Iterator[None]:
    handle = _open(Path(tempfile.gettempdir()) / f"nas-workbench-{name}.lock")
    try:
        lock_file(handle, shared=not alone)
        yield
    finally:
        os.close(handle)  # and with it the lock


def _open(path: Path) -> int:
    """Open a lock file that another user may have made (Linux forbids O_CREAT on it then).

    Never through a link: everybody may lay one in the temporary folder, to a file of the user's.
    """
    try:
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as fault:
        raise InputError(
            f"the lock {path} cannot be opened ({fault.strerror}): remove it, or set TMPDIR to a "
            "folder that all who use the device share"
        ) from fault
    with suppress(OSError):
        os.fchmod(handle, 0o666)  # whatever the umask says
    return handle
