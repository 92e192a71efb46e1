"""Which promotion of a trial is the newest, and whether it is still what was written."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from promoting import RECIPE, copied, run, settings

from nas.cli.sources import model
from search_spaces import InputError
from studies import promoted
from studies.storage import study_folder
from studies.winners import Choice


@pytest.fixture
def folder(small_study, tmp_path, monkeypatch):
    """A study that a test may change, on a machine without ONNX, which takes seconds."""
    monkeypatch.setattr("studies.promotion.find_spec", lambda package: None)
    return copied(small_study, tmp_path)


def promote(folder, **changes):
    summary = run(settings(folder, choice=Choice(trials=(0,)), tracking_uri=None, **changes))
    return summary.plan.winners[0].folder, summary.promotions[0]


def test_the_newest_is_the_last_whatever_files_and_clocks_say(folder, tmp_path, monkeypatch):
    _, first = promote(folder)

    def earlier():
        yesterday = datetime.now(timezone.utc) - timedelta(days=1)
        return {"time": yesterday.isoformat(timespec="seconds"), "git": None}

    monkeypatch.setattr("studies.promotion.provenance", earlier)  # the clock was put right
    place, second = promote(folder, seed=1)
    assert (first.number, second.number) == (1, 2)

    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(folder / "studies.db", copy)
    files = study_folder(f"sqlite:///{copy}/studies.db", "demo")
    shutil.copytree(study_folder(f"sqlite:///{folder}/studies.db", "demo"), files)
    os.utime(place.parents[2] / "promoted" / "0" / place.name / promoted.RESULT, (0, 0))
    for root in (place.parents[2], files):
        assert list(promoted.ended(root).values()) == [first, second]
        assert promoted.promoted_model(root, 0).parent.name == place.name
    assert model("demo/0", storage=f"sqlite:///{copy}/studies.db").digest == second.digest


def test_those_of_earlier_versions_did_not_count_and_come_first(folder):
    place, first = promote(folder)
    for number, day in ((2, "2025-03-01"), (1, "2025-02-01")):
        older = place.with_name(f"older-{number}")
        shutil.copytree(place, older)
        made_by = {**first.made_by, "time": f"{day}T00:00:00+00:00"}
        promoted.write(older, replace(first, seed=number, made_by=made_by))
        text = (older / promoted.RESULT).read_text()
        (older / promoted.RESULT).write_text(text.replace('"number": 1', '"nothing": 1'))
    found = promoted.ended(place.parents[2]).values()
    assert [promotion.seed for promotion in found] == [1, 2, 0]
    assert promoted.next_number(place.parents[2]) == 2


def test_a_damaged_model_is_refused_and_made_again_by_the_same_command(folder):
    (folder / "quick.yaml").write_text(RECIPE)
    place, before = promote(folder)
    file = place / promoted.MODEL
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
        model("demo/0", storage=f"sqlite:///{folder}/studies.db")
    _, after = promote(folder)
    assert (after.digest, after.gain_db) == (before.digest, before.gain_db)
    assert model("demo/0", storage=f"sqlite:///{folder}/studies.db").digest == before.digest
