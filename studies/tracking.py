"""A study as MLflow shows it: a view, rebuilt from the study's records. Only MLflow importer.

One parent run stands for the study, one child run for each trial. A run's tags say which, so that
writing again changes nothing, a view half written is completed, and a lost one is made anew. The
coordinator is the only writer. A tracking server that fails never stops a search: what it missed
is delivered by the next call.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # A server that is down is tried again at the next trial, not for minutes within this one.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}.items():
    os.environ.setdefault(_name, _value)

from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric, Param, RunTag  # noqa: E402

from studies import figures  # noqa: E402
from studies.front import (  # noqa: E402
    front,
    hypervolume_history,
    knee,
    reference_of,
    trained,
)
from studies.outcome import Broken, Rejected, Trained  # noqa: E402
from studies.record import Record, counts  # noqa: E402
from studies.settings import StudyInfo  # noqa: E402
from studies.storage import masked, sqlite_file  # noqa: E402
from studies.weights import weights_folder  # noqa: E402

for _noisy in ("mlflow", "alembic"):  # they log the making of a fresh database step by step
    logging.getLogger(_noisy).setLevel(logging.WARNING)

DEFAULT_URI = "sqlite:///mlflow.db"
EXPERIMENT = "nas-workbench"

# The UI opens on runs and metrics instead of on its view for language models.
_VIEW = {"mlflow.experimentKind": "custom_model_development"}
_PARENT = "mlflow.parentRunId"
_NOTE = "mlflow.note.content"
_STUDY = "study"
_TRIAL = "trial"
_DONE = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a call of `Tracking.deliver` did: child runs written, and the fault that ended it."""

    written: int
    fault: str | None = None


