"""Bringing results to MLflow beside the work, so that a slow or absent server never delays it."""

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

    from studies.tracking.store import Delivery

_CLOSE_S = 120.0  # a server that hangs keeps the user waiting no longer at the end

News = TypeVar("News", contravariant=True)


class Deliver(Protocol[News]):
    """Delivers the newest state; with ``final`` everything that is left."""

    def __call__(self, news: News, /, *, final: bool = False) -> Delivery:
        """Never raises for a fault of the store: the fault comes back in one sentence."""
        ...


class Courier(Generic[News]):
    """Delivers the newest news from a thread of its own; it alone touches MLflow.

    Args:
        connect: Called in that thread; returns what delivers.
    """

    def __init__(self, connect: Callable[[], Deliver[News]]) -> None:
        self._connect = connect
        self._wake = threading.Condition()
        self._news: list[News] = []  # the newest, or nothing
        self._closing = False
        self.fault: str | None = None
        # A daemon, because a hanging connection must not keep the process alive.
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def bring(self, news: News) -> None:
        """Have this delivered soon; what it replaces was not newer."""
        with self._wake:
            self._news = [news]
            self._wake.notify()

    def close(self, news: News) -> str | None:
        """Deliver all that is left.

        Returns:
            None when everything arrived, otherwise one sentence on what is in the way. Nothing is
            lost then: the next run delivers it.
        """
        with self._wake:
            self._news = [news]
            self._closing = True
            self._wake.notify()
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            return f"it has not answered for {_CLOSE_S:.0f} s"
        return self.fault

    def _work(self) -> None:
        try:
            deliver: Deliver[News] | None = None
            while True:
                with self._wake:
                    self._wake.wait_for(lambda: self._news)
                    (news,), self._news = self._news, []
                    closing = self._closing
                # Not before: importing MLflow would take seconds from the first candidate's start.
                deliver = deliver or self._connect()
                self.fault = deliver(news, final=closing).fault
                if closing:
                    return
        except Exception as error:  # whatever it is, the work goes on without a view
            self.fault = first_line(error)


def study_courier(
    uri: str, info: StudyInfo, folder: Path, alone: Callable[[], AbstractContextManager[None]]
) -> Courier[Sequence[Record]]:
    """Return a courier for a study's records.

    Args:
        uri: MLflow tracking URI.
        info: The study.
        folder: The study's folder.
        alone: Held while something is delivered: others may search the same study.
    """

    def connect() -> Deliver[Sequence[Record]]:
        from studies.tracking import StudyTracking

        return StudyTracking(uri, info, folder, alone).deliver

    return Courier(connect)
