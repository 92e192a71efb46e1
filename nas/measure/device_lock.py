"""Locks of a device across processes: shared by trainings, exclusive for measurements.

They are locks on files in the temporary folder, which the system releases when a process ends or
is killed. A turnstile in front makes new trainings wait behind a waiting measurement, so that
trainings that take turns cannot starve it.
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
from nas.common.files import lock_file


def device_name(device: str | torch.device) -> str:
    """Return a name of the physical device, equal in all processes."""
    device = torch.device(device)
    if device.type != "cuda":
        return device.type
    properties = torch.cuda.get_device_properties(device)
    return f"cuda-{getattr(properties, 'uuid', device.index or 0)}"


@contextmanager
def exclusive(device: str | torch.device) -> Iterator[None]:
    """Hold a device alone; waits for all who hold it."""
    name = device_name(device)
    with _locked(f"{name}-turnstile", alone=True), _locked(name, alone=True):
        yield


@contextmanager
def shared(device: str | torch.device) -> Iterator[None]:
    """Hold a device together with others; waits for running and waiting measurements.

    Hold it for about a second at a time, because a measurement waits for the longest holder.
    """
    name = device_name(device)
    with ExitStack() as stack:
        with _locked(f"{name}-turnstile", alone=True):
            stack.enter_context(_locked(name, alone=False))
        yield


class DeviceLock:
    """Holds a device shared during long work, and lets measurements run in between.

    Use it as a context manager, and call ``yield_device`` at every step of the work.
    """

    def __init__(self, device: str | torch.device) -> None:
        self._device = torch.device(device)
        self._held = ExitStack()
        self._since = 0.0

    def __enter__(self) -> DeviceLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def yield_device(self) -> None:
        """Hold the device; after a second, release it and take it again."""
        if time.monotonic() - self._since < _TURN_S:
            return
        self.release()
        self._held.enter_context(shared(self._device))
        self._since = time.monotonic()

    def release(self) -> None:
        """Release the device until the next ``yield_device``."""
        if self._device.type == "cuda" and self._since:
            torch.cuda.synchronize(self._device)  # queued work still runs
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
    """Open a lock file that another user may own (Linux then forbids O_CREAT on it).

    Links are not followed: any user can put one into the temporary folder.
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
