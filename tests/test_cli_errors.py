"""Bad input is reported in one sentence that names it, with exit code 2 and no traceback."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusals import refused
from safetensors.torch import save_file


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def picture(path: Path, side: int = 320, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("budget", ["8", "8 sec", "-1ms", "nan ms", "0ms", "ms"])
def test_a_malformed_budget(nas, budget):
    refused(nas("search", f"--budget={budget}"), "--budget", "8ms")


@pytest.mark.parametrize("option", ["--max-macs", "--max-params", "--max-memory"])
def test_a_malformed_count(nas, option):
    refused(nas("search", option, "many"), option, "many")


def test_a_malformed_limit_of_colour(nas):
    refused(nas("search", "--max-colour-loss", "little"), "--max-colour-loss", "0.1, or none")


def test_an_unknown_space(nas):
    got = "lightweight, balanced, quality or a YAML file"
    refused(nas("search", "--space", "light"), "'light'", got)


def test_a_space_with_an_unknown_dimension_or_an_empty_choice(nas, tmp_path):
    space = tmp_path / "mine.yaml"
    space.write_text("dimensions: {widht: [8]}")
    refused(nas("search", "--space", space), "mine.yaml", "'widht'", "width")
    space.write_text("dimensions: {width: []}")
    refused(nas("search", "--space", space), "mine.yaml", "'width'", "no choice")


def test_a_data_set_that_is_none(nas, tmp_path):
    refused(nas("search", "--data", tmp_path), str(tmp_path))
    refused(nas("data", "info", tmp_path / "absent"), "absent")


def test_a_folder_without_pictures(nas, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(nas("data", "prepare", "empty", "--out", "set"), "empty")
    refused(nas("data", "prepare", "absent", "--out", "set"), "absent")


def test_an_unreadable_picture_is_named_and_skipped_or_refused_when_strict(nas, tmp_path):
    for index in range(3):
        picture(tmp_path / "hr" / f"{index}.png", seed=index)
    (tmp_path / "hr" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    picture(tmp_path / "hr" / "small.png", side=20)
    code, out, err = nas("data", "prepare", "hr", "--out", "set", "--qps", "63")
    assert code == 0, err
    assert "torn.png" in err and "small.png" in err
    assert "3 images prepared" in out and "2 skipped" in out
    refused(nas("data", "prepare", "hr", "--out", "set", "--qps", "63", "--strict"), "small.png")


@pytest.mark.parametrize("qps", ["", "0", "64", "31,many"])
def test_impossible_qps(nas, tmp_path, qps):
    picture(tmp_path / "hr" / "a.png")
    refused(nas("data", "prepare", "hr", "--out", "set", f"--qps={qps}"), "--qps")


def test_a_teacher_file_that_is_no_teacher(nas, tmp_path):
    import torch

    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    refused(nas("teacher", "evaluate", "other.safetensors"), "other.safetensors", "no teacher")
    (tmp_path / "text.pth").write_text("hello")
    refused(nas("teacher", "evaluate", "text.pth"), "text.pth")
    refused(nas("teacher", "evaluate", "absent.pth"), "absent.pth", "hat-tiny")


def test_a_pickle_that_would_run_code_is_refused_and_not_run(nas, tmp_path):
    import pickle

    class Harm:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harmed",))

    (tmp_path / "bad.pth").write_bytes(pickle.dumps(Harm()))
    refused(nas("teacher", "evaluate", "bad.pth"), "bad.pth")
    assert not (tmp_path / "harmed").exists()


def test_a_file_that_is_no_study_database(nas, tmp_path):
    (tmp_path / "notes.db").write_text("these are notes, " * 100)
    refused(nas("front", "demo", "--storage", "sqlite:///notes.db"), "notes.db")
    refused(nas("front", "demo", "--storage", "sqlite:///absent.db"), "absent.db", "nas search")
    refused(nas("studies", "--storage", "here"), "--storage", "sqlite:///here")


def test_a_study_database_of_a_newer_schema(nas, tmp_path):
    import optuna

    optuna.create_study(storage="sqlite:///studies.db", study_name="demo")
    with sqlite3.connect(tmp_path / "studies.db") as database:
        database.execute("UPDATE version_info SET schema_version = 99")
        database.execute("UPDATE alembic_version SET version_num = 'v9.9.9'")
    refused(nas("front", "demo"), "studies.db", "version of Optuna")


def test_secrets_of_a_storage_url_are_not_repeated(nas):
    result = nas("front", "demo", "--storage", "postgresql://me:hunter2@127.0.0.1:1/db")
    refused(result, "127.0.0.1")
    assert "hunter2" not in result[2]


def test_a_runtime_without_a_unit_is_a_fault_of_its_own_option(nas):
    refused(nas("search", "--budget", "8"), "--budget '8'", "8ms")
    refused(nas("promote", "demo", "--under", "8"), "--under '8'", "8ms")


def test_no_tracking_store_to_show(nas):
    refused(nas("ui"), "mlflow.db", "nas search")
    Path("mlflow.db").write_bytes(b"no database" * 500)
    refused(nas("ui"), "mlflow.db", "not a database")


def test_an_unknown_network_lists_the_known_ones(nas):
    refused(nas("cost", "RepTNC"), "'RepTNC'", "RepTCN")


def test_a_network_file_with_a_wrong_field(nas, tmp_path):
    (tmp_path / "net.json").write_text('{"stem": "conv", "widht": 8}')
    refused(nas("cost", "net.json"), "net.json", "'widht'")


def test_cuda_where_there_is_none(nas):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    refused(nas("latency", "RepTCN", "--target", "cuda"), "cuda", "rtx4090")
    refused(nas("teacher", "evaluate", "--device", "cuda"), "--device cuda")


def test_a_gpu_without_memory_is_reported_in_a_sentence():
    import torch

    from nas.cli.errors import sentence_for

    fault = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee also")
    assert "out of memory" in sentence_for(fault) and "nvidia-smi" in sentence_for(fault)


def test_a_failing_disk_is_reported_in_a_sentence():
    from nas.cli.errors import sentence_for

    fault = OSError(errno.EIO, "Input/output error", "set/0801.avif")
    assert sentence_for(fault).startswith("set/0801.avif: the disk fails")


def test_debug_shows_the_traceback(nas):
    with pytest.raises(ValueError, match="RepTNC"):
        nas("cost", "RepTNC", "--debug")


def test_a_place_without_permission(nas, tmp_path, monkeypatch):
    import os

    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    picture(tmp_path / "hr" / "a.png")
    (tmp_path / "locked").mkdir(mode=0o500)
    refused(nas("data", "prepare", "hr", "--out", "locked/set"), "locked")


def test_an_output_below_a_file(nas, tmp_path):
    picture(tmp_path / "a.png", side=8)
    refused(nas("upscale", "a.png", "-o", "a.png/sub/b.png"), "a.png", "a folder is needed")
    refused(nas("upscale", "a.png", "-o", "a.png/b.png"), "a.png", "a folder is needed")
