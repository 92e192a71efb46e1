"""What MLflow must hold of a study, whatever came between."""

from __future__ import annotations

from collections import Counter

from mlflow import MlflowClient


def logged_once(uri: str, records) -> list:
    """Check that MLflow has each trial once, whole; return the trials' runs."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("nas-workbench").experiment_id
    children = client.search_runs([experiment], "tags.kind = 'trial'")
    got = Counter(int(run.data.tags["trial"]) for run in children)
    assert got == Counter(record.trial for record in records)
    assert {run.info.status for run in children} <= {"FINISHED", "FAILED", "KILLED"}
    assert len(client.search_runs([experiment], "tags.kind = 'study'")) == 1
    return list(children)
