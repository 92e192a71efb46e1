"""Full trainings that are cut off or led astray end as if nothing had been, or say why not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_training import SMALL, TWO_STAGES, one_stage, run

from nas.common.errors import InputError
from nas.training.core.precision import Precision
from nas.training.engine import objective, stage
from nas.training.engine.events import Finished, RolledBack, Saved, Started, Validated
from nas.training.engine.folder import read_training
from nas.training.engine.trainer import train
from search_spaces.model_file import load_model


@pytest.fixture(scope="module")
def uninterrupted(pair_set, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    run(pair_set, out)
    return out


def same_models(a: Path, b: Path) -> bool:
    return all(
        (a / name).read_bytes() == (b / name).read_bytes()
        for name in ("best.safetensors", "last.safetensors")
    )


class TestInterruptions:
    def test_killed_and_resumed_it_ends_as_if_it_had_not_been(
        self, pair_set, uninterrupted, tmp_path
    ):
        program = (
            "import os, signal, sys; from pathlib import Path\n"
            "from small_training import SMALL, TWO_STAGES\n"
            "from nas.data.store import open_set\n"
            "from nas.training.engine.trainer import train\n"
            "from nas.training.engine.stage import StageTrainer\n"
            "done, advance = [], StageTrainer.advance\n"
            "def killed(run):\n"
            "    done.append(run)\n"
            "    if len(done) == 17: os.kill(os.getpid(), signal.SIGKILL)\n"
            "    advance(run)\n"
            "StageTrainer.advance = killed\n"
            "pair_set, out = open_set(Path(sys.argv[1])), Path(sys.argv[2])\n"
            "list(train('small', SMALL, TWO_STAGES, pair_set, out, checkpoint_seconds=0))\n"
        )
        out = tmp_path / "out"
        killed = subprocess.run(
            [sys.executable, "-c", program, str(pair_set.path), str(out)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        events = run(pair_set, out)
        assert isinstance(events[0], Started) and events[0].step == 16
        assert same_models(out, uninterrupted)
        curves = [
            [
                {**json.loads(line), "seconds": 0}
                for line in (folder / "curve.jsonl").read_text().splitlines()
            ]
            for folder in (out, uninterrupted)
        ]
        assert curves[0] == curves[1]

    @pytest.mark.parametrize("stop", [3, 12])
    def test_ctrl_c_saves_whole_steps(self, pair_set, uninterrupted, tmp_path, monkeypatch, stop):
        advance, done = stage.StageTrainer.advance, []

        def pressed(run):
            done.append(run)
            if len(done) == stop:
                os.kill(os.getpid(), signal.SIGINT)  # in the middle of a step
            advance(run)

        before = signal.getsignal(signal.SIGINT)
        monkeypatch.setattr(stage.StageTrainer, "advance", pressed)
        with pytest.raises(KeyboardInterrupt):
            run(pair_set, tmp_path / "out")
        assert signal.getsignal(signal.SIGINT) is before
        events = run(pair_set, tmp_path / "out")
        assert events[0].step == stop
        assert same_models(tmp_path / "out", uninterrupted)

    def test_closing_the_events_saves(self, pair_set, uninterrupted, tmp_path):
        events = train("small", SMALL, TWO_STAGES, pair_set, tmp_path / "out", checkpoint_seconds=0)
        saved = next(event for event in events if isinstance(event, Saved))
        (tmp_path / "out" / "checkpoint.pt").unlink()
        events.close()
        (started, *_) = run(pair_set, tmp_path / "out")
        assert started.step == saved.step
        assert same_models(tmp_path / "out", uninterrupted)

    @pytest.mark.parametrize("checkpoint", ["before the look", "none yet"])
    def test_killed_after_a_look_its_curve_tells_it_once(self, pair_set, tmp_path, checkpoint):
        recipe, file = one_stage(steps=55), tmp_path / "checkpoint.pt"
        events = train("small", SMALL, recipe, pair_set, tmp_path, checkpoint_seconds=0)
        next(event for event in events if isinstance(event, Validated) and event.step == 50)
        left = file.read_bytes()
        events.close()
        file.unlink()
        if checkpoint == "before the look":
            file.write_bytes(left)
        (started, *_) = run(pair_set, tmp_path, recipe)
        assert started.step == (50 if checkpoint == "before the look" else 0)
        curve = (tmp_path / "curve.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in curve] == [0, 50, 55]

    def test_a_finished_training_only_says_so(self, pair_set, uninterrupted):
        before = (uninterrupted / "best.safetensors").stat().st_mtime_ns
        (told,) = run(pair_set, uninterrupted)
        assert isinstance(told, Finished) and told.already
        assert told.steps == 22
        assert (uninterrupted / "best.safetensors").stat().st_mtime_ns == before


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def with_changed_result(path: Path, **changes) -> None:
    told = json.loads(path.read_text())
    told["result"] |= changes
    del told["sha256"]  # as a person would, who knows how
    path.write_text(json.dumps(told))


class TestDamage:
    """What a finished training has lost since is made again, where its checkpoint can."""

    @pytest.mark.parametrize(
        ("file", "damage"),
        [
            ("best.safetensors", flip),
            ("best.safetensors", Path.unlink),
            ("last.safetensors", flip),
            ("training.json", cut_short),
            ("training.json", lambda path: path.write_text("{}")),
            ("training.json", lambda path: with_changed_result(path, gain_db="much")),
            ("training.json", lambda path: with_changed_result(path, seconds=float("nan"))),
            ("training.json", lambda path: with_changed_result(path, psnr_y_db={"low": 1.0})),
        ],
    )
    def test_it_is_made_again(self, pair_set, uninterrupted, tmp_path, file, damage):
        out = tmp_path / "out"
        shutil.copytree(uninterrupted, out)
        damage(out / file)
        *_, told = run(pair_set, out)
        assert isinstance(told, Finished) and not told.already
        assert same_models(out, uninterrupted)
        assert read_training(out) == read_training(uninterrupted)
        (again,) = run(pair_set, out)
        assert again.already

    def test_a_line_of_the_curve_that_is_torn_is_left_out(self, pair_set, tmp_path):
        recipe, file = one_stage(steps=3), tmp_path / "curve.jsonl"
        events = train("small", SMALL, recipe, pair_set, tmp_path)
        next(event for event in events if isinstance(event, Validated))
        events.close()
        file.write_bytes(b'\xff\xfe{\n{"step": 0}\n' + file.read_bytes() + b'{"step": 0, "gai')
        run(pair_set, tmp_path, recipe)
        curve = file.read_text().splitlines()
        assert [json.loads(line)["step"] for line in curve] == [0, 3]

    def test_a_best_model_that_no_checkpoint_holds_is_missed_at_once(self, pair_set, tmp_path):
        recipe, best = one_stage(steps=3, lr=0.5), tmp_path / "best.safetensors"
        *_, told = run(pair_set, tmp_path, recipe)
        assert told.best_step == 0
        flip(best)
        with pytest.raises(
            InputError, match=r"best\.safetensors is damaged or missing, .* remove .*checkpoint\.pt"
        ):
            run(pair_set, tmp_path, recipe)
        (tmp_path / "checkpoint.pt").unlink()
        *_, again = run(pair_set, tmp_path, recipe)
        assert again.gain_db == told.gain_db


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"seed": 1}, "another seed"),
            ({"recipe": TWO_STAGES.scaled(30)}, "another number of steps"),
            ({"architecture": replace(SMALL, width=9)}, "another network"),
        ],
    )
    def test_a_folder_of_another_training(self, pair_set, uninterrupted, change, told):
        with pytest.raises(InputError, match=told):
            run(pair_set, uninterrupted, **change)

    @pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + bytes(100)])
    def test_a_damaged_checkpoint(self, pair_set, tmp_path, content):
        (tmp_path / "checkpoint.pt").write_bytes(content)
        with pytest.raises(InputError, match="is no checkpoint of a training, or is damaged"):
            run(pair_set, tmp_path)

    def test_a_checkpoint_is_not_executed(self, pair_set, tmp_path):
        class Trap:
            def __reduce__(self):
                return (Path.touch, (tmp_path / "sprung",))

        torch.save({"format": 1, "settings": {}, "state": Trap()}, tmp_path / "checkpoint.pt")
        with pytest.raises(InputError, match="is no checkpoint"):
            run(pair_set, tmp_path)
        assert not (tmp_path / "sprung").exists()

    def test_a_file_in_the_way(self, pair_set, tmp_path):
        (tmp_path / "out").touch()
        with pytest.raises(InputError, match="is a file: give a folder"):
            run(pair_set, tmp_path / "out")

    def test_a_pattern_that_freezes_nothing_or_everything(self, pair_set, tmp_path):
        with pytest.raises(InputError, match=r"'head\.\*' fits no parameter .* body\.\*, stem\.\*"):
            run(pair_set, tmp_path, one_stage(steps=1, freeze=["head.*"]))
        with pytest.raises(InputError, match="everything is frozen"):
            run(pair_set, tmp_path, one_stage(steps=1, freeze=["*"]))


class TestGuard:
    def broken(self, monkeypatch, steps) -> None:
        """The loss is NaN at these calls."""
        loss_of, calls = objective.objective, []

        def sometimes(*given):
            calls.append(given)
            loss = loss_of(*given)
            return loss * float("nan") if len(calls) in steps else loss

        monkeypatch.setattr(objective, "objective", sometimes)

    def test_it_goes_back_and_on_with_other_crops(self, pair_set, tmp_path, monkeypatch):
        self.broken(monkeypatch, {58})
        events = run(pair_set, tmp_path / "out", one_stage(steps=60))
        (back,) = [event for event in events if isinstance(event, RolledBack)]
        assert (back.step, back.to) == (60, 50)
        assert isinstance(events[-1], Finished)
        monkeypatch.undo()
        run(pair_set, tmp_path / "undisturbed", one_stage(steps=60))
        assert not same_models(tmp_path / "out", tmp_path / "undisturbed")
        network = load_model(tmp_path / "out" / "last.safetensors").network
        assert all(bool(p.isfinite().all()) for p in network.parameters())

    def test_a_checkpoint_holds_no_loss_that_is_no_number(self, pair_set, tmp_path, monkeypatch):
        self.broken(monkeypatch, {4})  # FP16 leaves that step out: the weights stay numbers
        advance, done = stage.StageTrainer.advance, []

        def dies(run):
            done.append(run)
            if len(done) == 6:
                raise RuntimeError("power cut")
            advance(run)

        recipe, half = one_stage(steps=8), Precision("fp16", False)
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
            patch.setattr(stage.StageTrainer, "advance", dies)
            run(pair_set, tmp_path, recipe, precision=half, checkpoint_seconds=0)
        events = run(pair_set, tmp_path, recipe, precision=half)
        assert events[0].step == 3
        assert isinstance(events[-1], Finished)

    def test_it_gives_up_with_advice(self, pair_set, tmp_path, monkeypatch):
        self.broken(monkeypatch, range(1, 1000))
        with pytest.raises(InputError, match=r"stage 1 .* lower its lr \(0.0005\)"):
            run(pair_set, tmp_path, one_stage(steps=5))
