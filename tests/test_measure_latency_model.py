"""The latency model: the shipped profile, what it promises, and the arithmetic underneath."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import stats

from nas.measure.cost.trace import trace
from nas.measure.latency.predict import (
    FEATURES,
    RTX4090_FLOORS,
    LatencyModel,
    features,
    fit,
    fit_published,
    robust_nonnegative,
)
from nas.measure.rank_metrics import kendall, mape, spearman
from search_spaces import Architecture, InputError, Stage, Tail, published

PLAIN = Architecture(width=16, stages=(Stage("conv", 16, 2),), residual="bilinear")


@pytest.fixture(scope="module")
def model():
    return LatencyModel.load("rtx4090")


def test_the_shipped_profile_is_what_the_fit_gives(model):
    fitted = fit_published()
    assert fitted.prices == pytest.approx(model.prices, rel=1e-3)
    for ours, shipped in zip(fitted.rows, model.rows, strict=True):
        assert ours.name == shipped.name
        assert ours.left_out_ms == pytest.approx(shipped.left_out_ms, rel=1e-3)


def test_networks_left_out_of_the_fit_are_predicted_well(model):
    assert len(model.rows) == 17
    assert model.leave_one_out_mape < 0.13
    assert model.leave_one_out_spearman >= 0.95
    assert model.leave_one_out_kendall >= 0.85


def test_the_model_ranks_better_than_macs_and_is_nearer_than_any_single_measure(model):
    true = [row.runtime_ms for row in model.rows]
    macs = [published[row.name].table1.macs_g for row in model.rows]
    assert spearman(macs, true) < model.leave_one_out_spearman
    per_mac = np.median(np.divide(true, macs)) * np.array(macs)
    assert mape(per_mac, true) > 2 * model.leave_one_out_mape


def test_every_price_is_at_least_what_the_device_allows(model):
    assert model.prices.keys() == FEATURES.keys()
    assert all(model.prices[name] >= 0.999 * RTX4090_FLOORS[name] for name in FEATURES)


@pytest.mark.parametrize("stem", ["conv", "unshuffle2", "unshuffle3", "strided2x4"])
def test_more_of_anything_is_never_faster(model, stem):
    def ms(**changes):
        base = Architecture(stem=stem, width=16, stages=(Stage("conv", 16, 2),), bias=False)
        return model.predict(dataclasses.replace(base, **changes)).ms

    by_width = [ms(width=w, stages=(Stage("conv", w, 2),)) for w in (6, 8, 12, 14, 16, 17, 24, 48)]
    by_depth = [ms(stages=(Stage("conv", 16, depth),)) for depth in (1, 2, 3, 8)]
    by_tail = [ms(tail=Tail(kernel=kernel)) for kernel in (1, 3)]
    by_residual = [ms(residual=r) for r in ("none", "nearest", "bilinear", "bicubic", "lanczos")]
    for runtimes in (by_width, by_depth, by_tail, by_residual):
        assert all(a < b for a, b in itertools.pairwise(runtimes)), runtimes
    assert ms() < ms(bias=True)
    assert ms(activation="none") < ms()
    assert ms() < ms(skip="long") < ms(skip="concat")
    assert model.predict(PLAIN, 540, 960).ms > model.predict(PLAIN, 360, 640).ms


def test_a_prediction_says_that_it_is_one_and_how_far_to_trust_it(model):
    latency = model.predict(PLAIN)
    assert (latency.kind, latency.target, latency.mode) == ("predicted", "rtx4090", "challenge")
    assert latency.details["leave_one_out_mape"] == model.leave_one_out_mape


def test_an_unknown_profile_is_refused_with_the_choices():
    with pytest.raises(InputError, match="rtx4090"):
        LatencyModel.load("rtx9999")


def test_features_by_hand():
    # 3>8 stem with bias, ReLU, 8>48 tail with bias, pixel-shuffle; 10 x 20 pixels, FP16.
    work = dict(zip(FEATURES, features(trace(Architecture(width=8), 10, 20)), strict=True))
    pixels = 200
    assert work["kernels"] == 6
    weights = 9 * (3 * 8 + 8 * 48)
    assert work["conv_in_gb"] * 1e9 == pytest.approx(2 * (pixels * (3 + 8) + weights))
    assert work["conv_out_gb"] * 1e9 == pytest.approx(2 * pixels * (8 + 48))
    assert work["bias_gb"] * 1e9 == pytest.approx(2 * (2 * pixels * (8 + 48) + 8 + 48))
    assert work["pass_gb"] * 1e9 == pytest.approx(4 * pixels * (8 + 48))
    assert work["gmacs"] * 1e9 == pytest.approx(9 * pixels * (8 * 8 + 8 * 48))  # 3 pads to 8


def test_prices_are_found_again_from_runtimes_that_follow_them():
    true = {name: floor * (2 + i) for i, (name, floor) in enumerate(RTX4090_FLOORS.items())}
    prices = np.array(list(true.values()))
    observations = {}
    for name, network in published.items():
        layers = trace(network.architecture)
        observations[name] = (layers, float(features(layers) @ prices))
    model = fit(observations, RTX4090_FLOORS, device="x", mode="device", source="here")
    assert model.prices == pytest.approx(true, rel=1e-6)
    assert LatencyModel.from_json(model.to_json()).prices == pytest.approx(model.prices, rel=1e-5)


def test_the_robust_fit_hardly_minds_an_outlier():
    matrix = np.column_stack([np.ones(9), np.arange(9.0)])
    target = matrix @ [1, 2]
    target[4] += 50
    assert robust_nonnegative(matrix, target, quadratic_to=0.01) == pytest.approx([1, 2], abs=0.01)


def test_rank_correlations_are_scipys_also_with_equal_values():
    a, b = [1, 2, 2, 5, 4, 9], [0.1, 0.3, 0.2, 0.2, 0.7, 0.9]
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert kendall(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)
    assert mape([1.1, 1.8], [1, 2]) == pytest.approx(0.1)
