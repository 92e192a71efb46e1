"""The search's own process killed at every moment there is, and clocks that jump meanwhile.

See ``docs/faults.md``.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from deliveries import told_once
from killed_searches import TRIALS as KILLED_TRIALS
from mlflow import MlflowClient
from quick_search import TRIALS, Quick, settings, states

from studies.core.outcome import Trained
from studies.core.record import count
from studies.core.weights import weights_file
from studies.results.analysis import spent
from studies.results.snapshot import load
from studies.search import conduct

ROOT = Path(__file__).parent.parent


def output_of(program: str, *arguments: object) -> str:
    """Run a program of this folder."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / program), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def killed_again_and_again(folder: Path, growth: int, *tracking: str) -> int:
    return int(output_of("killed_moments.py", folder, growth, *tracking))


def sound(folder: Path, trials: int = TRIALS):
    """Check a study that has come to its end; return its records."""
    study = settings(folder)
    records = load(study.store, study.name).records
    tally = count(records)
    assert (tally.done, tally.running) == (trials, 0)
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


@pytest.mark.parametrize("runner", [(), pytest.param(("--ray",), marks=pytest.mark.slow)])
def test_a_search_outlives_its_process_whatever_kills_it_and_when(tmp_path, runner):
    """Ten searches, whose process meets three signals each."""
    results = json.loads(output_of("killed_searches.py", tmp_path, 10, *runner))
    assert len(results) == 10
    for number, result in enumerate(results):
        assert result["code"] == 0, result
        assert len(set(result["met"])) == 3
        said = result["said"].splitlines()
        assert [re.sub("attempt [2-4]", "attempt N", line) for line in said] == [
            f"nas: the process that runs the search died ({signal}); continuing: attempt N of 5."
            for signal in result["met"]
        ]
        records = sound(tmp_path / str(number), KILLED_TRIALS)
        trained = Counter((tmp_path / str(number) / "log").read_text().split())
        cut_off = states(tmp_path / str(number))["FAIL"]  # some of them more than once
        assert sum(record.retry_of is not None for record in records) <= cut_off
        assert trained.total() <= len(trained) + cut_off
        assert len(trained) <= KILLED_TRIALS