class Tracking:
    """Writes one study to one tracking store.

    Args:
        uri: MLflow tracking URI: ``sqlite:///mlflow.db`` or a server's ``http://...``.
        info: The study.
        folder: The study's folder, where its deploy weights lie in ``weights``.
    """

    def __init__(self, uri: str, info: StudyInfo, folder: Path) -> None:
        self._uri, self._info, self._folder = uri, info, folder
        self._client: MlflowClient | None = None
        self._experiment = ""
        self._parent = ""
        self._written: set[int] = set()
        self._points = 0

    def deliver(self, records: Sequence[Record], *, final: bool = False) -> Delivery:
        """Write what the store does not hold yet; with ``final`` also figures, note and status.

        Never raises for a fault of the store: the fault comes back in one sentence, and the next
        call goes on where this one stopped.
        """
        written = 0
        try:
            client = self._connected()
            for record in records:
                if record.outcome is not None and record.trial not in self._written:
                    self._write_child(client, record)
                    self._written.add(record.trial)
                    written += 1
            if written or final:
                self._write_hypervolume(client, records)
            if final:
                self._write_story(client, records)
        except Exception as error:
            self._client = None  # look again at what arrived
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            return Delivery(written, f"MLflow at {masked(self._uri)}: {masked(first)}")
        return Delivery(written)

    # -- the study's place in the store ------------------------------------------------------

    def _connected(self) -> MlflowClient:
        """Find or make experiment and parent run, and see which children are there."""
        if self._client is not None:
            return self._client
        client = MlflowClient(tracking_uri=self._uri)
        found = client.get_experiment_by_name(EXPERIMENT)
        self._experiment = (
            found.experiment_id
            if found is not None
            else client.create_experiment(EXPERIMENT, _artifacts(self._uri), tags=_VIEW)
        )
        parents = self._search(client, f"tags.{_STUDY} = '{self._study_id}'")
        self._parent = (
            parents[0].info.run_id if parents else self._create_parent(client).info.run_id
        )
        self._written = set()
        for run in self._search(client, f"tags.`{_PARENT}` = '{self._parent}'"):
            if run.info.status in _DONE:
                self._written.add(int(run.data.tags[_TRIAL]))
            else:  # cut off while being written
                client.delete_run(run.info.run_id)
        self._points = len(client.get_metric_history(self._parent, "hypervolume"))
        self._client = client
        return client

    @property
    def _study_id(self) -> str:
        """Tells studies of equal names apart, also when several people share a server."""
        first = json.dumps([self._info.name, self._info.runs[:1]], sort_keys=True)
        return hashlib.sha256(first.encode()).hexdigest()[:16]

    def _search(self, client: MlflowClient, condition: str) -> list[Any]:
        runs, token = [], None
        while True:
            page = client.search_runs([self._experiment], condition, page_token=token)
            runs += list(page)
            token = page.token
            if not token:
                return runs

    def _create_parent(self, client: MlflowClient) -> Any:
        identity = self._info.identity
        run = client.create_run(
            self._experiment,
            run_name=self._info.name,
            tags={_STUDY: self._study_id, "kind": "study"},
        )
        flat = {key: value for key, value in identity.items() if key != "space"}
        space = identity.get("space", {})
        flat["space"] = space.get("name") if isinstance(space, dict) else space
        client.log_batch(run.info.run_id, params=_params(flat))
        client.log_dict(run.info.run_id, dict(identity), "study.json")
        client.log_dict(run.info.run_id, {"runs": list(self._info.runs)}, "provenance.json")
        return run

    # -- one trial ---------------------------------------------------------------------------

    def _write_child(self, client: MlflowClient, record: Record) -> None:
        """One child run; its status is set last, so that a half-written one can be told."""
        outcome = record.outcome
        started = int((record.started or time.time()) * 1000)
        run = client.create_run(
            self._experiment,
            start_time=started,
            run_name=f"{record.trial:03d} {record.candidate.name}",
            tags={_PARENT: self._parent, _TRIAL: str(record.trial), "kind": "trial"},
        )
        run_id = run.info.run_id
        client.log_batch(
            run_id,
            metrics=_metrics(record, started),
            params=_params(_flat(record.candidate.architecture.to_dict())),
            tags=[RunTag(key, value) for key, value in _tags(record).items()],
        )
        architecture = record.candidate.architecture.to_dict()
        client.log_dict(run_id, architecture, "architecture.json")
        if isinstance(outcome, Trained):
            self._write_model(client, run_id, record, outcome)
        ended = int((record.finished or time.time()) * 1000)
        status = {Trained: "FINISHED", Broken: "FAILED"}.get(type(outcome), "KILLED")
        client.set_terminated(run_id, status, ended)

    def _write_model(
        self, client: MlflowClient, run_id: str, record: Record, outcome: Trained
    ) -> None:
        """The deploy network: weights beside the run, and as a LoggedModel that can be registered.

        Plain safetensors and JSON: loading it never runs code, and any size of picture works.
        """
        if outcome.weights is None or outcome.weights.file is None:
            return
        weights = weights_folder(self._folder) / outcome.weights.file
        if not weights.is_file():
            return
        with tempfile.TemporaryDirectory(prefix="nas-model-") as aside:
            folder = Path(aside)
            shutil.copyfile(weights, folder / "weights.safetensors")
            (folder / "architecture.json").write_text(record.candidate.architecture.to_json())
            client.log_artifact(run_id, str(folder / "weights.safetensors"))
            model = client.create_logged_model(
                self._experiment,
                name=_model_name(f"{self._info.name}-{record.trial}"),
                source_run_id=run_id,
                params={"architecture": record.candidate.key},
                model_type="super-resolution-x4",
            )
            client.log_model_artifacts(model.model_id, aside)
            client.finalize_logged_model(model.model_id, "READY")

    # -- the whole study ---------------------------------------------------------------------

    def _write_hypervolume(self, client: MlflowClient, records: Sequence[Record]) -> None:
        done = trained(records)
        reference = reference_of(done, self._info.budget.runtime_ms)
        curve = hypervolume_history(records, reference)
        now = int(time.time() * 1000)
        new = [
            Metric("hypervolume", value, now, step)
            for step, value in enumerate(curve, start=1)
            if step > self._points
        ]
        tally = counts(records)
        totals = {
            "trained": tally.trained,
            "stopped_early": tally.stopped,
            "rejected": tally.rejected,
            "broken": tally.broken,
            "duplicates": tally.duplicates,
        }
        new += [Metric(name, float(n), now, len(curve)) for name, n in totals.items()]
        if done:
            best = max(member.gain_db for member in done)
            new.append(Metric("best_gain_db", best, now, len(curve)))
        client.log_batch(self._parent, metrics=new)
        self._points = len(curve)

    def _write_story(self, client: MlflowClient, records: Sequence[Record]) -> None:
        budget, parent = self._info.budget, self._parent
        for path in figures.write(self._info.name, budget, records, self._folder).values():
            client.log_artifact(parent, str(path))
        client.log_dict(parent, _front_table(records), "front.json")
        client.log_text(parent, _front_markdown(records), "front.md")
        client.set_tag(parent, _NOTE, story(self._info, records))
        client.set_terminated(parent, "FINISHED")


