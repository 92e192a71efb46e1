"""A study in the tracking store: a parent run, and a child run a trial.

A run's tags say which study and trial it is of. Parent and children are found by them again.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from mlflow.entities import Metric, RunTag

from studies.core.candidate import network_title
from studies.core.info import StudyInfo
from studies.core.noise import seed_noise
from studies.core.outcome import Broken, Rejected, Trained
from studies.core.record import Record, count
from studies.core.weights import weights_file
from studies.report import static
from studies.report.summary import Places, front_markdown, front_table, story
from studies.results.front import (
    eligible,
    hypervolume_history,
    reference_of,
    trained,
    with_probabilities,
)
from studies.results.promotions import ended
from studies.tracking.store import (
    DONE,
    NOTE,
    PARENT,
    REGISTERED,
    Delivery,
    Store,
    connected,
    fault,
    measured,
    model_name,
    network_params,
    params,
)

_TRIAL = "trial"


class StudyTracking:
    """Writes one study to one tracking store.

    Args:
        uri: MLflow tracking URI: ``sqlite:///mlflow.db`` or a server's ``http://...``.
        info: The study.
        folder: The study's folder, where its deploy weights lie in ``weights``.
        alone: Held while something is written: others may search the same study.
    """

    def __init__(
        self,
        uri: str,
        info: StudyInfo,
        folder: Path,
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._uri, self._info, self._folder, self._alone = uri, info, folder, alone
        self._store: Store | None = None
        self._parent = ""
        self._written: set[int] = set()

    def deliver(self, records: Sequence[Record], *, final: bool = False) -> Delivery:
        """Write what the store does not hold yet; with ``final`` also figures, note and status.

        Never raises for a fault of the store: the fault comes back in one sentence, and the next
        call goes on where this one stopped.
        """
        written = 0
        try:
            with self._alone():
                store = self._connected()
                for record in records:
                    if record.outcome is not None and record.trial not in self._written:
                        written += self._write_child(store, record)
                        self._written.add(record.trial)
                if written or final:
                    self._write_hypervolume(store, records)
                if final:
                    self._write_story(store, records)
        except Exception as error:
            self._store = None  # look again at what arrived
            return Delivery(written, fault(self._uri, error))
        return Delivery(written)

    def _connected(self) -> Store:
        """Find or make experiment and parent run, and see which children are there."""
        if self._store is not None:
            return self._store
        store = connected(self._uri)
        self._parent = store.study(self._info).info.run_id
        self._written = set()
        for run in store.search(f"tags.`{PARENT}` = '{self._parent}' and tags.kind = 'trial'"):
            if run.info.status in DONE:
                self._written.add(int(run.data.tags[_TRIAL]))
            else:  # cut off while being written
                _forget(store, run.info.run_id)
        self._store = store
        return store

    # -- one trial ---------------------------------------------------------------------------

    def _write_child(self, store: Store, record: Record) -> bool:
        """One child run, unless another search has written it meanwhile.

        Its status is set last, so that a half-written one can be told.
        """
        client, outcome = store.client, record.outcome
        if store.search(f"tags.`{PARENT}` = '{self._parent}' and tags.{_TRIAL} = '{record.trial}'"):
            return False
        started = int((record.started or time.time()) * 1000)
        run = client.create_run(
            store.experiment,
            start_time=started,
            run_name=f"{record.trial:03d} {network_title(record.candidate.name)}",
            tags={PARENT: self._parent, _TRIAL: str(record.trial), "kind": "trial"},
        )
        run_id = run.info.run_id
        architecture = record.candidate.architecture.to_dict()
        client.log_batch(
            run_id,
            metrics=_metrics(record, started),
            params=params(network_params(architecture)),
            tags=[RunTag(key, value) for key, value in _tags(record).items()],
        )
        client.log_dict(run_id, architecture, "architecture.json")
        if isinstance(outcome, Trained):
            self._write_model(store, run_id, record, outcome)
        ended = int((record.finished or time.time()) * 1000)
        status = {Trained: "FINISHED", Broken: "FAILED"}.get(type(outcome), "KILLED")
        client.set_terminated(run_id, status, ended)
        return True

    def _write_model(self, store: Store, run_id: str, record: Record, outcome: Trained) -> None:
        """The deploy network: weights beside the run, and as a LoggedModel that can be registered.

        Plain safetensors and JSON: loading it never runs code, and any size of picture works.
        """
        weights = weights_file(outcome, self._folder)
        if weights is None:
            return
        with tempfile.TemporaryDirectory(prefix="nas-model-") as aside:
            folder = Path(aside)
            shutil.copyfile(weights, folder / "weights.safetensors")
            (folder / "architecture.json").write_text(record.candidate.architecture.to_json())
            client = store.client
            client.log_artifact(run_id, str(folder / "weights.safetensors"))
            model = client.create_logged_model(
                store.experiment,
                name=model_name(f"{self._info.name}-{record.trial}"),
                source_run_id=run_id,
                params={"architecture": record.candidate.key},
                model_type="super-resolution-x4",
            )
            client.log_model_artifacts(model.model_id, aside)
            client.finalize_logged_model(model.model_id, "READY")

    # -- the whole study ---------------------------------------------------------------------

    def _write_hypervolume(self, store: Store, records: Sequence[Record]) -> None:
        done = eligible(trained(records))
        reference = reference_of(done, self._info.budget)
        curve = hypervolume_history(records, reference)
        now = int(time.time() * 1000)
        told = store.client.get_metric_history(self._parent, "hypervolume")
        points = max((metric.step for metric in told), default=0)
        new = [
            Metric("hypervolume", value, now, step)
            for step, value in enumerate(curve, start=1)
            if step > points
        ]
        if curve and not new and curve[-1] not in {m.value for m in told if m.step == points}:
            new.append(Metric("hypervolume", curve[-1], now, points))  # repeats have moved it
        tally = count(records)
        totals = {
            "trained": tally.trained,
            "stopped_early": tally.stopped,
            "rejected": tally.rejected,
            "broken": tally.broken,
            "duplicates": tally.duplicates,
            "tinted": len(trained(records)) - len(done),
        }
        new += [Metric(name, float(n), now, len(curve)) for name, n in totals.items()]
        if done:
            best = max(member.gain_db for member in done)
            new.append(Metric("best_gain_db", best, now, len(curve)))
        store.client.log_batch(self._parent, metrics=new)

    def _write_story(self, store: Store, records: Sequence[Record]) -> None:
        client, parent = store.client, self._parent
        self._write_repeats(store, records)
        places = Places(self._info.storage, self._uri)
        for path in static.write(self._info, records, self._folder, places).values():
            client.log_artifact(parent, str(path))
        client.log_dict(parent, front_table(records), "front.json")
        client.log_text(parent, front_markdown(records), "front.md")
        shown = tuple(ended(self._folder).values())
        registered = client.get_run(parent).data.tags.get(REGISTERED)
        client.set_tag(parent, NOTE, story(self._info, records, places, shown, registered))
        client.set_terminated(parent, "FINISHED")

    def _write_repeats(self, store: Store, records: Sequence[Record]) -> None:
        """What further trainings with other seeds say of a child run's gain."""
        for member in with_probabilities(trained(records), seed_noise(records)):
            if member.gain_sd_db is None:
                continue
            (run,) = store.search(
                f"tags.`{PARENT}` = '{self._parent}' and tags.{_TRIAL} = '{member.trial}'"
            )
            values = {
                "gain_mean_db": member.gain_db,
                "gain_sd_db": member.gain_sd_db,
                "front_probability": member.front_probability or 0.0,
            }
            now = int(time.time() * 1000)
            metrics = [Metric(name, value, now, member.trainings) for name, value in values.items()]
            store.client.log_batch(run.info.run_id, metrics=metrics)


