"""Trainings that are told to end: whole steps are kept, the same command goes on from them."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import traceback
from pathlib import Path

import pytest
import torch
import torch._dynamo  # a first step of an optimiser does: here once for all commands
import yaml
from promoting import copied
from test_stopping import wait_for

from nas.cli import main
from nas.training.core import runtime, trainer
from nas.training.engine.stage import StageTrainer
from nas.training.teacher import run
from nas.training.teacher.run import train_teacher
from nas.training.teacher.task import TeacherTraining
from search_spaces import Architecture

STEPS = 1_000_000
RECIPE = yaml.safe_dump(
    {"stages": [{"steps": STEPS, "patch": 16, "batch": 1, "losses": {"mse": 1}}]}
)


def begin(arguments: list[str], folder: Path, said: Path) -> int:
    """Start a command in a process of its own, forked off this one, which has done the imports."""
    if (child := os.fork()) != 0:
        return child
    code = 1
    try:
        os.chdir(folder)
        sys.stdout = sys.stderr = said.open("w")
        sys.argv = ["nas", *arguments]
        for train in (run.train_teacher, trainer.train):
            train.__kwdefaults__["checkpoint_seconds"] = 0.2  # to see that it is under way
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def stopped(arguments: list[str], folder: Path, checkpoint: Path, how: signal.Signals) -> str:
    """Send a command a signal after its next checkpoint, and return what it said."""
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
    said = folder / "said"
    command = begin(arguments, folder, said)

    def ended() -> bool:
        return os.waitid(os.P_PID, command, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def saved() -> bool:
        there = checkpoint.exists() and checkpoint.stat().st_mtime_ns != before
        return there or ended()

    assert wait_for(saved, seconds=120)
    os.kill(command, how)
    assert wait_for(ended)
    _, status = os.waitpid(command, 0)
    told = said.read_text()
    assert os.waitstatus_to_exitcode(status) == 128 + how, told
    assert told.rstrip().endswith("nas: interrupted; the same command continues.")
    assert "Traceback" not in told
    return told


def steps_in(checkpoint: Path) -> int:
    saved = checkpoint.read_bytes()[64:]  # behind its hash
    return torch.load(io.BytesIO(saved), weights_only=True)["state"]["step"]


def test_a_training(pair_set, tmp_path):
    (tmp_path / "endless.yaml").write_text(RECIPE)
    (tmp_path / "small.json").write_text(Architecture(width=4).to_json())
    train = ["train", "small.json", "--recipe", "endless.yaml", "--data", str(pair_set.path)]
    train += ["--out", "out", "--tracking-uri", "none"]
    checkpoint = tmp_path / "out" / "checkpoint.pt"
    stopped(train, tmp_path, checkpoint, signal.SIGTERM)
    before = steps_in(checkpoint)
    said = stopped(train, tmp_path, checkpoint, signal.SIGHUP)
    assert f"continuing at step {before} of {STEPS}" in said
    assert steps_in(checkpoint) > before


def test_a_training_of_a_teacher(pair_set, tmp_path):
    train = ["teacher", "train", "t.safetensors", "--data", str(pair_set.path)]
    train += ["--patch", "16", "--batch", "1"]
    stopped(train, tmp_path, tmp_path / "t.checkpoint.pt", signal.SIGTERM)
    assert steps_in(tmp_path / "t.checkpoint.pt") > 0


def test_a_promotion(small_study, tmp_path, nas, monkeypatch):
    folder = copied(small_study, tmp_path, shown=False)
    (folder / "quick.yaml").write_text(RECIPE)
    promote = ["promote", "demo", "--force", "--trial", "0", "--recipe", "quick.yaml"]
    promote += ["--tracking-uri", "none"]
    monkeypatch.chdir(folder)

    def planned() -> dict:
        return json.loads(nas(*promote, "--dry-run", "--json")[1])["winners"][0]

    before = planned()
    assert before["state"] == "to do"
    stopped(promote, folder, Path(before["folder"]) / "checkpoint.pt", signal.SIGTERM)
    assert planned()["state"] == "begun"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_step_under_way_is_done_and_saved(pair_set, tmp_path, monkeypatch, how):
    advance = StageTrainer.advance

    def pressed(stage):
        if stage.step == 2:
            signal.raise_signal(how)
        advance(stage)

    monkeypatch.setattr(StageTrainer, "advance", pressed)
    before = signal.getsignal(how)
    with pytest.raises(KeyboardInterrupt):
        train_teacher(
            pair_set,
            tmp_path / "t.safetensors",
            training=TeacherTraining(steps=9, batch=1, patch=16),
        )
    assert signal.getsignal(how) is before
    assert steps_in(tmp_path / "t.checkpoint.pt") == 3


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_who_ignores_a_signal_wants_it_ignored(how):
    before = signal.signal(how, signal.SIG_IGN)  # as nohup does
    try:
        with runtime.defer_signals() as signals:
            signal.raise_signal(how)
        assert not signals.stop_requested
    finally:
        signal.signal(how, before)
