"""One candidate through the real gates and a real, very short training."""

from __future__ import annotations

import errno
from contextlib import suppress
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load
from skimage import data as photographs

import studies.evaluation
from nas.data.prepare import prepare
from nas.measure.cost.memory import compute_memory
from nas.measure.latency.target import resolve_target
from nas.training.proxy.proxy import Diverged, ProxySettings
from search_spaces import Architecture, InputError, Stage, build, fuse
from studies.core.budget import Budget, parse_budget
from studies.core.candidate import Candidate, DeviceLost
from studies.core.outcome import Broken, Rejected, Trained
from studies.evaluation import EvaluationSettings, evaluate

SMALL = Candidate(0, Architecture(width=8, stages=(Stage("conv", 8, 1),), residual="bicubic"))


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> EvaluationSettings:
    from PIL import Image

    root = tmp_path_factory.mktemp("set")
    (root / "hr").mkdir()
    for index, photo in enumerate((photographs.astronaut(), photographs.coffee())):
        for corner, crop in enumerate((photo[:288, :288], photo[-288:, -288:])):
            Image.fromarray(crop).save(root / "hr" / f"{index}{corner}.png")
    prepare(root / "hr", root / "set", qps=(31, 63))
    proxy = ProxySettings(steps=4)
    return EvaluationSettings(resolve_target("rtx4090"), root / "set", proxy=proxy, rungs=(2,))


def run(settings, candidate=SMALL):
    """What it yields and what it returns."""
    seen, evaluation = [], evaluate(candidate, settings)
    while True:
        try:
            seen.append(next(evaluation))
        except StopIteration as end:
            return seen, end.value


def test_a_candidate_within_the_budget_is_trained_and_measured(settings):
    seen, outcome = run(settings)
    assert isinstance(outcome, Trained)
    assert [underway.rung.step for underway in seen] == [2]
    assert [rung.step for rung in outcome.curve] == [2, 4]
    assert outcome.gain_db == pytest.approx(sum(outcome.gain_db_per_qp.values()) / 2)
    assert set(outcome.psnr_y_db) == {31, 63}
    assert outcome.colour_gain_db == min(outcome.gain_cb_db, outcome.gain_cr_db) < 10
    assert outcome.runtime.kind == "predicted" and outcome.runtime.target == "rtx4090"
    assert outcome.seconds > 0 and outcome.steps == 4
    network = fuse(build(SMALL.architecture))
    network.load_state_dict(load(outcome.weights.data), strict=True)
    assert outcome.size.params == sum(p.numel() for p in network.parameters())
    assert outcome.size.memory_mb == compute_memory(network).mb  # FP16, as the target runs it


@pytest.mark.parametrize(
    ("budget", "limit", "measured"),
    [
        (parse_budget("0.01ms"), "runtime_ms", True),
        (Budget(macs=1e6), "macs", False),
        (Budget(params=100.0), "params", False),
        (Budget(memory_mb=1.0), "memory_mb", False),
        (Budget(macs=1e9, params=1.0), "params", False),  # by which it is farther over
    ],
)
def test_over_a_limit_it_never_costs_a_step(settings, monkeypatch, budget, limit, measured):
    monkeypatch.setattr(studies.evaluation, "run_proxy", _forbidden)
    monkeypatch.setattr(studies.evaluation, "deploy_form", _forbidden)  # nor is it built
    if not measured:
        monkeypatch.setattr(type(settings.target), "latency", _forbidden)
    seen, outcome = run(replace(settings, budget=budget))
    assert seen == [] and isinstance(outcome, Rejected) and outcome.limit == limit
    assert outcome.value > outcome.allowed
    assert (outcome.runtime is not None) == measured


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "out_of_memory"),
        (Diverged("the loss is nan before step 25"), "diverged"),
        (RuntimeError("shapes [3, 4] and [5] do not match\nsecond line"), "error"),
        (KeyError("width"), "error"),
    ],
)
def test_what_is_its_own_fault_breaks_it(settings, monkeypatch, fault, kind):
    monkeypatch.setattr(studies.evaluation, "run_proxy", _raising(fault))
    _, outcome = run(settings)
    assert isinstance(outcome, Broken) and outcome.kind == kind
    assert outcome.reason and "\n" not in outcome.reason
    assert outcome.runtime is not None and outcome.size is not None


def test_what_cannot_be_built_breaks_at_once(settings):
    _, outcome = run(settings, Candidate(0, Architecture(stages=(Stage("unheard_of", 8, 1),))))
    assert isinstance(outcome, Broken) and outcome.kind == "cannot_build"
    assert "unheard_of" in outcome.reason


@pytest.mark.parametrize(
    "fault",
    [InputError("The set is gone."), OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()],
)
def test_what_is_nobodys_fault_is_raised(settings, monkeypatch, fault):
    monkeypatch.setattr(studies.evaluation, "run_proxy", _raising(fault))
    with pytest.raises(type(fault)):
        run(settings)


def test_a_process_that_has_lost_its_gpu_blames_no_candidate(settings, monkeypatch):
    fault = RuntimeError("CUDA error: an illegal memory access was encountered\nand more")
    monkeypatch.setattr(studies.evaluation, "run_proxy", _raising(fault))
    monkeypatch.setattr(studies.evaluation, "_responds", lambda device: False)
    with pytest.raises(DeviceLost, match=r"access was encountered\): nothing is lost"):
        run(settings)


def test_a_set_that_is_gone_is_named(settings, tmp_path):
    with pytest.raises(InputError, match="missing"):
        run(replace(settings, data=tmp_path / "missing"))


def test_time_is_limited_even_within_a_step(settings, monkeypatch):
    def endless(*args):
        while True:
            with suppress(Exception):  # as who tries whether a network runs, and how
                torch.zeros(1)
        yield

    monkeypatch.setattr(studies.evaluation, "run_proxy", endless)
    _, outcome = run(replace(settings, time_limit_s=1.5))
    assert isinstance(outcome, Broken) and outcome.kind == "time_limit"
    assert outcome.reason == "it took longer than 1.5 s"


def test_closing_it_early_leaves_nothing_behind(settings):
    evaluation = evaluate(SMALL, settings)
    next(evaluation)
    evaluation.close()


def _forbidden(*args):
    raise AssertionError("a rejected candidate got this far")


def _raising(fault):
    def run_proxy(*args):
        raise fault
        yield

    return run_proxy
