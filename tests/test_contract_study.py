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
from contract import STUDY, agrees, command, document, stored_study

SEARCH = (
    *("search", "--space", "tiny.yaml", "--budget", "0.4ms..1.5ms", "--max-macs", "5G"),
    *("--max-params", "24k", "--max-memory", "105.87M", "--seed", 3, "--trials", 11, "--steps", 6),
    *("--data", "set", "--teacher", "none", "--tracking-uri", "none", "--concurrency", 1),
)
"""The command that made the stored study."""


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


def test_the_same_command_continues_the_study(tmp_path):
    """It trains the candidate again whose run was killed, writes alike, and loses nothing."""
    stored_study(tmp_path)
    before, study_before = trials(tmp_path)
    # Ray lowers the priority of workers, which then wait for all else that the machine does.
    code, out, err = command(*SEARCH, "--json", cwd=tmp_path, RAY_worker_niceness="0")
    assert code == 0, err
    after, study = trials(tmp_path)
    left = max(before)
    assert before[left]["state"] == "RUNNING"
    assert after[left]["state"] == "FAIL"
    assert {number: after[number] for number in before if number != left} == {
        number: before[number] for number in before if number != left
    }
    (new,) = after.keys() - before.keys()
    assert after[new]["retry_of"] == left
    assert after[new]["cut_off"] == 1
    assert after[new]["candidate"] == {**before[left]["candidate"], "trial": new}
    assert after[new]["state"] == "COMPLETE"
    assert after[new].keys() == before[24].keys()
    assert after[new]["outcome"].keys() == before[24]["outcome"].keys()
    assert study["identity"] == study_before["identity"]
    assert len(study["runs"]) == len(study_before["runs"]) + 1
    assert study["runs"][-1].keys() == study_before["runs"][-1].keys()
    weights = tmp_path / "studies-files" / STUDY / "weights"
    assert [each.name for each in weights.glob(f"{new:05}-*")] == [
        after[new]["outcome"]["weights"]["file"]
    ]
    assert [member["trial"] for member in json.loads(out)] == [24, 0, 1, 2]
