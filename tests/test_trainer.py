"""Full trainings learn, change their form on the way, and leave models that say what they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from photos import QPS
from small_training import SMALL, one_stage, run

from benchmarks.processes import HOST, free_port
from nas.common.errors import InputError
from nas.training.core.calibration import calibrate
from nas.training.core.precision import Precision, fastest
from nas.training.core.runtime import SINGLE, DistContext
from nas.training.data.batches import BatchCutter, CropSource
from nas.training.data.crops import Crops
from nas.training.engine.events import StageStarted, Validated
from nas.training.engine.student import (
    Student,
    enter_stage,
    initial_student,
    start_from,
    without_bias,
)
from nas.training.recipe.recipe import load_recipe, shipped_recipes
from nas.training.recipe.stage import Stage
from search_spaces import build, fuse, published, references
from search_spaces.model_file import Model, load_model, save_model
from search_spaces.networks.unfold import load_deploy_weights, training_form
from teachers.loading import load_teacher


class TestForms:
    @pytest.mark.parametrize("name", [*published, *references])
    def test_folding_between_stages_changes_nothing(self, name):
        student = Student(build((published.get(name) or references[name]).architecture, 0))
        folded = enter_stage(student, Stage(steps=1, losses={"l1": 1}, fold=True), 0)
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
        load_deploy_weights(network, deployed)
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
        student = initial_student(SMALL, 5)
        start_from(student, model)
        x = torch.rand(1, 3, 9, 11)
        with torch.no_grad():
            assert torch.allclose(student.eval().network(x), trained(x), atol=1e-5)
        events = run(pair_set, tmp_path / "out", one_stage(steps=1), start=model)
        first = next(event for event in events if isinstance(event, Validated))
        assert first.gain_db < -1  # what a tail fitted to noise does

    def test_another_network_is_no_start(self):
        model = Model("wide", fuse(build(replace(SMALL, width=12), 0)), {})
        with pytest.raises(InputError, match="which is not the network to train"):
            start_from(initial_student(SMALL, 0), model)
        biased = Model("biased", fuse(build(SMALL, 0)), {})
        with pytest.raises(InputError, match="start from a model with the same layers"):
            start_from(initial_student(replace(SMALL, bias=False), 0), biased)

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
    looks = [event for event in events if isinstance(event, Validated)]
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
    looks = [event for event in events if isinstance(event, Validated)]
    assert [look.step for look in looks] == [0, 50, 100]
    assert looks[-1].gain_db > looks[0].gain_db + 0.03
    best = max(looks, key=lambda look: look.gain_db)
    end = events[-1]
    assert end.best_step == best.step and best.best
    assert end.gain_db_per_qp.keys() == end.psnr_y_db.keys() == set(QPS)
    facts = load_model(end.best).facts
    assert facts == {
        "at_step": str(best.step),
        "data": pair_set.digest,
        "gain_db": f"{end.gain_db:.4f}",
        "licence": "MIT",
        "recipe": "proxy",
        "steps": "100",
        "teacher": "hat-tiny",
    }
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
    whole = BatchCutter(CropSource(crops, outputs), 4, (0, 1), "cpu", SINGLE).cut(7)
    again = next(BatchCutter(CropSource(crops, outputs), 4, (0, 1), "cpu", SINGLE).batches(7))
    parts = [
        BatchCutter(CropSource(crops, outputs), 4, (0, 1), "cpu", DistContext(rank, 2)).cut(7)
        for rank in range(2)
    ]
    assert torch.equal(whole.hr, again.hr) and torch.equal(whole.lr, again.lr)
    assert torch.equal(whole.hr, torch.cat([part.hr for part in parts]))
    assert torch.equal(whole.teacher, 255 - whole.hr)  # cut at the same places, turned alike
    on_grid = Crops(pair_set.train, 16, (None,), grid=4)
    batch = BatchCutter(CropSource(on_grid, (), features, (1, 2)), 4, (0,), "cpu", SINGLE).cut(0)
    assert [tuple(map_.shape) for map_ in batch.features] == [(4, 1, 4, 4), (4, 2, 4, 4)]
    corners = torch.stack(
        [batch.lr[:, :, y::4, x::4] for y in (0, 3) for x in (0, 3)]
    )  # a turned crop begins with another corner of each square
    assert (corners == torch.cat(batch.features, 1)).flatten(2).all(2).any(0).all()
    with pytest.raises(InputError, match="cannot be divided among 3 processes"):
        DistContext(0, 3).part(4)


def test_two_processes_train_as_one(pair_set, tmp_path):
    """Gradients are averaged: all but rounding is as if one process had seen all crops."""
    recipe = one_stage(steps=6, batch=4)
    (tmp_path / "mine.yaml").write_text(json.dumps(recipe.model_dump(mode="json")))
    (tmp_path / "small.json").write_text(SMALL.to_json())
    port = free_port()
    command = [sys.executable, "-m", "nas.cli", "train", str(tmp_path / "small.json")]
    command += ["--recipe", str(tmp_path / "mine.yaml"), "--data", str(pair_set.path)]
    command += ["--out", str(tmp_path / "two"), "--device", "cpu"]
    command += ["--tracking-uri", "none"]
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": HOST, "MASTER_PORT": str(port)}
    world["OMP_NUM_THREADS"] = "1"
    both = [
        subprocess.Popen(
            command,
            env={**os.environ, **world, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    told = [process.communicate(timeout=600) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert b"mean" in told[0][0] and told[1][0] == b""
    run(pair_set, tmp_path / "one", recipe)
    two, one = (load_model(tmp_path / name / "last.safetensors").network for name in ("two", "one"))
    for ours, theirs in zip(two.parameters(), one.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)


def test_formats_are_timed_on_the_gpu_that_was_asked_for(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    fastest(lambda choice: None, "cuda:1")
    assert waited and set(waited) == {"cuda:1"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16", None])
def test_a_gpu_learns_in_every_precision(pair_set, tmp_path, name):
    precision = None if name is None else Precision(name)
    recipe = load_recipe("proxy").scaled(100)
    events = run(pair_set, tmp_path, recipe, device="cuda", precision=precision)
    looks = [event for event in events if isinstance(event, Validated)]
    assert looks[-1].gain_db > looks[0].gain_db
