"""The search's own process killed at every moment there is, and clocks that jump meanwhile.

See ``docs/faults.md``.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from deliveries import told_once
from mlflow import MlflowClient
from quick_search import TRIALS, Quick, settings

from studies.outcome import Trained
from studies.reading import read_study
from studies.record import counts
from studies.review.spent import spent
from studies.search import conduct
from studies.weights import weights_file

PROGRAM = str(Path(__file__).parent / "killed_moments.py")


def killed_again_and_again(folder: Path, growth: int, *tracking: str) -> int:
    done = subprocess.run(
        [sys.executable, PROGRAM, str(folder), str(growth), *tracking],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def sound(folder: Path):
    """Check a study that has come to its end; return its records."""
    study = settings(folder)
    _, records = read_study(study.storage, study.name)
    tally = counts(records)
    assert (tally.done, tally.running) == (TRIALS, 0)
    own = [r.candidate.layout for r in records if r.duplicate_of is None]
    assert max(Counter(own).values()) == 1, "evaluated twice"
    files = folder / "studies-files" / "quick"
    assert all(weights_file(r.outcome, files) for r in records if isinstance(r.outcome, Trained))
    return records


def test_killed_before_one_write_after_another_nothing_is_lost_or_counted_twice(tmp_path):
    assert killed_again_and_again(tmp_path, 23) > 5
    records = sound(tmp_path)
    trained = Counter((tmp_path / "log").read_text().split())
    again = conduct(settings(tmp_path), Quick(tmp_path / "log"))
    assert again.records == records
    assert Counter((tmp_path / "log").read_text().split()) == trained


def test_killed_while_mlflow_is_told_each_trial_is_there_once(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert killed_again_and_again(tmp_path, 110, uri) > 3
    records = sound(tmp_path)
    children = told_once(uri, records)
    client, experiment = MlflowClient(uri), children[0].info.experiment_id
    models = client.search_logged_models([experiment])
    assert Counter(model.source_run_id for model in models) == Counter(
        run.info.run_id for run in children if run.info.status == "FINISHED"
    )


@pytest.mark.parametrize(
    "moved",
    [
        "datetime_start = datetime(datetime_start, '+400 days'),"
        " datetime_complete = datetime(datetime_complete, '+400 days')",
        "datetime_start = datetime(datetime_start, '-400 days'),"
        " datetime_complete = datetime(datetime_complete, '-400 days')",
        "datetime_complete = datetime(datetime_start, '-1 hour')",
    ],
    ids=["back", "forward", "back within trials"],
)
def test_a_clock_that_jumps_changes_no_result(tmp_path, moved):
    """As if the clock of the first run had been another one."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    half = conduct(settings(tmp_path, trials=TRIALS // 2), Quick()).records
    database = sqlite3.connect(tmp_path / "studies.db")
    database.execute(f"UPDATE trials SET {moved}")
    database.commit()
    database.close()
    whole = conduct(settings(tmp_path), Quick(), tracking_uri=uri)
    assert whole.counts.done == TRIALS and whole.tracking_fault is None
    assert [r.outcome for r in whole.records[: len(half)]] == [r.outcome for r in half]
    steady = conduct(settings(tmp_path, name="steady"), Quick())
    assert [m.trial for m in steady.front] == [m.trial for m in whole.front]
    times = spent(whole.records)
    assert 0 <= times.wall_s < 60 and times.overhead_s >= 0
