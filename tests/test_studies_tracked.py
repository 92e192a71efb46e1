"""A search with MLflow beside it: what fails there never stops it, and is delivered later."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import nullcontext

from mlflow import MlflowClient
from quick_search import TRIALS, Quick, settings

from studies.core.info import StudyInfo
from studies.search import conduct
from studies.tracking import EXPERIMENT
from studies.tracking.writer import study_courier


def children(uri: str) -> Counter[str]:
    """Trials in the store, by what became of them."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    runs = client.search_runs([experiment], "tags.kind = 'trial'")
    assert len({run.data.tags["trial"] for run in runs}) == len(runs)
    return Counter(run.data.tags["outcome"] for run in runs)


def note_of(uri: str) -> str:
    """What the study's run says of it."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    (parent,) = client.search_runs([experiment], "tags.kind = 'study'")
    return parent.data.tags["mlflow.note.content"]


def test_a_server_that_is_away_stops_nothing_and_is_made_up_for_later(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = "http://user:secret@127.0.0.1:9"
    identity = {**settings(tmp_path).identity, "teacher": {"name": "hat-tiny"}}
    study = settings(tmp_path, identity=identity, teacher_gain_db=0.2834)
    summary = conduct(study, Quick(), tracking_uri=away)
    assert summary.counts.done == TRIALS
    assert summary.tracking_fault and "secret" not in summary.tracking_fault
    assert summary.tracking_uri == "http://user:***@127.0.0.1:9"

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    again = conduct(study, Quick(), tracking_uri=uri)
    assert again.records == summary.records and again.tracking_fault is None
    found = children(uri)
    tally = again.counts
    assert found == {
        "trained": tally.trained,
        "rejected": tally.rejected,
        "broken": tally.broken,
    }
    note = note_of(uri)
    assert "teacher: `hat-tiny`, +0.283 dB over Lanczos on the held-out pictures" in note
    assert f"nas promote quick --storage {study.store.url} --tracking-uri {uri}" in note


def test_a_store_that_hangs_keeps_nobody_waiting(tmp_path, monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(
        "studies.tracking.StudyTracking.deliver", lambda *args, **more: never.wait(60)
    )
    monkeypatch.setattr("studies.tracking.writer._CLOSE_S", 0.3)
    info = StudyInfo("quick", settings(tmp_path).fixed, ())
    courier = study_courier(f"sqlite:///{tmp_path}/mlflow.db", info, tmp_path, nullcontext)
    courier.bring([])
    fault = courier.close([])
    never.set()
    assert fault == "it has not answered for 0 s"


def test_a_view_that_cannot_be_made_at_all_is_a_fault_not_a_crash(tmp_path):
    info = StudyInfo("quick", settings(tmp_path).fixed, ())
    fault = study_courier("nonsense://", info, tmp_path, nullcontext).close([])
    assert fault and "\n" not in fault
