"""Which promotion of a trial is the newest, and whether it is still what was written."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from promoting import RECIPE, copied, run, settings
from refusals import refused

from nas.cli.model_arguments import model
from search_spaces import InputError
from studies.results import promotions
from studies.results.selection import Selection
from studies.storage.store import Store


@pytest.fixture(scope="module")
def once(small_study, tmp_path_factory):
    """A study one of whose trials has been promoted: (folder, the promotion's, what it says)."""
    folder = copied(small_study, tmp_path_factory.mktemp("once"), shown=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studies.promotion.run.find_spec", lambda package: None)
        return folder, *promote(folder)


@pytest.fixture
def folder(once, tmp_path, monkeypatch):
    """Its copy, which a test may change, on a machine without ONNX, which takes seconds."""
    monkeypatch.setattr("studies.promotion.run.find_spec", lambda package: None)
    return copied(once[0], tmp_path, shown=False)


@pytest.fixture
def first(once):
    return once[2]


@pytest.fixture
def place(once, folder):
    """Where the promotion lies in the copy."""
    return folder / once[1].relative_to(once[0])


def promote(folder, **changes):
    summary = run(
        settings(folder, selection=Selection(force=True, trials=(0,)), tracking_uri=None, **changes)
    )
    return summary.plan.winners[0].folder, summary.promotions[0]


def test_the_newest_is_the_last_whatever_files_and_clocks_say(folder, first, tmp_path, monkeypatch):
    def earlier():
        yesterday = datetime.now(timezone.utc) - timedelta(days=1)
        return {"time": yesterday.isoformat(timespec="seconds"), "git": None}

    monkeypatch.setattr("studies.promotion.run.provenance", earlier)  # the clock was put right
    place, second = promote(folder, seed=1)
    assert (first.number, second.number) == (1, 2)

    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(folder / "studies.db", copy)
    files = Store(f"sqlite:///{copy}/studies.db").folder("demo")
    shutil.copytree(Store(f"sqlite:///{folder}/studies.db").folder("demo"), files)
    os.utime(place.parents[2] / "promoted" / "0" / place.name / promotions.RESULT, (0, 0))
    for root in (place.parents[2], files):
        assert list(promotions.ended(root).values()) == [first, second]
        assert promotions.promoted_model(root, 0).parent.name == place.name
    assert model("demo/0", storage=f"sqlite:///{copy}/studies.db").digest == second.digest


def test_those_of_earlier_versions_did_not_count_and_come_first(place, first):
    for number, day in ((2, "2025-03-01"), (1, "2025-02-01")):
        older = place.with_name(f"older-{number}")
        shutil.copytree(place, older)
        made_by = {**first.made_by, "time": f"{day}T00:00:00+00:00"}
        promotions.write(older, replace(first, seed=number, made_by=made_by))
        told = json.loads((older / promotions.RESULT).read_text())
        del told["number"], told["sha256"]  # nor did they have a seal
        (older / promotions.RESULT).write_text(json.dumps(told))
    found = promotions.ended(place.parents[2]).values()
    assert [promotion.seed for promotion in found] == [1, 2, 0]
    assert promotions.next_number(place.parents[2]) == 2


def edited(path: Path, **changes) -> None:
    """Change what a file says by hand, in a file that has no seal."""
    told = {**json.loads(path.read_text()), **changes}
    told.pop("sha256", None)
    path.write_text(json.dumps(told))


DAMAGES = {
    "a digit": lambda path: path.write_text(path.read_text().replace('"seed": 0', '"seed": 1')),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("done"),
    "a list": lambda path: path.write_text("[]"),
    "too deep": lambda path: path.write_text("[" * 100_000),
    "a field is gone": lambda path: path.write_text('{"number": 1}'),
    "words": lambda path: edited(path, gain_db="much"),
    "no number": lambda path: edited(path, gain_db=float("nan")),
    "none": lambda path: edited(path, psnr_y_db={"31": None}),
    "a QP in words": lambda path: edited(path, psnr_y_db={"low": 30.0}),
}


TOLD = "promotion.json is damaged, it is not as it was written: remove it"


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_whatever_is_damaged_of_what_it_says_is_told(place, damage):
    assert promotions.read(place) is not None
    damage(place / promotions.RESULT)
    with pytest.raises(InputError, match=TOLD):
        promotions.read(place)


def test_every_command_that_reads_a_damaged_one_tells_it(folder, place, nas, monkeypatch):
    DAMAGES["cut short"](place / promotions.RESULT)
    monkeypatch.chdir(folder)
    refused(nas("report", "demo"), TOLD)
    refused(nas("cost", "demo/0"), TOLD)
    refused(nas("promote", "demo", "--force", "--trial", "1"), TOLD)
    assert not (place.parents[1] / "1").exists(), "before it trains"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        (promotions.MODEL, flip),
        (promotions.RESULT, DAMAGES["cut short"]),
        ("training.json", DAMAGES["cut short"]),
    ],
)
def test_what_is_damaged_of_one_is_seen_and_made_again(
    folder, place, first, nas, monkeypatch, file, damage
):
    def state():
        command = [
            "promote",
            "demo",
            "--force",
            "--trial",
            "0",
            "--recipe",
            "quick.yaml",
            "--dry-run",
        ]
        return json.loads(nas(*command, "--json")[1])["winners"][0]["state"]

    (folder / "quick.yaml").write_text(RECIPE)
    monkeypatch.chdir(folder)
    assert state() == f"done, {first.gain_db:+.3f} dB"
    damage(place / file)
    assert state() == "damaged, to be made again"
    if file == promotions.MODEL:
        with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
            model("demo/0", storage=f"sqlite:///{folder}/studies.db")
    _, after = promote(folder)
    assert (after.digest, after.gain_db) == (first.digest, first.gain_db)
    assert state() == f"done, {first.gain_db:+.3f} dB"
    assert model("demo/0", storage=f"sqlite:///{folder}/studies.db").digest == first.digest
