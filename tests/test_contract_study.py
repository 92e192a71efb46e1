"""A study that an earlier version stored reads the same, and the same command continues it.

It holds every kind of outcome: trained (trials 0 to 5, of which 4 is below Lanczos and 5 tints),
rejected by each limit, stopped at a rung, broken in each way, a duplicate, trials that a run gave
back or was killed at, one that was killed five times, repeats, and a claim and a trial of a run
that is gone.
"""

from __future__ import annotations

import html
import json
import re
import sqlite3
from contextlib import closing

import pytest
from contract import (
    STUDY,
    agrees,
    agrees_in_part,
    command,
    document,
    same_numbers,
    stored_study,
    stored_tracking,
    weights_hash,
)

SEARCH = (
    *("search", "--space", "tiny.yaml", "--budget", "0.4ms..1.5ms", "--max-macs", "5G"),
    *("--max-params", "24k", "--max-memory", "105.87M", "--seed", 3, "--trials", 11, "--steps", 6),
    *("--data", "set", "--teacher", "none", "--concurrency", 1),
)
"""The command that made the stored study."""

RETRIED = 33
"""The trial that it asks for next: what trial 32 was, when its run was killed."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the study, which the tests only read."""
    folder = tmp_path_factory.mktemp("study")
    stored_study(folder)
    return folder


@pytest.mark.parametrize("name", ["front", "studies"])
def test_a_table_of_the_study_is_the_stored_one(folder, name):
    code, out, err = command(name, cwd=folder)
    assert (code, err) == (0, "")
    agrees(f"study/{name}.txt", out)


@pytest.mark.parametrize("name", ["front", "studies"])
def test_a_document_of_the_study_is_the_stored_one(folder, name):
    agrees(f"study/{name}.json", document(name, cwd=folder))


def test_a_study_is_found_by_the_beginning_of_its_name(folder):
    assert document("front", "tiny", cwd=folder) == document("front", STUDY, cwd=folder)


def test_the_report_says_what_the_stored_one_says(folder):
    """Only its text: pictures and plots are free to change."""
    assert document("report", cwd=folder)["report"] == "report.html"
    page = (folder / "report.html").read_text()
    page = re.sub(r"<(script|style|svg)\b.*?</\1>", "", page, flags=re.S)
    lines = (line.strip() for line in html.unescape(re.sub(r"<[^>]*>", "\n", page)).splitlines())
    agrees("study/report.txt", "\n".join(filter(None, lines)) + "\n")


def test_the_same_winners_are_to_be_promoted(folder):
    plan = ("promote", "--dry-run", "--recipe", "light", "--steps", 20, "--top", 2)
    agrees("study/promote.json", document(*plan, cwd=folder))


def test_a_trial_is_a_model(folder):
    """``STUDY/TRIAL`` names the weights of a trial; they are in the folder as they always were."""
    model = f"{STUDY}/2"
    made = document("export", model, "-o", "model.safetensors", cwd=folder)
    assert made["error"] <= made["error_bound"]
    agrees("study/cost.json", document("cost", model, cwd=folder))


def test_the_command_of_the_study_names_the_same_study(folder):
    """The name has a hash of space, limits, seed, data, target and training."""
    plan = document(*SEARCH, "--dry-run", cwd=folder)
    assert plan["study"] == STUDY
    timed = ("seconds_each", "seconds", "trainings", "notes")
    agrees("study/plan.json", {name: plan[name] for name in plan if name not in timed})


def trials(folder):
    """Attributes of the trials by number, and the study's own, as they are stored."""
    with closing(sqlite3.connect(folder / "studies.db")) as database:
        found = {}
        for number, state in database.execute("SELECT number, state FROM trials ORDER BY number"):
            found[number] = {"state": state}
        rows = database.execute(
            "SELECT number, key, value_json FROM trial_user_attributes JOIN trials USING (trial_id)"
        )
        for number, key, value in rows:
            found[number][key] = json.loads(value)
        rows = database.execute("SELECT key, value_json FROM study_user_attributes")
        return found, {key: json.loads(value) for key, value in rows}


