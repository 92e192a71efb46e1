"""A full training in the tracking store: its curve while it runs, its pictures, how it ends.

All of it is read from the training's folder, so that a store that was away gets the rest later.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Run

from nas.common.files import write_atomic
from nas.training.engine.folder import BEST, LAST, Point, Result, read_curve, read_training
from nas.training.engine.folder import TRAINING as _SETTINGS
from studies.tracking.store import (
    PARENT,
    Delivery,
    Store,
    connected,
    fault,
    measured,
    network_params,
    params,
)

TRAINING = "training"
"""The tag that says which training's folder a run shows."""

_ID, _SAMPLES = "tracking.json", "samples"


@dataclass(frozen=True, slots=True)
class Title:
    """How a training is shown.

    Attributes:
        name: Of its run.
        kind: ``training`` or ``promotion``.
        tags: More about it.
        parent: Identifier of the run it belongs to.
    """

    name: str
    kind: str = "training"
    tags: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None


def identify(folder: Path) -> str:
    """Return what tells this training's run from all others; it is kept in the folder.

    Raises:
        OSError: The folder cannot be written.
    """
    path = folder / _ID
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads(path.read_bytes())["id"])
    made = uuid.uuid4().hex
    write_atomic(path, json.dumps({"id": made}).encode())
    return made


class TrainingTracking:
    """Shows one training that stands on its own.

    Args:
        uri: MLflow tracking URI.
        folder: The training's.
        title: How it is shown.
    """

    def __init__(self, uri: str, folder: Path, title: Title) -> None:
        self._uri, self._folder, self._title = uri, folder, title

    def deliver(self, news: object = None, /, *, final: bool = False) -> Delivery:
        """Write what the store does not hold yet; with ``final`` also how it stands at the end.

        Never raises for a fault of the store: the fault comes back in one sentence.
        """
        if not began(self._folder):
            return Delivery(0)
        try:
            return Delivery(self._write(connected(self._uri), final))
        except Exception as error:
            return Delivery(0, fault(self._uri, error))

    def _write(self, store: Store, final: bool) -> int:
        told = read_training(self._folder)
        result = None if told is None else told.result
        there = find(store, self._folder)
        if result is not None and there is not None and there.info.status == "FINISHED":
            return 0
        run_id = show_training(store, self._folder, self._title)
        if result is not None and final:
            started = store.client.get_run(run_id).info.start_time
            metrics = [Metric(k, v, started, 0) for k, v in _figures(result).items()]
            store.client.log_batch(run_id, metrics=metrics)
            for name in (BEST, LAST):
                store.client.log_artifact(run_id, str(self._folder / name))
        if final:
            store.client.set_terminated(run_id, "KILLED" if result is None else "FINISHED")
        return 1


def began(folder: Path) -> bool:
    """Whether a training has begun there: else there is nothing to show, nor a place to mark."""
    return (folder / _SETTINGS).is_file()


def find(store: Store, folder: Path) -> Run | None:
    """Return the run that shows a training, None if there is none yet."""
    found = store.search(f"tags.{TRAINING} = '{identify(folder)}'")
    return found[0] if found else None


def show_training(store: Store, folder: Path, title: Title) -> str:
    """Find or make a training's run, add what it lacks, and return its identifier.

    It is left running. What is there already is never written again.
    """
    run = find(store, folder) or _create(store, folder, title)
    run_id = run.info.run_id
    if run.info.status != "RUNNING":  # it was cut off, and goes on
        store.client.update_run(run_id, status="RUNNING")
    _add_settings(store, run, folder)
    _add_curve(store, run, folder)
    _add_files(store, run_id, folder / _SAMPLES, _SAMPLES)
    return run_id


def _create(store: Store, folder: Path, title: Title) -> Run:
    tags = {TRAINING: identify(folder), "kind": title.kind, **title.tags}
    if title.parent is not None:
        tags[PARENT] = title.parent
    return store.client.create_run(store.experiment, run_name=title.name, tags=tags)


def _add_settings(store: Store, run: Run, folder: Path) -> None:
    """What the training depends on, as parameters: architecture and recipe field by field."""
    told = read_training(folder)
    if told is None or run.data.params:
        return
    values: dict[str, Any] = {}
    for name, value in told.settings.items():
        key = name.replace(" ", "_")
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        if key == "network" and isinstance(parsed, Mapping):
            values |= network_params(parsed)
        elif key == "recipe" and isinstance(parsed, Mapping):
            values[key] = parsed
        else:
            values[key] = value
    store.client.log_batch(run.info.run_id, params=params(values))
    store.client.log_artifact(run.info.run_id, str(folder / _SETTINGS))


def _add_curve(store: Store, run: Run, folder: Path) -> None:
    """Points of the held-out windows after the last one that is there."""
    run_id = run.info.run_id
    history = store.client.get_metric_history(run_id, "curve_gain_db")
    last = max((point.step for point in history), default=-1)
    new = [point for point in read_curve(folder) if point.step > last]
    for start in range(0, len(new), _AT_ONCE):
        points = new[start : start + _AT_ONCE]
        metrics = [m for point in points for m in _metrics(point, run.info.start_time)]
        store.client.log_batch(run_id, metrics=metrics)


_AT_ONCE = 40  # points: MLflow takes at most 1000 metrics in a batch, and five QPs make 14 of one


def _metrics(point: Point, started: int) -> list[Metric]:
    values = {"curve_gain_db": point.gain_db}
    values |= measured(curve_gain_cb_db=point.gain_cb_db, curve_gain_cr_db=point.gain_cr_db)
    if point.loss is not None:
        values["curve_loss"] = point.loss
    values |= {f"curve_gain_db_qp{qp}": gain for qp, gain in point.gain_db_per_qp.items()}
    values |= {f"curve_psnr_y_db_qp{qp}": psnr for qp, psnr in point.psnr_y_db.items()}
    then = started + int(1000 * point.seconds)
    return [Metric(name, value, then, point.step) for name, value in values.items()]


def _figures(result: Result) -> dict[str, float]:
    """How a training ended, under the names that trials and promotions use."""
    values = {"gain_db": result.gain_db, "seconds": result.seconds}
    values |= measured(gain_cb_db=result.gain_cb_db, gain_cr_db=result.gain_cr_db)
    values |= {f"gain_db_qp{qp}": gain for qp, gain in result.gain_db_per_qp.items()}
    return values | {f"psnr_y_db_qp{qp}": psnr for qp, psnr in result.psnr_y_db.items()}


def _add_files(store: Store, run_id: str, folder: Path, place: str) -> None:
    there = {item.path for item in store.client.list_artifacts(run_id, place)}
    for path in sorted(folder.glob("*.png")):
        if f"{place}/{path.name}" not in there:
            store.client.log_artifact(run_id, str(path), place)
