"""Trainings, sets and runtimes that an earlier version stored are read and continued."""

from __future__ import annotations

import hashlib
import io
import json
import pickletools
import struct
import zipfile

import pytest
from contract import GOLDEN, agrees, command, document, stored

TRAIN = (
    *("train", "small.json", "--recipe", "two-stages.yaml", "--data", "set", "--teacher", "none"),
    *("--seed", 1, "--device", "cpu", "--tracking-uri", "none", "--json"),
)
"""The command of the stored trainings: ``stopped`` was interrupted in its second stage."""


@pytest.fixture
def folder(tmp_path):
    """A folder with the stored trainings and the set that they are of."""
    stored("set", tmp_path)
    return stored("training", tmp_path).rename(tmp_path / "trainings").parent


def trained(folder, name):
    """Run the command of the trainings: its document, and what it says while it trains."""
    for each in ("small.json", "two-stages.yaml"):
        (folder / each).write_bytes((folder / "trainings" / each).read_bytes())
    code, out, err = command(*TRAIN, "--out", f"trainings/{name}", cwd=folder, OMP_NUM_THREADS="1")
    assert code == 0, err
    return json.loads(out), err


def test_a_stopped_training_is_continued_by_the_same_command(folder):
    """It ends like the one that was not stopped."""
    found, said = trained(folder, "stopped")
    assert "step 13 of 22" in said
    whole = json.loads((folder / "trainings" / "finished" / "training.json").read_text())
    assert found["gain_db"] == pytest.approx(whole["result"]["gain_db"], abs=1e-3)
    got = json.loads((folder / "trainings" / "stopped" / "training.json").read_text())
    assert got["settings"] == whole["settings"]
    assert got["facts"] == whole["facts"]
    assert got.keys() == whole.keys()
    assert got["result"].keys() == whole["result"].keys()
    files = sorted(each.name for each in (folder / "trainings" / "stopped").iterdir())
    expected = ["best.safetensors", "checkpoint.pt", "curve.jsonl", "last.safetensors"]
    assert files == [*expected, "training.json"]


def test_a_finished_training_is_not_done_again(folder):
    before = (folder / "trainings" / "finished" / "last.safetensors").read_bytes()
    found, _ = trained(folder, "finished")
    result = json.loads((folder / "trainings" / "finished" / "training.json").read_text())["result"]
    assert {name: found[name] for name in result} == result
    assert (folder / "trainings" / "finished" / "last.safetensors").read_bytes() == before


def test_a_training_of_other_settings_is_refused(folder):
    (folder / "small.json").write_bytes((folder / "trainings" / "small.json").read_bytes())
    (folder / "two-stages.yaml").write_bytes(
        (folder / "trainings" / "two-stages.yaml").read_bytes()
    )
    line = [*TRAIN, "--out", "trainings/stopped", "--seed", 2]
    code, out, err = command(*line, cwd=folder)
    assert (code, out) == (2, "")
    assert "another seed" in err


def test_a_checkpoint_names_no_module_of_ours():
    """So that modules may move: it holds tensors, numbers and strings alone."""
    content = (GOLDEN / "training" / "stopped" / "checkpoint.pt").read_bytes()
    seal, saved = content[:64], content[64:]
    assert hashlib.sha256(saved).hexdigest().encode() == seal
    with zipfile.ZipFile(io.BytesIO(saved)) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("data.pkl"))
        operations = list(pickletools.genops(archive.read(name)))
    classes = {str(argument) for code, argument, _ in operations if code.name == "GLOBAL"}
    assert classes and all(
        each.split(".")[0].split()[0] in {"torch", "collections"} for each in classes
    )
    assert not any(code.name == "STACK_GLOBAL" for code, _, _ in operations)


def test_a_model_says_what_it_is():
    """The header of a model's file; `nas export` and every ``MODEL`` read it."""
    content = (GOLDEN / "training" / "finished" / "best.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    agrees("training/header.json", header)
    assert header["__metadata__"]["format"] == "nas-workbench-1"


def test_a_folder_of_a_training_is_a_model(folder):
    line = ("export", "trainings/finished", "-o", "model.safetensors")
    made = document(*line, cwd=folder)
    assert made["name"] == "small"
    whole = json.loads((folder / "trainings" / "finished" / "training.json").read_text())
    line = ("evaluate", "trainings/finished", "--data", "set", "--target", "rtx4090")
    found = document(*line, "--out", "evaluated", "--device", "cpu", cwd=folder)
    (model,) = found["models"]
    assert model["gain_db"] == pytest.approx(whole["result"]["gain_db"], abs=1e-3)
    files = {"evaluation.json", "evaluation.md", "table1.csv", "pictures.csv"}
    assert files <= {each.name for each in (folder / "evaluated").iterdir()}


def test_a_prepared_set_is_described_alike(folder):
    assert json.loads((folder / "set" / "manifest.json").read_text())["version"] == 1
    agrees("set.json", document("data", "info", "set", cwd=folder))


def test_a_prepared_set_is_reused(folder):
    """The same pictures are not made again: their records and files are known by hash."""
    manifest = (folder / "set" / "manifest.json").read_bytes()
    pictures = folder / "pictures"
    pictures.mkdir()
    for each in (folder / "set" / "hr").iterdir():
        (pictures / f"{each.stem.split('-')[0]}.png").write_bytes(each.read_bytes())
    line = ("data", "prepare", "pictures", "--out", "set", "--qps", "31,63")
    found = document(*line, "--validation", 0.34, cwd=folder)
    assert found == {"made": 0, "reused": 3, "skipped": [], "duplicates": []}
    assert (folder / "set" / "manifest.json").read_bytes() == manifest


def test_a_store_of_runtimes_is_fitted_alike(tmp_path):
    """The profile is read back as a target, and so is the stored one."""
    stored("latency", tmp_path)
    found = document("latency", "fit", "latency", "-o", "p.json", "--name", "tiny", cwd=tmp_path)
    profile = json.loads((tmp_path / "p.json").read_text())
    expected = json.loads((GOLDEN / "profile.json").read_text())
    assert profile.keys() == expected.keys()
    assert profile["prices"] == pytest.approx(expected["prices"], rel=1e-6, abs=1e-12)
    assert found["runtimes"] == 9
    stored("profile.json", tmp_path)
    fresh, kept = (
        document("latency", "PixelArtAI", "--target", name, cwd=tmp_path)["runtime_ms"]
        for name in ("p.json", "profile.json")
    )
    assert fresh == pytest.approx(kept, rel=1e-6)
