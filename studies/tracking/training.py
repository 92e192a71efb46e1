"""A full training in MLflow: learning curve, previews and result, read from its folder."""

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
    Store,
    SyncResult,
    connected,
    fault,
    measured,
    network_params,
    params,
)

TRAINING = "training"
"""Tag that identifies the training of a run."""

_ID, _SAMPLES = "tracking.json", "samples"


@dataclass(frozen=True, slots=True)
class Title:
    """How a training appears in MLflow.

    Attributes:
        name: Name of its run.
        kind: ``training`` or ``promotion``.
        tags: Further tags.
        parent: Identifier of the parent run.
    """

    name: str
    kind: str = "training"
    tags: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None


def identify(folder: Path) -> str:
    """Return the unique identifier of a training, which is stored in its folder.

    Raises:
        OSError: The folder cannot be written.
    """
    path = folder / _ID
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads(path.read_bytes())["id"])
    new = uuid.uuid4().hex
    write_atomic(path, json.dumps({"id": new}).encode())
    return new


class TrainingTracking:
    """Writes one training that is not part of a promotion."""

    def __init__(self, uri: str, folder: Path, title: Title) -> None:
        self._uri, self._folder, self._title = uri, folder, title

    def sync(self, state: object = None, /, *, final: bool = False) -> SyncResult:
        """Write what the store lacks; with ``final`` also result and status.

        Never raises for a fault of the store but returns it.
        """
        if not has_started(self._folder):
            return SyncResult(0)
        try:
            return SyncResult(self._write(connected(self._uri), final))
        except Exception as error:
            return SyncResult(0, fault(self._uri, error))

    def _write(self, store: Store, final: bool) -> int:
        training = read_training(self._folder)
        result = None if training is None else training.result
        run = find(store, self._folder)
        if result is not None and run is not None and run.info.status == "FINISHED":
            return 0
        run_id = write_training(store, self._folder, self._title)
        if result is not None and final:
            started = store.client.get_run(run_id).info.start_time
            metrics = [Metric(k, v, started, 0) for k, v in _result_metrics(result).items()]
            store.client.log_batch(run_id, metrics=metrics)
            for name in (BEST, LAST):
                store.client.log_artifact(run_id, str(self._folder / name))
        if final:
            store.client.set_terminated(run_id, "KILLED" if result is None else "FINISHED")
        return 1


def has_started(folder: Path) -> bool:
    """Whether the folder holds a training."""
    return (folder / _SETTINGS).is_file()


def find(store: Store, folder: Path) -> Run | None:
    """Return the run of a training; None if there is none."""
    found = store.search(f"tags.{TRAINING} = '{identify(folder)}'")
    return found[0] if found else None


def write_training(store: Store, folder: Path, title: Title) -> str:
    """Find or create the run of a training, add what it lacks, and return its identifier.

    The run stays in the status ``RUNNING``.
    """
    run = find(store, folder) or _create(store, folder, title)
    run_id = run.info.run_id
    if run.info.status != "RUNNING":  # it was interrupted and continues
        store.client.update_run(run_id, status="RUNNING")
    _add_settings(store, run, folder)
    _add_curve(store, run, folder)
    _add_previews(store, run_id, folder / _SAMPLES)
    return run_id


def _create(store: Store, folder: Path, title: Title) -> Run:
    tags = {TRAINING: identify(folder), "kind": title.kind, **title.tags}
    if title.parent is not None:
        tags[PARENT] = title.parent
    return store.client.create_run(store.experiment, run_name=title.name, tags=tags)


def _add_settings(store: Store, run: Run, folder: Path) -> None:
    """Add the settings of a training as parameters, with architecture and recipe by field."""
    training = read_training(folder)
    if training is None or run.data.params:
        return
    values: dict[str, Any] = {}
    for name, value in training.settings.items():
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
    """Add the points of the learning curve after the last one in the store."""
    run_id = run.info.run_id
    history = store.client.get_metric_history(run_id, "curve_gain_db")
    last = max((point.step for point in history), default=-1)
    new = [point for point in read_curve(folder) if point.step > last]
    for start in range(0, len(new), _BATCH):
        points = new[start : start + _BATCH]
        metrics = [m for point in points for m in _metrics(point, run.info.start_time)]
        store.client.log_batch(run_id, metrics=metrics)


_BATCH = 40  # points: MLflow accepts 1000 metrics at a time, and a point of five QPs has 14


def _metrics(point: Point, started: int) -> list[Metric]:
    values = {"curve_gain_db": point.gain_db}
    values |= measured(curve_gain_cb_db=point.gain_cb_db, curve_gain_cr_db=point.gain_cr_db)
    if point.loss is not None:
        values["curve_loss"] = point.loss
    values |= {f"curve_gain_db_qp{qp}": gain for qp, gain in point.gain_db_per_qp.items()}
    values |= {f"curve_psnr_y_db_qp{qp}": psnr for qp, psnr in point.psnr_y_db.items()}
    then = started + int(1000 * point.seconds)
    return [Metric(name, value, then, point.step) for name, value in values.items()]


def _result_metrics(result: Result) -> dict[str, float]:
    """Return the metrics of a result under the names that trials and promotions use."""
    values = {"gain_db": result.gain_db, "seconds": result.seconds}
    values |= measured(gain_cb_db=result.gain_cb_db, gain_cr_db=result.gain_cr_db)
    values |= {f"gain_db_qp{qp}": gain for qp, gain in result.gain_db_per_qp.items()}
    return values | {f"psnr_y_db_qp{qp}": psnr for qp, psnr in result.psnr_y_db.items()}


def _add_previews(store: Store, run_id: str, folder: Path) -> None:
    known = {item.path for item in store.client.list_artifacts(run_id, _SAMPLES)}
    for path in sorted(folder.glob("*.png")):
        if f"{_SAMPLES}/{path.name}" not in known:
            store.client.log_artifact(run_id, str(path), _SAMPLES)
