"""Background thread that writes to MLflow, so that a slow server does not delay the work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from nas.common.errors import first_line
from studies.core.info import StudyInfo
from studies.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studies.tracking.store import SyncResult

_CLOSE_S = 120.0  # how long the end of the work waits for a server

State = TypeVar("State", contravariant=True)


class Sync(Protocol[State]):
    """Writes a state to MLflow; with ``final`` completely."""

    def __call__(self, state: State, /, *, final: bool = False) -> SyncResult:
        """Never raises for a fault of the store but returns it."""
        ...


class BackgroundWriter(Generic[State]):
    """Writes the latest state to MLflow in a thread; nothing else calls MLflow.

    Args:
        connect: Called in the thread; returns the function that writes.
    """

    def __init__(self, connect: Callable[[], Sync[State]]) -> None:
        self._connect = connect
        self._changed = threading.Condition()
        self._state: list[State] = []  # the latest one, or empty
        self._closing = False
        self.fault: str | None = None
        # A daemon, because a connection that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def update(self, state: State) -> None:
        """Write a state soon; it replaces one that is not written yet."""
        with self._changed:
            self._state = [state]
            self._changed.notify()

    def close(self, state: State) -> str | None:
        """Write the final state.

        Returns:
            None when all is written, else one sentence on the fault. The next run writes the rest.
        """
        with self._changed:
            self._state = [state]
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            return f"it has not answered for {_CLOSE_S:.0f} s"
        return self.fault

    def _work(self) -> None:
        try:
            sync: Sync[State] | None = None
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._state)
                    (state,), self._state = self._state, []
                    closing = self._closing
                # Not before: importing MLflow would delay the first candidate by seconds.
                sync = sync or self._connect()
                self.fault = sync(state, final=closing).fault
                if closing:
                    return
        except Exception as error:  # the work continues without MLflow
            self.fault = first_line(error)


def study_writer(
    uri: str, info: StudyInfo, folder: Path, alone: Callable[[], AbstractContextManager[None]]
) -> BackgroundWriter[Sequence[Record]]:
    """Return a writer of a study's records; see `studies.tracking.study.StudyTracking`."""

    def connect() -> Sync[Sequence[Record]]:
        from studies.tracking.study import StudyTracking

        return StudyTracking(uri, info, folder, alone).sync

    return BackgroundWriter(connect)
