"""Tracking store: setup of MLflow, the experiment, and helpers of all writers."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is the result's
    # A server that is down is tried again at the next update, not for minutes within this one.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}.items():
    os.environ.setdefault(_name, _value)

from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Param, Run  # noqa: E402

from nas.common.errors import first_line  # noqa: E402
from studies.core.info import StudyInfo  # noqa: E402
from studies.storage import store as storage  # noqa: E402
from studies.storage.locks import run_once  # noqa: E402
from studies.storage.store import masked, sqlite_file  # noqa: E402

for _noisy in ("mlflow", "alembic"):  # they log every step of creating a database
    logging.getLogger(_noisy).setLevel(logging.WARNING)
# Faults of a database are reported in one sentence, without a stack trace.
logging.getLogger("mlflow.store").setLevel(logging.CRITICAL)
# MLflow warns of environments without pip; nothing here builds one from a model.
logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)

EXPERIMENT = "nas-workbench"
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
STUDY = "study"
REGISTERED = "registered_model"
"""Tag of a study's run: name of the registered model."""
DONE = ("FINISHED", "FAILED", "KILLED")

# The UI opens on runs and metrics instead of its view for language models.
_VIEW = {"mlflow.experimentKind": "custom_model_development"}

_TABLE = "studies"
_COLUMNS = (
    *("best_gain_db", "gain_db", "gain_cb_db", "gain_cr_db"),
    *("hypervolume", "params", "runtime_ms"),
)


@dataclass(frozen=True, slots=True)
class SyncResult:
    """Number of runs written, and the fault that ended the update."""

    written: int
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """The experiment of the workbench in one tracking store.

    Attributes:
        client: Client of this store; MLflow's global settings are not used.
        experiment: Identifier of the experiment.
        is_server: Whether the store is a server.
    """

    client: MlflowClient
    experiment: str
    is_server: bool

    def search(self, condition: str) -> list[Run]:
        """Return all runs that match a filter, newest first."""
        runs, token = [], None
        while True:
            page = self.client.search_runs([self.experiment], condition, page_token=token)
            runs += list(page)
            token = page.token
            if not token:
                return runs

    def show_table(self) -> str:
        """Return the path of a table of gains and costs in the UI of MLflow.

        By default the UI shows no metrics. A shared view, which is a tag, selects the columns.
        """
        columns = [f"metrics.`{name}`" for name in _COLUMNS]
        view = {
            "orderByKey": "attributes.start_time",
            "orderByAsc": False,
            "selectedColumns": [*columns, "tags.`outcome`"],
        }
        tag = f"mlflow.sharedViewState.{_TABLE}"
        self.client.set_experiment_tag(self.experiment, tag, json.dumps(view))
        chosen = f"workflowType=machine_learning&viewStateShareKey={_TABLE}"
        return f"/#/experiments/{self.experiment}/runs?{chosen}"

    def study(self, info: StudyInfo) -> Run:
        """Return the run of a study, and create it if there is none."""
        found = self.search(f"tags.{STUDY} = '{study_id(info)}' and tags.kind = 'study'")
        return found[-1] if found else self._create_study(info)

    def _create_study(self, info: StudyInfo) -> Run:
        run = self.client.create_run(
            self.experiment,
            run_name=info.name,
            tags={STUDY: study_id(info), "kind": "study"},
        )
        self.client.log_batch(run.info.run_id, params=params(_settings(info)))
        self.client.log_dict(run.info.run_id, dict(info.identity), "study.json")
        self.client.log_dict(run.info.run_id, {"runs": list(info.runs)}, "provenance.json")
        return run


def connected(uri: str) -> Store:
    """Connect to a store, and find or create the experiment."""
    uri = _absolute(uri)
    _create_database(uri)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        experiment = found.experiment_id
    else:
        experiment = client.create_experiment(EXPERIMENT, _artifacts(uri), tags=_VIEW)
    return Store(client, experiment, uri.startswith("http"))