@pytest.fixture(scope="module")
def continued(tmp_path_factory):
    """A folder in which the same command has continued the study, and what it printed.

    One trial is left to train: that whose run was killed.
    """
    folder = tmp_path_factory.mktemp("continued")
    stored_study(folder)
    stored_tracking(folder)
    # Ray lowers the priority of workers, which then wait for all else that the machine does.
    quick = {"RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}
    code, out, err = command(*SEARCH, "--json", cwd=folder, **quick)
    assert code == 0, err
    return folder, json.loads(out)


def test_the_same_command_continues_the_study(folder, continued):
    """It trains the candidate again whose run was killed, writes alike, and loses nothing."""
    before, study_before = trials(folder)
    after, study = trials(continued[0])
    left = max(before)
    assert before[left]["state"] == "RUNNING"
    assert after[left]["state"] == "FAIL"
    ended = before.keys() - {left}
    assert {number: after[number] for number in ended} == {n: before[n] for n in ended}
    assert after.keys() - before.keys() == {RETRIED}
    retried = after[RETRIED]
    assert retried["retry_of"] == left
    assert retried["cut_off"] == 1
    assert retried["candidate"] == {**before[left]["candidate"], "trial": RETRIED}
    assert retried["state"] == "COMPLETE"
    assert retried.keys() == before[24].keys()
    assert retried["outcome"].keys() == before[24]["outcome"].keys()
    assert study["identity"] == study_before["identity"]
    assert len(study["runs"]) == len(study_before["runs"]) + 1
    assert study["runs"][-1].keys() == study_before["runs"][-1].keys()
    assert [member["trial"] for member in continued[1]] == [24, 0, 1, 2]


def test_a_proxy_run_gives_the_same_bits(continued):
    """The gain and the deploy weights of the trial that was trained; on one thread of a CPU."""
    outcome = trials(continued[0])[0][RETRIED]["outcome"]
    weights = continued[0] / "studies-files" / STUDY / "weights" / outcome["weights"]["file"]
    assert weights.name.startswith(f"{RETRIED:05}-")
    same_numbers("proxy run", outcome["gain_db"], {"weights": weights_hash(weights)})


def tracked(folder):
    """MLflow's runs of trials and of the study: name, trial and kind by the run's id."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        return {
            run: (name, *kind)
            for run, name, *kind in database.execute(
                "SELECT run_uuid, name, trial.value, kind.value FROM runs "
                "LEFT JOIN tags AS trial USING (run_uuid) LEFT JOIN tags AS kind USING (run_uuid) "
                "WHERE trial.key = 'trial' AND kind.key = 'kind'"
            )
        }


def test_mlflow_gets_the_new_trial_and_no_other_twice(tmp_path, continued):
    stored_tracking(tmp_path)
    before, after = tracked(tmp_path), tracked(continued[0])
    assert before.items() <= after.items()
    new = [after[run] for run in after.keys() - before.keys()]
    assert new == [(f"{RETRIED:03} conv-8-no_body-tail3-gelu", str(RETRIED), "trial")]


@pytest.mark.parametrize("kind", ["trial", "study"])
def test_mlflow_is_given_the_stored_names(continued, kind):
    """Tags, parameters and metrics by which people filter and sort their runs."""
    found = {}
    with closing(sqlite3.connect(continued[0] / "mlflow.db")) as database:
        for table in ("tags", "params", "latest_metrics"):
            rows = database.execute(
                f"SELECT DISTINCT key FROM {table} WHERE run_uuid IN "
                "(SELECT run_uuid FROM tags WHERE key = 'kind' AND value = ?) ORDER BY key",
                [kind],
            )
            found[table] = [key for (key,) in rows]
    agrees_in_part("study/mlflow.json", kind, found)
