"""A full training with MLflow beside it, whose faults do not stop the training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from nas.training.engine.events import Event, Validated
from studies.report.images import write_preview
from studies.results.promotions import SAMPLES
from studies.tracking.writer import BackgroundWriter


def tracked(
    events: Iterable[Event],
    folder: Path,
    name: str,
    uri: str,
    on_fault: Callable[[str], None],
) -> Iterator[Event]:
    """Yield the events of a training, write previews, and write its folder to MLflow.

    The next call, even after the end of the training, writes what a store missed.

    Args:
        events: Events of the training.
        folder: Folder of the training.
        name: Name of its run.
        uri: MLflow tracking URI.
        on_fault: Called at the end with a sentence if MLflow lacks some results.
    """

    def connect() -> Any:
        from studies.tracking.training import Title, TrainingTracking

        return TrainingTracking(uri, folder, Title(name)).sync

    writer: BackgroundWriter[None] = BackgroundWriter(connect)
    try:
        for event in events:
            if isinstance(event, Validated):
                write_preview(event, folder / SAMPLES)
                writer.update(None)
            yield event
    finally:
        if fault := writer.close(None):
            on_fault(fault)