def _absolute(uri: str) -> str:
    """Make the path of an SQLite file absolute: MLflow caches connections by URI."""
    file = sqlite_file(uri)
    return uri if file is None else uri.replace(f":///{file}", f":///{file.absolute()}", 1)


def _create_database(uri: str) -> None:
    """Create the database of a new SQLite store under another name, and rename it.

    MLflow takes seconds to create it, and cannot use one in which it was interrupted.
    """
    file = sqlite_file(uri)
    if file is None or file.exists() or not file.absolute().parent.is_dir():
        return
    with run_once(storage.Store(uri), "making"):
        if not file.exists():
            _create_aside(file)


def _create_aside(file: Path) -> None:
    folder = file.with_name(f".{file.stem}-making")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        aside = folder / uuid.uuid4().hex  # MLflow caches by name what it has created
        MlflowClient(tracking_uri=f"sqlite:///{aside}").search_experiments(max_results=1)
        file.hardlink_to(aside)
    except FileExistsError:
        pass  # another process was faster, such as a server
    except OSError:  # the file system has no hard links
        aside.replace(file)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fault(uri: str, error: BaseException) -> str:
    """Describe an error of a store in one sentence without secrets."""
    return f"MLflow at {masked(uri)}: {masked(first_line(error))}"


def study_id(info: StudyInfo) -> str:
    """Distinguish studies of equal names, for instance of several users of a server."""
    first = json.dumps([info.name, info.runs[:1]], sort_keys=True)
    return hashlib.sha256(first.encode()).hexdigest()[:16]


def measured(**values: float | None) -> dict[str, float]:
    """Return the metrics that have a value; results of earlier versions lack some."""
    return {name: value for name, value in values.items() if value is not None}


def params(values: Mapping[str, Any]) -> list[Param]:
    """Return parameters of MLflow, which accepts at most 6000 characters per value."""
    return [
        Param(key, (value if isinstance(value, str) else json.dumps(value))[:6000])
        for key, value in values.items()
    ]


def _settings(info: StudyInfo) -> dict[str, Any]:
    """Return the settings of a study in short; `study.json` has them in full."""
    named = {
        key: value["name"] if isinstance(value, Mapping) and "name" in value else value
        for key, value in info.identity.items()
    }
    named["teacher"] = named.get("teacher") or "none"
    return _flat({**named, "budget": str(info.budget)})


def network_params(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Return an architecture (see `Architecture.to_dict`) as parameters to sort and plot by."""
    stages = architecture["stages"]
    words = ", ".join(f"{s['depth']}x {s['block']} of {s['width']}" for s in stages)
    depth = sum(stage["depth"] for stage in stages)
    blocks = " ".join(dict.fromkeys(stage["block"] for stage in stages))
    own = {"depth": depth, "block": blocks or "none", "stages": words or "none"}
    return {**_flat(architecture), **own}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested dictionaries to dotted names."""
    named: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            named |= _flat(value, f"{prefix}{key}.")
        else:
            named[prefix + key] = value
    return named


def model_name(name: str) -> str:
    """Replace the characters that MLflow does not accept in names of models."""
    return re.sub(r"[^\w-]", "_", name)


def server_command(uri: str, host: str, port: int) -> tuple[list[str], dict[str, str]]:
    """Return command and environment of a server with the UI of a tracking store.

    Job execution is off: it takes three quarters of the server's memory and is not needed.
    """
    import sys

    command = [sys.executable, "-m", "mlflow", "server"]
    command += ["--host", host, "--port", str(port), "--workers", "1"]
    if (artifacts := _artifacts(uri)) is not None:
        command += ["--default-artifact-root", artifacts]
    # Not as an argument: all users of the machine can read those.
    store = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return command, {**os.environ, **store}


def _artifacts(uri: str) -> str | None:
    """Return the folder of artifacts beside an SQLite file; None for a server."""
    file = sqlite_file(uri)
    if file is None:
        return None
    return (file.absolute().parent / f"{file.stem}-artifacts").as_uri()
