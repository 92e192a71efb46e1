"""Full trainings learn, survive what interrupts them, and leave models that say what they are."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import QPS, photo_set

from nas.data.store import PairSet, open_set
from nas.training import stage_run
from nas.training.batches import Batches, Material
from nas.training.calibration import calibrate
from nas.training.crops import Crops
from nas.training.distributed import World
from nas.training.events import Finished, Looked, Saved, StageStarted, Started, WentBack
from nas.training.precision import Precision
from nas.training.recipe import load_recipe, parse_recipe, shipped_recipes
from nas.training.recipe_stage import Stage
from nas.training.student import Student, enter, first_form, start_from, without_bias
from nas.training.trainer import train
from search_spaces import Architecture, build, fuse, published, references
from search_spaces import Stage as Blocks
from search_spaces.errors import InputError
from search_spaces.inheritance import inherit, training_form
from search_spaces.model import Model, load_model, save_model
from teachers.loading import load_teacher

SMALL = Architecture(width=8, stages=(Blocks("ecb", 8, 1),), activation="gelu")

# Everything that a training's state has: Muon, Adam, heads, an unfinished warm-up, two forms.
TWO_STAGES = parse_recipe(
    {
        "stages": [
            {
                "steps": 12,
                "patch": 16,
                "batch": 2,
                "optimiser": "muon",
                "lr": 0.02,
                "losses": {"charbonnier": 1, "uncertainty_mse": 0.01},
                "auxiliary_x2": 0.1,
                "schedule": {"kind": "cosine", "warmup": 0.5},
            },
            {"steps": 10, "patch": 24, "batch": 2, "losses": {"mse": 1}, "fold": True},
        ]
    },
    "two",
)


@pytest.fixture(scope="module")
def pair_set(tmp_path_factory) -> PairSet:
    folder = tmp_path_factory.mktemp("trainer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(folder / "cache"))
        yield photo_set(folder)


@pytest.fixture(scope="module")
def uninterrupted(pair_set, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    run(pair_set, out)
    return out


def run(pair_set: PairSet, out: Path, recipe=TWO_STAGES, architecture=SMALL, **options) -> list:
    return list(train("small", architecture, recipe, pair_set, out, **options))


def one_stage(**stage):
    return parse_recipe({"stages": [{"patch": 16, "batch": 2, "losses": {"mse": 1}, **stage}]}, "x")


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
            "from test_trainer import SMALL, TWO_STAGES, open_set, train\n"
            "from nas.training.stage_run import StageRun\n"
            "done, advance = [], StageRun.advance\n"
            "def killed(run):\n"
            "    done.append(run)\n"
            "    if len(done) == 17: os.kill(os.getpid(), signal.SIGKILL)\n"
            "    advance(run)\n"
            "StageRun.advance = killed\n"
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
        advance, done = stage_run.StageRun.advance, []

        def pressed(run):
            done.append(run)
            if len(done) == stop:
                os.kill(os.getpid(), signal.SIGINT)  # in the middle of a step
            advance(run)

        before = signal.getsignal(signal.SIGINT)
        monkeypatch.setattr(stage_run.StageRun, "advance", pressed)
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
        next(event for event in events if isinstance(event, Looked) and event.step == 50)
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
        """The loss is no number at these calls."""
        objective, calls = stage_run.objective, []

        def sometimes(*given):
            calls.append(given)
            loss = objective(*given)
            return loss * float("nan") if len(calls) in steps else loss

        monkeypatch.setattr(stage_run, "objective", sometimes)

    def test_it_goes_back_and_on_with_other_crops(self, pair_set, tmp_path, monkeypatch):
        self.broken(monkeypatch, {58})
        events = run(pair_set, tmp_path / "out", one_stage(steps=60))
        (back,) = [event for event in events if isinstance(event, WentBack)]
        assert (back.step, back.to) == (60, 50)
        assert isinstance(events[-1], Finished)
        monkeypatch.undo()
        run(pair_set, tmp_path / "undisturbed", one_stage(steps=60))
        assert not same_models(tmp_path / "out", tmp_path / "undisturbed")
        network = load_model(tmp_path / "out" / "last.safetensors").network
        assert all(bool(p.isfinite().all()) for p in network.parameters())

    def test_a_checkpoint_holds_no_loss_that_is_no_number(self, pair_set, tmp_path, monkeypatch):
        self.broken(monkeypatch, {4})  # FP16 leaves that step out: the weights stay numbers
        advance, done = stage_run.StageRun.advance, []

        def dies(run):
            done.append(run)
            if len(done) == 6:
                raise RuntimeError("power cut")
            advance(run)

        recipe, half = one_stage(steps=8), Precision("fp16", False)
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
            patch.setattr(stage_run.StageRun, "advance", dies)
            run(pair_set, tmp_path, recipe, precision=half, checkpoint_seconds=0)
        events = run(pair_set, tmp_path, recipe, precision=half)
        assert events[0].step == 3
        assert isinstance(events[-1], Finished)

    def test_it_gives_up_with_advice(self, pair_set, tmp_path, monkeypatch):
        self.broken(monkeypatch, range(1, 1000))
        with pytest.raises(InputError, match=r"stage 1 .* lower its lr \(0.0005\)"):
            run(pair_set, tmp_path, one_stage(steps=5))


class TestForms:
    @pytest.mark.parametrize("name", [*published, *references])
    def test_folding_between_stages_changes_nothing(self, name):
        student = Student(build(published[name].architecture, 0) if name in published
                          else build(references[name].architecture, 0))  # fmt: skip
        folded = enter(student, Stage(steps=1, losses={"l1": 1}, fold=True), 0)
        x = torch.rand(1, 3, 12, 12)
        with torch.no_grad():
            before, after = student.eval().network(x), folded.eval().network(x)
        assert float((before - after).abs().max()) < 1e-4
        assert folded.trained()

    @pytest.mark.parametrize("folded", [False, True])
    @pytest.mark.parametrize("name", ["RepTCN", "CASR", "ANUNet", "RVSR", "Megastudy"])
    def test_taking_biases_away_leaves_the_kernels(self, name, folded):
        biased = replace(published[name].architecture, bias=True)
        network = training_form(biased, 0)
        bare = without_bias(fuse(network) if folded else network)
        assert bare.architecture == replace(biased, bias=False)
        assert sum(p.numel() for p in bare.parameters()) < sum(
            p.numel() for p in (fuse(network) if folded else network).parameters()
        )
        ours, theirs = fuse(network).state_dict(), fuse(bare).state_dict()
        for key, tensor in theirs.items():
            if key.endswith("weight"):
                assert torch.allclose(tensor, ours[key], atol=1e-6)
        saved = build(bare.architecture, 1)
        assert fuse(saved).state_dict().keys() == theirs.keys()

    @pytest.mark.parametrize("name", [*published, *references])
    def test_every_training_form_can_take_the_place_of_a_deployed_one(self, name):
        architecture = (published.get(name) or references[name]).architecture
        deployed = fuse(build(architecture, 1))
        network = training_form(architecture, 2)
        inherit(network, deployed)
        x = torch.rand(1, 3, 12, 12)
        with torch.no_grad():
            expected = deployed(x)
            for form in (network.eval(), fuse(network)):
                assert torch.allclose(form(x), expected, atol=1e-4)

    def test_a_start_from_a_model_begins_with_its_output(self, pair_set, tmp_path):
        trained = fuse(build(SMALL, 3))
        torch.manual_seed(0)
        calibrate(trained, torch.rand(2, 3, 16, 16), torch.rand(2, 3, 64, 64))
        model = save_model(Model("m", trained, {}), tmp_path / "m.safetensors")
        student = first_form(SMALL, 5)
        start_from(student, model)
        x = torch.rand(1, 3, 9, 11)
        with torch.no_grad():
            assert torch.allclose(student.eval().network(x), trained(x), atol=1e-5)
        events = run(pair_set, tmp_path / "out", one_stage(steps=1), start=model)
        first = next(event for event in events if isinstance(event, Looked))
        assert first.gain_db < -1  # what a tail fitted to noise does

    def test_another_network_is_no_start(self):
        model = Model("wide", fuse(build(replace(SMALL, width=12), 0)), {})
        with pytest.raises(InputError, match="which is not the network to train"):
            start_from(first_form(SMALL, 0), model)
        biased = Model("biased", fuse(build(SMALL, 0)), {})
        with pytest.raises(InputError, match="start from a model with the same layers"):
            start_from(first_form(replace(SMALL, bias=False), 0), biased)

    def test_what_is_frozen_stays(self, pair_set, tmp_path):
        recipe = one_stage(steps=3, freeze=["stem.*", "body.*"], fold=True, ema=0)
        run(pair_set, tmp_path / "out", recipe)
        run(pair_set, tmp_path / "start", recipe.scaled(1), checkpoint_seconds=0)
        ended, started = (
            load_model(tmp_path / name / "last.safetensors").network.state_dict()
            for name in ("out", "start")
        )
        assert torch.equal(ended["stem.0.weight"], started["stem.0.weight"])
        assert not torch.equal(ended["tail.weight"], started["tail.weight"])


FITTING = {
    "reptcn": "RepTCN",
    "basicvision": "BasicVision",
    "urpnet": "URPNet",
    "casr": "CASR",
    "kren": "CMVG",
    "rden": "IVP",
    "anunet": "ANUNet",
    "safmnpp": "VPEG-S",
    "span": "XiaomiMM",
}


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_trains_the_network_it_is_for(pair_set, tmp_path, name):
    recipe = load_recipe(name).scaled(5)
    small = [stage.model_copy(update={"batch": 2, "patch": 16}) for stage in recipe.stages]
    recipe = recipe.model_copy(update={"stages": tuple(small)})
    architecture = published[FITTING.get(name, "IVP")].architecture
    events = run(pair_set, tmp_path, recipe, architecture, teacher=load_teacher("hat-tiny"))
    looks = [event for event in events if isinstance(event, Looked)]
    assert all(np.isfinite(look.gain_db) for look in looks)
    assert len([e for e in events if isinstance(e, StageStarted)]) == len(recipe.stages)
    model = load_model(tmp_path / "best.safetensors")
    bias = architecture.bias and not recipe.removes_bias
    assert model.architecture == replace(architecture, bias=bias)
    assert model.network(torch.rand(1, 3, 5, 7)).shape == (1, 3, 20, 28)


def test_a_training_learns_and_keeps_its_best(pair_set, tmp_path):
    recipe = load_recipe("proxy").scaled(100)
    events = run(
        pair_set, tmp_path / "out", recipe, teacher=load_teacher("hat-tiny"), licence="MIT"
    )
    looks = [event for event in events if isinstance(event, Looked)]
    assert [look.step for look in looks] == [0, 50, 100]
    assert looks[-1].gain_db > looks[0].gain_db + 0.03
    best = max(looks, key=lambda look: look.gain_db)
    end = events[-1]
    assert end.best_step == best.step and best.best
    assert end.gain_db_per_qp.keys() == end.psnr_y_db.keys() == set(QPS)
    facts = load_model(end.best).facts
    assert facts == {
        "at_step": str(best.step), "data": pair_set.digest, "gain_db": f"{end.gain_db:.4f}",
        "licence": "MIT", "recipe": "proxy", "steps": "100", "teacher": "hat-tiny",
    }  # fmt: skip
    curve = [json.loads(line) for line in (tmp_path / "out" / "curve.jsonl").open()]
    assert [point["step"] for point in curve] == [0, 50, 100]
    assert json.loads((tmp_path / "out" / "training.json").read_text())["result"]["steps"] == 100
    sample = looks[0].samples[0]
    assert sample.ours.shape == sample.hr.shape == sample.lanczos.shape
    assert sample.qp == max(QPS) and sample.ours.dtype == np.uint8
    difference = np.abs(sample.ours.astype(int) - sample.lanczos)
    assert 0 < difference.mean() < 10  # at the start it is nearly Lanczos


def test_crops_are_a_function_of_the_step_and_shared_out_among_processes(pair_set):
    crops = Crops(pair_set.train, 16, QPS)
    outputs = [dict.fromkeys(QPS, 255 - picture.hr()) for picture in pair_set.train]
    features = [{None: p.lr(None)[::4, ::4].astype(np.float16)} for p in pair_set.train]
    whole = Batches(Material(crops, outputs), 4, (0, 1), "cpu", World()).cut(7)
    again = next(Batches(Material(crops, outputs), 4, (0, 1), "cpu", World()).after(7))
    parts = [
        Batches(Material(crops, outputs), 4, (0, 1), "cpu", World(rank, 2)).cut(7)
        for rank in range(2)
    ]
    assert torch.equal(whole.hr, again.hr) and torch.equal(whole.lr, again.lr)
    assert torch.equal(whole.hr, torch.cat([part.hr for part in parts]))
    assert torch.equal(whole.teacher, 255 - whole.hr)  # cut at the same places, turned alike
    on_grid = Crops(pair_set.train, 16, (None,), grid=4)
    batch = Batches(Material(on_grid, (), features, (1, 2)), 4, (0,), "cpu", World()).cut(0)
    assert [tuple(map_.shape) for map_ in batch.features] == [(4, 1, 4, 4), (4, 2, 4, 4)]
    corners = torch.stack(
        [batch.lr[:, :, y::4, x::4] for y in (0, 3) for x in (0, 3)]
    )  # a turned crop begins with another corner of each square
    assert (corners == torch.cat(batch.features, 1)).flatten(2).all(2).any(0).all()
    with pytest.raises(InputError, match="cannot be divided among 3 processes"):
        World(0, 3).part(4)


def test_two_processes_train_as_one(pair_set, tmp_path):
    """Gradients are averaged: all but rounding is as if one process had seen all crops."""
    recipe = one_stage(steps=6, batch=4)
    (tmp_path / "mine.yaml").write_text(json.dumps(recipe.model_dump(mode="json")))
    (tmp_path / "small.json").write_text(SMALL.to_json())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "nas.cli", "train", str(tmp_path / "small.json")]
    command += ["--recipe", str(tmp_path / "mine.yaml"), "--data", str(pair_set.path)]
    command += ["--out", str(tmp_path / "two"), "--device", "cpu"]
    command += ["--tracking-uri", "none"]
    both = [
        subprocess.Popen(
            command,
            env={
                **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]  # fmt: skip
    told = [process.communicate(timeout=600) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert b"mean" in told[0][0] and told[1][0] == b""
    run(pair_set, tmp_path / "one", recipe)
    two, one = (load_model(tmp_path / name / "last.safetensors").network for name in ("two", "one"))
    for ours, theirs in zip(two.parameters(), one.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16", None])
def test_a_gpu_learns_in_every_precision(pair_set, tmp_path, name):
    precision = None if name is None else Precision(name)
    recipe = load_recipe("proxy").scaled(100)
    events = run(pair_set, tmp_path, recipe, device="cuda", precision=precision)
    looks = [event for event in events if isinstance(event, Looked)]
    assert looks[-1].gain_db > looks[0].gain_db


assert open_set  # for the program that is killed
