"""Several searches work on one study at once, share its goal, and take over what dies.

All of it in an SQLite file, and again on a PostgreSQL server.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from quick_search import TRIALS, Quick, outcome, settings, small_space
from servers import postgres

from studies.core.record import count
from studies.core.study import open_study
from studies.results.snapshot import load
from studies.search import conduct
from studies.storage.locks import is_alive, mark_alive
from studies.tracking.store import EXPERIMENT

PROGRAM = str(Path(__file__).with_name("quick_search.py"))


@pytest.fixture(scope="module")
def server():
    with postgres() as server:
        yield server


@pytest.fixture(autouse=True, params=["sqlite", "postgresql"])
def storage(request, tmp_path, monkeypatch):
    """Where the test's study lives: a database of its own."""
    if request.param == "postgresql":
        url = request.getfixturevalue("server").database(f"nas_{uuid4().hex}")
        monkeypatch.setenv("QUICK_STORAGE", url)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return request.param


def start(folder: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, PROGRAM, str(folder), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def records_in(folder: Path):
    return load(settings(folder).store, "quick").records


def test_two_searches_share_a_goal_and_train_nothing_twice(tmp_path, storage):
    both = [start(tmp_path, "--trials", "12", "--concurrency", "2") for _ in range(2)]
    for search in both:
        assert search.communicate(timeout=300)[0].endswith("done\n")
    tally = count(records_in(tmp_path))
    assert (tally.trained, tally.running) == (12, 0)
    keys = (tmp_path / "log").read_text().split()
    assert len(keys) == len(set(keys)) == 12
    if storage == "sqlite":
        locks = {lock.name for lock in tmp_path.glob(".studies-quick.*")}
        assert locks == {".studies-quick.turn.lock"}  # those of the runs are gone


def test_what_a_killed_search_left_is_taken_over_by_the_other(tmp_path):
    doomed = start(tmp_path, "--concurrency", "3", "--seconds", "30")
    started = 0
    for line in doomed.stdout:
        started += line.startswith("Started")
        if started == 3:
            break
    with open_study(settings(tmp_path, trials=TRIALS)) as study:
        first = study.ask()
        assert first is not None
        taken = {r.candidate.key for r in study.records if r.outcome is None} - {first.key}
        assert taken  # theirs count, and are not asked for here
        doomed.send_signal(signal.SIGKILL)
        doomed.communicate()
        assert {study.ask().key for _ in taken} == taken
        retries = [r.retry_of for r in records_in(tmp_path) if r.retry_of is not None]
        assert len(retries) == len(taken)
    assert count(conduct(settings(tmp_path), Quick()).records).trained == TRIALS


def test_an_equal_candidate_of_another_search_is_waited_for(tmp_path):
    space = small_space(width=[8, 12], residual=["none"])
    with (
        open_study(settings(tmp_path, space=space, trials=9)) as one,
        open_study(settings(tmp_path, space=space, trials=9)) as other,
    ):
        first = one.ask()
        second = other.ask()
        assert first.layout != second.layout
        assert other.ask() is None  # both are under way: nothing is left to ask for
        one.tell(first, outcome(first))
        assert other.ask() is None
        told = {r.trial: r for r in other.records}
        assert told[first.trial].outcome == told[first.trial].outcome is not None
        assert all(r.outcome is not None for r in told.values() if r.duplicate_of == first.trial)


def test_a_goal_that_others_are_about_to_reach_ends_a_search(tmp_path):
    with open_study(settings(tmp_path, trials=1)) as busy:
        while (candidate := busy.ask()) and not _trains(candidate):
            busy.tell(candidate, outcome(candidate))
        summary = conduct(settings(tmp_path, trials=1), Quick())
        assert summary.ended == "Another search on this study evaluates the last candidates."
        assert summary.counts.trained == 0
        busy.tell(candidate, outcome(candidate))
    assert count(records_in(tmp_path)).trained == 1


def test_mlflow_has_each_trial_of_two_searches_once(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"

    class Inner(Quick):
        """When some of its results are in MLflow, another search does half of the work."""

        def __call__(self, candidate):
            if not other and delivered():
                other.append(conduct(settings(tmp_path, trials=6), Quick(), tracking_uri=uri))
            return (yield from super().__call__(candidate))

    def delivered() -> bool:
        found = client.get_experiment_by_name(EXPERIMENT)
        return found and client.search_runs([found.experiment_id], "tags.kind = 'trial'")

    other: list = []
    client = MlflowClient(uri)
    summary = conduct(settings(tmp_path), Inner(seconds=0.1), tracking_uri=uri)
    assert summary.tracking_fault is None and summary.counts.trained == TRIALS
    assert other and other[0].counts.trained > 3
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    runs = client.search_runs([experiment], "tags.kind = 'trial'")
    assert sorted(int(run.data.tags["trial"]) for run in runs) == [
        record.trial for record in summary.records
    ]
    assert len(client.search_runs([experiment], "tags.kind = 'study'")) == 1


def test_presence_ends_with_its_process_whatever_ends_it(tmp_path, storage):
    store = settings(tmp_path).store
    assert not is_alive(store, "quick", "a1")
    with mark_alive(store, "quick", "a1"):
        assert is_alive(store, "quick", "a1") and not is_alive(store, "quick", "b2")
    assert not is_alive(store, "quick", "a1")
    program = (
        "import os; from studies.storage.locks import mark_alive\n"
        "from studies.storage.store import Store\n"
        f"with mark_alive(Store({store.url!r}), 'quick', 'c3'):\n"
        "    print(flush=True); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=False)
    if storage == "sqlite":
        assert list(tmp_path.glob("*c3*")) == [tmp_path / ".studies-quick.c3.lock"]
    assert not is_alive(store, "quick", "c3")
    assert not list(tmp_path.glob("*c3*"))


def _trains(candidate) -> bool:
    return type(outcome(candidate)).__name__ == "Trained"