def _forget(store: Store, run_id: str) -> None:
    """Delete a run and the networks that came of it."""
    models = store.client.search_logged_models([store.experiment], f"source_run_id = '{run_id}'")
    for model in models:
        store.client.delete_logged_model(model.model_id)
    store.client.delete_run(run_id)


def _metrics(record: Record, now: int) -> list[Metric]:
    outcome = record.outcome
    values: dict[str, float] = {}
    curve: list[Metric] = []
    if isinstance(outcome, Trained):
        values["gain_db"] = outcome.gain_db  # first: MLflow draws by the first one
    if outcome is not None:
        if outcome.runtime is not None:
            values["runtime_ms"] = outcome.runtime.ms
        if outcome.size is not None:
            values["params"] = outcome.size.params
            values["macs_g"] = outcome.size.macs / 1e9
            if outcome.size.memory_mb is not None:
                values["memory_mb"] = outcome.size.memory_mb
        values["seconds"] = outcome.seconds
    if isinstance(outcome, Trained):
        values |= measured(gain_cb_db=outcome.gain_cb_db, gain_cr_db=outcome.gain_cr_db)
        values |= {f"gain_db_qp{qp}": gain for qp, gain in outcome.gain_db_per_qp.items()}
        values |= {f"psnr_y_db_qp{qp}": psnr for qp, psnr in outcome.psnr_y_db.items()}
    if isinstance(outcome, Trained | Rejected):
        curve = [
            Metric("curve_gain_db", rung.gain_db, now + int(rung.seconds * 1000), rung.step)
            for rung in outcome.curve
        ]
    return [Metric(name, float(value), now, 0) for name, value in values.items()] + curve


def _tags(record: Record) -> dict[str, str]:
    outcome = record.outcome
    tags = {
        "outcome": type(outcome).__name__.lower(),
        "origin": network_title(record.candidate.origin),
        "architecture": record.candidate.key,
    }
    if isinstance(outcome, Rejected | Broken):
        tags["reason"] = outcome.reason
    if outcome is not None and outcome.runtime is not None:
        runtime = outcome.runtime
        tags["runtime"] = " ".join(filter(None, [runtime.kind, runtime.target, runtime.backend]))
    if record.tints:
        tags["tints"] = "true"
    if record.duplicate_of is not None:
        tags["duplicate_of"] = str(record.duplicate_of)
    if record.retry_of is not None:
        tags["retry_of"] = str(record.retry_of)
    return tags
