"""The note on a study's run: what it tells, and that words from outside mark nothing up."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from quick_search import BUDGET

from search_spaces import Architecture
from studies.candidate import Candidate
from studies.front import hypervolume, trained
from studies.markdown import code, plain
from studies.outcome import Runtime, Size, Trained
from studies.promoted import Promotion
from studies.record import Record
from studies.settings import StudyInfo
from studies.story import front_markdown, next_commands, story

IDENTITY = {
    "budget": BUDGET.to_dict(),
    "space": {"name": "small"},
    "target": {"name": "quick", "note": "predicted, error 12%"},
    "data": {"name": "photos", "digest": "0" * 64},
    "proxy": {"steps": 60, "batch": 4},
}
INFO = StudyInfo("quick", IDENTITY, ())


def record(trial: int, gain: float, ms: float, name: str) -> Record:
    outcome = Trained(gain, {}, {}, Runtime(ms, "predicted", "quick"), Size(1, 1))
    return Record(Candidate(trial, Architecture(), name), outcome)


RECORDS = [record(0, 0.1, 0.5, "Lanczos++"), record(1, 0.2, 1.0, "wide")]
EVIL = "a`b | <img src=x onerror=alert(1)> **c**\n\n# d [e](http://f)"


def test_the_note_tells_what_was_searched_and_found():
    note = story(INFO, RECORDS)
    assert "**quick** searched `small` under 2 ms." in note
    assert "- target: `quick` (predicted, error 12%)" in note
    assert "- proxy: steps 60, batch 4" in note
    assert f"hypervolume is {hypervolume(trained(RECORDS), BUDGET.runtime_ms):.3f} dB" in note
    assert "| 0 | Lanczos++ | +0.100 |" in note
    assert note.endswith("```\nnas front quick\nnas promote quick\n```")


def test_names_from_outside_mark_nothing_up():
    identity = {key: {"name": EVIL, "note": EVIL} for key in ("space", "target", "data")}
    plainly = story(replace(INFO, identity={**IDENTITY, "space": {"name": "x"}}), RECORDS)
    note = story(replace(INFO, identity={**IDENTITY, **identity}), RECORDS)
    assert len(note.splitlines()) == len(plainly.splitlines()), "no name makes a line of its own"
    row = front_markdown([record(0, 0.1, 0.5, EVIL)]).splitlines()[-1]
    assert "&lt;img" in row and "<" not in row and r"\*\*c\*\*" in row
    assert row.replace(r"\|", "").count("|") == 8, "a bar in a name makes no cell"
    assert code(EVIL) == "`a'b | <img src=x onerror=alert(1)> **c** # d [e](http://f)`"
    assert code("") == "`unnamed`"


@pytest.mark.parametrize("name", ["Lanczos++", "USTC Noah", "wide-8 (x2)"])
def test_ordinary_names_stay_as_they_are(name):
    assert plain(name) == name and code(name) == f"`{name}`"


def test_commands_survive_the_shell():
    registered = "super resolution $(date)"
    champion = Promotion(
        **dict.fromkeys(
            ("study", "architecture", "recipe", "data", "data_name", "teacher", "digest"), "x"
        ),
        **{"name": "wide", "runtime_kind": "predicted", "runtime_target": "quick"},
        **dict.fromkeys(("trial", "steps", "seed", "params"), 1),
        **dict.fromkeys(("proxy_gain_db", "gain_db", "runtime_ms", "macs_g", "seconds"), 1.0),
        gain_db_per_qp={},
        psnr_y_db={},
        onnx_error=None,
        made_by={},
    )
    export, upscale, serve = map(shlex.split, next_commands(INFO, RECORDS, (champion,), registered))
    model = f"models:/{registered}@champion"
    assert (export[:3], upscale[-1], serve[4]) == (["nas", "export", model], model, model)
