"""A full training with MLflow beside it: whatever happens there, the training goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from nas.training.engine.events import Event, Looked
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
    """Pass on the events of a training, and have MLflow show what its folder holds.

    The pieces of each look are kept as pictures in the folder. What a store that is away misses is
    delivered by the next call, also by one that finds the training over.

    Args:
        events: Of the training.
        folder: Its own.
        name: What its run is called.
        uri: MLflow tracking URI.
        on_fault: Told at the end, in one sentence, when not everything arrived.
    """

    def connect() -> Any:
        from studies.tracking.training import Title, TrainingTracking

        return TrainingTracking(uri, folder, Title(name)).sync

    writer: BackgroundWriter[None] = BackgroundWriter(connect)
    try:
        for event in events:
            if isinstance(event, Looked):
                write_preview(event, folder / SAMPLES)
                writer.update(None)
            yield event
    finally:
        if fault := writer.close(None):
            on_fault(fault)
