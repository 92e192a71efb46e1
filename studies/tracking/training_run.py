"""A full training with MLflow beside it: whatever happens there, the training goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from nas.training.engine.events import Event, Validated
from studies.report.images import keep_samples
from studies.results.promotions import SAMPLES
from studies.tracking.writer import Courier


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

        return TrainingTracking(uri, folder, Title(name)).deliver

    courier: Courier[None] = Courier(connect)
    try:
        for event in events:
            if isinstance(event, Validated):
                keep_samples(event, folder / SAMPLES)
                courier.bring(None)
            yield event
    finally:
        if fault := courier.close(None):
            on_fault(fault)
