"""The note on a study's run: what it tells, and that words from outside mark nothing up."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from quick_search import BUDGET

from nas.common.text import code, plain
from search_spaces import Architecture
from studies.core.candidate import Candidate
from studies.core.info import StudyInfo
from studies.core.outcome import Runtime, Size, Trained
from studies.core.record import Record
from studies.report.summary import Places, front_markdown, next_commands, story
from studies.results.front import hypervolume, reference_of, trained
from studies.results.promotions import Promotion

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
HERE = Places()
EVIL = "a`b | <img src=x onerror=alert(1)> **c**\n\n# d [e](http://f)"


def test_the_note_tells_what_was_searched_and_found():
    note = story(INFO, RECORDS, HERE)
    assert "**quick** searched `small` under 2 ms." in note
    best = "trial 1 (wide): **+0.200 dB** over Lanczos at 1.000 ms predicted."
    assert f"The best compromise is {best}" in note.splitlines()[2]
    assert "- target: `quick` (predicted, error 12%)" in note
    assert "- proxy: steps 60, batch 4" in note
    assert (
        f"hypervolume is {hypervolume(trained(RECORDS), reference_of((), BUDGET)):.3f} dB" in note
    )
    assert "| 0 | Lanczos++ layout | +0.100 | 100% |" in note
    assert "no other network is better (seed noise 0.005 dB, shipped)." in note
    assert note.endswith("```\nnas front quick\nnas promote quick\n```")


def test_the_note_tells_colour_and_who_tints():
    outcome = replace(RECORDS[1].outcome, gain_cb_db=0.2, gain_cr_db=-0.05)
    tinted = replace(outcome, gain_db=0.9, gain_cr_db=-0.45)
    records = [
        replace(RECORDS[1], outcome=outcome),
        replace(RECORDS[0], candidate=Candidate(4, Architecture()), outcome=tinted, tints=True),
    ]
    note = story(INFO, records, HERE)
    assert "at 1.000 ms predicted (Cb +0.200 dB, Cr -0.050 dB)." in note
    assert "| +0.200 | 100% | -0.050 |" in note and "trial 4 (-0.450 dB)." in note
    alone = story(INFO, records[1:], HERE)
    assert "trial 4 (-0.450 dB)." in alone and "nas promote" not in alone


def test_names_from_outside_mark_nothing_up():
    identity = {key: {"name": EVIL, "note": EVIL} for key in ("space", "target", "data")}
    plainly = story(replace(INFO, identity={**IDENTITY, "space": {"name": "x"}}), RECORDS, HERE)
    note = story(replace(INFO, identity={**IDENTITY, **identity}), RECORDS, HERE)
    assert len(note.splitlines()) == len(plainly.splitlines()), "no name makes a line of its own"
    row = front_markdown([record(0, 0.1, 0.5, EVIL)]).splitlines()[-1]
    assert "&lt;img" in row and "<" not in row and r"\*\*c\*\*" in row
    assert row.replace(r"\|", "").count("|") == 10, "a bar in a name makes no cell"
    assert code(EVIL) == "`a'b | <img src=x onerror=alert(1)> **c** # d [e](http://f)`"
    assert code("") == "`unnamed`"


@pytest.mark.parametrize("name", ["Lanczos++", "USTC Noah", "wide-8 (x2)"])
def test_ordinary_names_stay_as_they_are(name):
    assert plain(name) == name and code(name) == f"`{name}`"


def test_the_note_tells_what_the_teacher_gains_where_a_run_has_measured_it():
    taught = replace(INFO, identity={**IDENTITY, "teacher": {"name": "hat-tiny"}})
    assert "- teacher: `hat-tiny`\n" in story(taught, RECORDS, HERE)
    measured = replace(taught, runs=({"teacher_gain_db": 0.2834}, {"teacher_gain_db": None}))
    told = "- teacher: `hat-tiny`, +0.283 dB over Lanczos on the held-out pictures\n"
    assert told in story(measured, RECORDS, HERE)


CHAMPION = Promotion(
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


def test_commands_survive_the_shell():
    registered = "super resolution $(date)"
    commands = next_commands(INFO, RECORDS, HERE, (CHAMPION,), registered)
    export, upscale, serve = map(shlex.split, commands)
    model = f"models:/{registered}@champion"
    assert (export[:3], upscale[-1], serve[5]) == (["nas", "export", model], model, model)
    assert serve[0] == "MLFLOW_TRACKING_URI=sqlite:///mlflow.db", "MLflow's own default varies"


@pytest.mark.parametrize("registered", [None, "sr"])
@pytest.mark.parametrize("champions", [(), (CHAMPION,)])
def test_commands_name_places_that_are_not_the_default(champions, registered):
    places = Places("sqlite:////data/my studies.db", "http://tracker:5000")
    for command in next_commands(INFO, RECORDS, places, champions, registered):
        words = shlex.split(command)
        of_models = "models:/" in command
        if words[0] == "nas":
            assert (words[-2:] == ["--tracking-uri", places.tracking_uri]) == (
                of_models or words[1] == "promote"
            )
            assert (places.storage in words) != of_models
        else:
            assert words[:2] == [f"MLFLOW_TRACKING_URI={places.tracking_uri}", "mlflow"]


def test_commands_take_secrets_from_the_environment_and_say_so():
    places = Places("postgresql://me:tr0ub4dor@db/nas", "https://me:s3cret@tracker?a=b")
    for champions, registered in [((), None), ((CHAMPION,), None), ((CHAMPION,), "sr")]:
        commands = next_commands(INFO, RECORDS, places, champions, registered)
        shown = "\n".join(commands)
        assert "tr0ub4dor" not in shown and "s3cret" not in shown
        for variable, masked_url in (
            ("NAS_STORAGE", "postgresql://me:***@db/nas"),
            ("MLFLOW_TRACKING_URI", "https://me:***@tracker?a=b"),
        ):
            used = f'"${variable}"' in shown
            set_first = [c for c in commands if c.startswith("#") and f" {variable}=" in c]
            assert len(set_first) == used
            assert not used or shlex.split(set_first[0])[-1] == f"{variable}={masked_url}"
    note = story(INFO, RECORDS, Places("postgresql://me:***@db/nas"))
    assert 'nas promote quick --storage "$NAS_STORAGE"' in note, "what is masked already, too"


def test_a_promoted_network_can_be_used_though_no_proxy_run_was_above_lanczos():
    below = [replace(RECORDS[0], outcome=replace(RECORDS[0].outcome, gain_db=-0.1))]
    assert next_commands(INFO, below, HERE) == ()
    *use, serve = next_commands(INFO, below, HERE, (CHAMPION,), "quick")
    assert any(command.startswith("nas export models:/quick@champion") for command in use)
    assert "mlflow models serve" in serve
