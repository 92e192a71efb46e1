"""Bringing results to MLflow beside the search, so that a slow or absent server never delays it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from studies.record import Record
from studies.settings import StudyInfo

_CLOSE_S = 120.0  # a server that hangs keeps the user waiting no longer at the end


class Courier:
    """Delivers the newest records from a thread of its own; it alone touches MLflow.

    Args:
        uri: MLflow tracking URI.
        info: The study.
        folder: The study's folder.
    """

    def __init__(self, uri: str, info: StudyInfo, folder: Path) -> None:
        self._uri, self._info, self._folder = uri, info, folder
        self._news = threading.Condition()
        self._records: Sequence[Record] | None = None
        self._closing = False
        self._busy = True
        self.fault: str | None = None
        # A daemon, because a hanging connection must not keep the process alive.
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def bring(self, records: Sequence[Record]) -> None:
        """Have these records delivered soon; what they replace was not newer."""
        with self._news:
            self._records = records
            self._news.notify()

    def close(self, records: Sequence[Record]) -> str | None:
        """Deliver all that is left, figures and note included.

        Returns:
            None when everything arrived, otherwise one sentence on what is in the way. Nothing is
            lost then: the next run of the study delivers it.
        """
        with self._news:
            self._records = records
            self._closing = True
            self._news.notify()
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            return f"it has not answered for {_CLOSE_S:.0f} s"
        return self.fault

    def _work(self) -> None:
        try:
            from studies.tracking import Tracking

            tracking = Tracking(self._uri, self._info, self._folder)
            while True:
                with self._news:
                    self._news.wait_for(lambda: self._records is not None)
                    records, self._records = self._records, None
                    closing = self._closing
                assert records is not None
                self.fault = tracking.deliver(records, final=closing).fault
                if closing:
                    return
        except Exception as error:  # whatever it is, the search goes on without a view
            self.fault = (str(error).strip() or type(error).__name__).splitlines()[0]