def story(info: StudyInfo, records: Sequence[Record]) -> str:
    """Markdown that tells what was searched, what was found and what to do next."""
    tally = counts(records)
    identity = info.identity
    lines = [
        f"**{info.name}** searched `{_name_of(identity.get('space'))}` under {info.budget}.",
        "",
        f"{tally.trained} candidates trained, {tally.rejected} rejected before training, "
        f"{tally.stopped} stopped early, {tally.broken} broken, {tally.duplicates} duplicates.",
        "",
    ]
    for key in ("target", "data", "teacher", "proxy"):
        if identity.get(key) is not None:
            lines.append(f"- {key}: `{_name_of(identity[key])}`")
    lines += ["", "## Front", "", _front_markdown(records), ""]
    best = knee(trained(records))
    if best is not None:
        lines += [
            "Gains are of short proxy runs: they rank, full training decides.",
            "",
            f"The best compromise is trial {best.trial} ({best.name}). "
            "Open `front.html` among the artifacts for the interactive front. Next:",
            "",
            "```",
            f"nas front {info.name}",
            "```",
        ]
    return "\n".join(lines)


def server_command(uri: str, host: str, port: int) -> tuple[list[str], dict[str, str]]:
    """The command and environment that show a tracking store in a browser.

    Job execution stays off: it takes three quarters of the server's memory and nothing here
    needs it.
    """
    import sys

    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--host", host, "--port", str(port), "--workers", "1"]
    if (artifacts := _artifacts(uri)) is not None:
        command += ["--default-artifact-root", artifacts]
    return command, {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def _artifacts(uri: str) -> str | None:
    """Beside an SQLite file; None leaves it to the server."""
    file = sqlite_file(uri)
    if file is None:
        return None
    return (file.absolute().parent / f"{file.stem}-artifacts").as_uri()


def _metrics(record: Record, now: int) -> list[Metric]:
    outcome = record.outcome
    values: dict[str, float] = {}
    curve: list[Metric] = []
    if outcome is not None:
        if outcome.runtime is not None:
            values["runtime_ms"] = outcome.runtime.ms
        if outcome.size is not None:
            values["params"] = outcome.size.params
            values["macs_g"] = outcome.size.macs / 1e9
        values["seconds"] = outcome.seconds
    if isinstance(outcome, Trained):
        values["gain_db"] = outcome.gain_db
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
        "origin": record.candidate.origin,
        "architecture": record.candidate.key,
    }
    if isinstance(outcome, Rejected | Broken):
        tags["reason"] = outcome.reason
    if outcome is not None and outcome.runtime is not None:
        runtime = outcome.runtime
        tags["runtime"] = " ".join(filter(None, [runtime.kind, runtime.target, runtime.backend]))
    if record.duplicate_of is not None:
        tags["duplicate_of"] = str(record.duplicate_of)
    if record.retry_of is not None:
        tags["retry_of"] = str(record.retry_of)
    return tags


def _front_table(records: Sequence[Record]) -> dict[str, Any]:
    """Columns and rows, the form that MLflow shows as a table."""
    columns = ["trial", "name", "gain_db", "runtime_ms", "runtime_kind", "macs_g", "params"]
    rows = [member.to_dict() for member in front(trained(records))]
    return {"columns": columns, "data": [[row[column] for column in columns] for row in rows]}


def _front_markdown(records: Sequence[Record]) -> str:
    members = front(trained(records))
    if not members:
        return "No candidate was trained yet."
    rows = [f"| trial | network | gain dB | ms ({members[0].runtime_kind}) | MACs G | params |"]
    rows.append("|---:|---|---:|---:|---:|---:|")
    rows += [
        f"| {m.trial} | {m.name} | {m.gain_db:+.3f} | {m.runtime_ms:.3f} "
        f"| {m.macs_g:.2f} | {m.params:,} |"
        for m in members
    ]
    return "\n".join(rows)


def _params(values: dict[str, Any]) -> list[Param]:
    """MLflow takes at most 6000 characters a value."""
    return [
        Param(key, (value if isinstance(value, str) else json.dumps(value))[:6000])
        for key, value in values.items()
    ]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _name_of(value: Any) -> str:
    """A setting in a word: its name where it has one."""
    if isinstance(value, dict):
        return str(value.get("name") or json.dumps(value))
    return str(value)


def _model_name(name: str) -> str:
    """Without the characters that MLflow refuses in names of models."""
    return re.sub(r"[^\w-]", "_", name)
