"""Runtimes are those of what ships: the form that exported files and `nas upscale` run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from nas.measure.cost.trace import inference_form, to_module, trace
from nas.measure.latency.predict import LatencyModel
from nas.measure.latency.store import entries
from nas.measure.latency.target import resolve_target
from search_spaces import build, published

CASCADED = published["ANUNet"].architecture  # two pixel-shuffles, a residual between


def shuffles(layers):
    return [layer.operator for layer in layers].count("pixel_shuffle")


def test_a_measured_runtime_is_that_of_the_simplest_form(tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    target = resolve_target("cpu", height=24, width=24, threads=1)
    target.latency(CASCADED)
    (entry,) = entries(tmp_path / "latency")
    assert shuffles(entry.layers) == 1 < shuffles(trace(CASCADED, 24, 24))
    # A trained network is the same, whichever form it comes in.
    target.latency(build(CASCADED, seed=3))
    assert len(list(entries(tmp_path / "latency"))) == 1


def test_in_challenge_mode_it_is_that_of_the_plain_deploy_form():
    x = torch.rand(1, 3, 24, 24)
    plain, simple = (inference_form(CASCADED, mode).eval() for mode in ("challenge", "device"))
    assert trace(plain, 24, 24) == trace(to_module(CASCADED), 24, 24) != trace(simple, 24, 24)
    with torch.no_grad():
        assert torch.allclose(simple(x), plain(x), atol=1e-5)


def test_a_model_predicts_the_form_that_its_runtimes_were_measured_in():
    published_runtimes = LatencyModel.load("rtx4090")
    measured_here = replace(published_runtimes, mode="device")
    plain, simple = (model.predict(CASCADED).ms for model in (published_runtimes, measured_here))
    assert plain == pytest.approx(published_runtimes.predict_ms(trace(CASCADED)))
    assert simple < plain


def test_a_network_that_is_none_of_ours_is_timed_as_it_is():
    module = nn.Conv2d(3, 3, 3)
    assert inference_form(module, "device") is module
