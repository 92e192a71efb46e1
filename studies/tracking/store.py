"""The tracking store: how MLflow is set up here, the experiment, and what writes of it share."""

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
    # A server that is down is tried again at the next delivery, not for minutes within this one.
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

for _noisy in ("mlflow", "alembic"):  # they log the making of a fresh database step by step
    logging.getLogger(_noisy).setLevel(logging.WARNING)
# A database's fault comes back as one sentence: its stack trace would only frighten.
logging.getLogger("mlflow.store").setLevel(logging.CRITICAL)
# Environments without pip are as good as others: nothing here builds one from a model.
logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)

EXPERIMENT = "nas-workbench"
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
STUDY = "study"
REGISTERED = "registered_model"
"""Tag of a study's run: the name that its promotions are registered under."""
DONE = ("FINISHED", "FAILED", "KILLED")

# The UI opens on runs and metrics instead of on its view for language models.
_VIEW = {"mlflow.experimentKind": "custom_model_development"}

_TABLE = "studies"
_COLUMNS = (
    *("best_gain_db", "gain_db", "gain_cb_db", "gain_cr_db"),
    *("hypervolume", "params", "runtime_ms"),
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a delivery did: runs written, and the fault that ended it."""

    written: int
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """The workbench's experiment in one tracking store.

    Attributes:
        client: For this store alone: nothing here depends on MLflow's global settings.
        experiment: Its identifier.
        is_server: Whether it is a server, which looks up for itself what it is told of.
    """

    client: MlflowClient
    experiment: str
    is_server: bool

    def search(self, condition: str) -> list[Run]:
        """Return all runs that a condition holds for, newest first."""
        runs, token = [], None
        while True:
            page = self.client.search_runs([self.experiment], condition, page_token=token)
            runs += list(page)
            token = page.token
            if not token:
                return runs

    def show_table(self) -> str:
        """Return where MLflow's UI has the runs in a table of gains and costs, after its address.

        By itself it opens on its side for language models, where no run is to be seen, and its
        table has no figures. Columns come with a view, such as people share: it is a tag.
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
        """Return the run of a study, made if there is none."""
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
    """Connect to a store and find or make the experiment in it."""
    uri = _absolute(uri)
    _make(uri)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        experiment = found.experiment_id
    else:
        experiment = client.create_experiment(EXPERIMENT, _artifacts(uri), tags=_VIEW)
    return Store(client, experiment, uri.startswith("http"))


def _absolute(uri: str) -> str:
    """Name an SQLite file by its whole path: MLflow keeps connections open by the URI alone."""
    file = sqlite_file(uri)
    return uri if file is None else uri.replace(f":///{file}", f":///{file.absolute()}", 1)


def _make(uri: str) -> None:
    """Make the database of a fresh SQLite store aside, and move it into place.

    MLflow makes it table by table for a second or two, and can never again use one in which it was
    interrupted. What was left of one is removed by who makes the next.
    """
    file = sqlite_file(uri)
    if file is None or file.exists() or not file.absolute().parent.is_dir():
        return
    with run_once(storage.Store(uri), "making"):
        if not file.exists():
            _make_aside(file)


def _make_aside(file: Path) -> None:
    folder = file.with_name(f".{file.stem}-making")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        aside = folder / uuid.uuid4().hex  # MLflow remembers, in this process, what it has made
        MlflowClient(tracking_uri=f"sqlite:///{aside}").search_experiments(max_results=1)
        file.hardlink_to(aside)
    except FileExistsError:
        pass  # somebody was faster: a server of MLflow's own, say
    except OSError:
        aside.replace(file)  # a file system without hard links
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fault(uri: str, error: BaseException) -> str:
    """Say in one sentence without secrets what a store's error was."""
    return f"MLflow at {masked(uri)}: {masked(first_line(error))}"


def study_id(info: StudyInfo) -> str:
    """Tells studies of equal names apart, also when several people share a server."""
    first = json.dumps([info.name, info.runs[:1]], sort_keys=True)
    return hashlib.sha256(first.encode()).hexdigest()[:16]


def measured(**values: float | None) -> dict[str, float]:
    """Return the metrics that have a value: results of earlier versions lack some."""
    return {name: value for name, value in values.items() if value is not None}


def params(values: Mapping[str, Any]) -> list[Param]:
    """MLflow takes at most 6000 characters a value."""
    return [
        Param(key, (value if isinstance(value, str) else json.dumps(value))[:6000])
        for key, value in values.items()
    ]


def _settings(info: StudyInfo) -> dict[str, Any]:
    """What a study was made for, each in a word: the whole of it is in its `study.json`."""
    named = {
        key: value["name"] if isinstance(value, Mapping) and "name" in value else value
        for key, value in info.identity.items()
    }
    named["teacher"] = named.get("teacher") or "none"
    return _flat({**named, "budget": str(info.budget)})


def network_params(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """An architecture as columns to sort and to draw by: its stages as words and numbers.

    Args:
        architecture: As `Architecture.to_dict` describes it.
    """
    stages = architecture["stages"]
    words = ", ".join(f"{s['depth']}x {s['block']} of {s['width']}" for s in stages)
    depth = sum(stage["depth"] for stage in stages)
    blocks = " ".join(dict.fromkeys(stage["block"] for stage in stages))
    own = {"depth": depth, "block": blocks or "none", "stages": words or "none"}
    return {**_flat(architecture), **own}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as dotted names."""
    named: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            named |= _flat(value, f"{prefix}{key}.")
        else:
            named[prefix + key] = value
    return named


def model_name(name: str) -> str:
    """Without the characters that MLflow refuses in names of models."""
    return re.sub(r"[^\w-]", "_", name)


def server_command(uri: str, host: str, port: int) -> tuple[list[str], dict[str, str]]:
    """The command and environment that show a tracking store in a browser.

    Job execution stays off: it takes three quarters of the server's memory and nothing here
    needs it.
    """
    import sys

    command = [sys.executable, "-m", "mlflow", "server"]
    command += ["--host", host, "--port", str(port), "--workers", "1"]
    if (artifacts := _artifacts(uri)) is not None:
        command += ["--default-artifact-root", artifacts]
    # Not as an argument: everybody on the machine can read those.
    store = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return command, {**os.environ, **store}


def _artifacts(uri: str) -> str | None:
    """Beside an SQLite file; None leaves it to the server."""
    file = sqlite_file(uri)
    if file is None:
        return None
    return (file.absolute().parent / f"{file.stem}-artifacts").as_uri()
