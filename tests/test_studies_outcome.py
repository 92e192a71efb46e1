"""What becomes of a candidate, and the budget that it is held to."""

from __future__ import annotations

import json
import math

import pytest

from nas.common.errors import InputError
from studies.core.budget import Budget, parse_budget
from studies.core.outcome import (
    Broken,
    Rejected,
    Rung,
    Runtime,
    Size,
    Trained,
    Weights,
    from_dict,
    to_dict,
)
from studies.core.record import violations

RUNTIME, SIZE = Runtime(1.25, "predicted", "rtx4090"), Size(9_000, 4_100_000_000)
CURVE = (Rung(100, 0.05, 1.5), Rung(200, 0.11, 3.0))
OUTCOMES = [
    Trained(
        gain_db=0.2,
        gain_db_per_qp={31: 0.3, 63: 0.1},
        psnr_y_db={31: 34.0, 63: 29.0},
        runtime=RUNTIME,
        size=SIZE,
        curve=CURVE,
        steps=200,
        seconds=3.5,
        weights=Weights("ab" * 32, file="00001.safetensors"),
        gain_cb_db=0.3,
        gain_cr_db=-0.2,
    ),
    Rejected("macs", 2e10, 1e10, size=Size(70_000, 20_000_000_000)),
    Rejected("memory_mb", 240.0, 200.0, size=Size(70_000, 20_000_000_000, 240.0)),
    Rejected("rung", 0.05, 0.07, RUNTIME, SIZE, CURVE[:1], 1.5),
    Broken("diverged", "the loss is nan before step 25", RUNTIME, SIZE, 2.0),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda o: type(o).__name__)
def test_an_outcome_survives_json(outcome):
    assert from_dict(json.loads(json.dumps(to_dict(outcome)))) == outcome


def test_weights_never_enter_the_database_themselves():
    trained = Trained(0.1, {}, {}, RUNTIME, SIZE, weights=Weights("ab", data=b"\x00" * 100))
    assert json.loads(json.dumps(to_dict(trained)))["weights"] == {
        "sha256": "ab",
        "data": None,
        "file": None,
    }


def test_a_rejection_says_which_limit_and_by_how_much():
    assert Rejected("runtime_ms", 9.3, 8.0).reason == "9.30 ms over the limit of 8.00 ms (1.16x)"
    assert "20.00 G MACs over the limit of 10.00 G MACs" in OUTCOMES[1].reason
    assert OUTCOMES[2].reason == "240.0 MB over the limit of 200.0 MB (1.20x)"
    assert "step 100" in OUTCOMES[3].reason


def test_an_outcome_from_before_memory_was_known_still_opens():
    old = to_dict(OUTCOMES[0])
    del old["size"]["memory_mb"]
    assert from_dict(old).size.memory_mb is None


def test_an_outcome_from_before_colour_was_measured_still_opens_and_tints_not():
    old = to_dict(OUTCOMES[0])
    del old["gain_cb_db"], old["gain_cr_db"]
    found = from_dict(old)
    assert (found.gain_cb_db, found.gain_cr_db, found.colour_gain_db) == (None, None, None)
    budget = Budget(colour_loss_db=0.1)
    assert violations(found, budget)["colour_loss_db"] == 0.0
    assert not budget.is_tinted(found.colour_gain_db)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda o: type(o).__name__)
def test_every_outcome_has_a_figure_for_each_limit(outcome):
    budget = Budget(8.0, 1e10, None, 100.0, 0.1)
    names = {"runtime_ms", "macs", "memory_mb", "colour_loss_db", "broken", "lanczos"}
    assert violations(outcome, budget).keys() == names


def test_the_worse_of_cb_and_cr_is_held_against_the_limit():
    assert OUTCOMES[0].colour_gain_db == -0.2
    over = violations(OUTCOMES[0], Budget(colour_loss_db=0.05))
    assert over["colour_loss_db"] == pytest.approx(0.2 - 0.05)
    within = violations(OUTCOMES[0], Budget(colour_loss_db=0.3))
    assert within["colour_loss_db"] == pytest.approx(0.2 - 0.3)
    assert Budget(colour_loss_db=0.05).is_tinted(-0.2)
    assert not Budget(colour_loss_db=0.2).is_tinted(-0.2)
    assert not Budget().is_tinted(-9.0)


@pytest.mark.parametrize(
    ("text", "db"),
    [("0.1", 0.1), ("0.1 dB", 0.1), (".25db", 0.25), ("0", 0.0), ("none", None), (None, None)],
)
def test_a_limit_of_colour_is_in_decibels_or_none(text, db):
    assert parse_budget(None, max_colour_loss=text).colour_loss_db == db


@pytest.mark.parametrize("text", ["", "-0.1", "nan", "little", "0.1 ms", "1e999"])
def test_a_malformed_limit_of_colour_is_refused_with_an_example(text):
    with pytest.raises(InputError, match=r"--max-colour-loss .* write for instance 0\.1, or none"):
        parse_budget(None, max_colour_loss=text)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("8ms", 8.0), ("0.5 ms", 0.5), (" 2000us", 2.0), ("0.01s", 10.0), ("8MS", 8.0), (".5ms", 0.5)],
)
def test_a_runtime_budget_has_a_unit(text, ms):
    assert parse_budget(text).runtime_ms == pytest.approx(ms)


@pytest.mark.parametrize(
    "text", ["8", "8 sec", "-1ms", "nan", "nanms", "0ms", "", "ms", "8ms!", "1e999ms", "8 m s"]
)
def test_a_malformed_budget_is_refused_with_an_example(text):
    with pytest.raises(InputError, match=r"--budget .* write for instance 8ms or 0\.5ms"):
        parse_budget(text)


def test_counts_take_suffixes():
    budget = parse_budget(None, "10G", "50k")
    assert budget == Budget(None, 10e9, 50e3)
    assert parse_budget("8ms", "2.5e9", "50000") == Budget(8.0, 2.5e9, 50e3)


@pytest.mark.parametrize("text", ["ten", "-5G", "0", "10GB", "nan", "10 Gs"])
def test_a_malformed_count_is_refused_with_an_example(text):
    with pytest.raises(InputError, match=r"--max-macs .* write for instance 10G"):
        parse_budget(None, text)
    with pytest.raises(InputError, match=r"--max-params .* write for instance 50k"):
        parse_budget(None, None, text)


@pytest.mark.parametrize(
    ("text", "mb"), [("200M", 200.0), ("0.2 GB", 200.0), ("1.5g", 1500.0), ("5e2kb", 0.5)]
)
def test_a_memory_budget_takes_suffixes(text, mb):
    assert parse_budget(None, max_memory=text).memory_mb == pytest.approx(mb)


@pytest.mark.parametrize("text", ["200", "lots", "-1M", "0M", "", "nanM", "200MiB", "1T", "M"])
def test_a_malformed_memory_budget_is_refused_with_an_example(text):
    with pytest.raises(InputError, match=r"--max-memory .* write for instance 200M"):
        parse_budget(None, max_memory=text)


def test_violations_are_logarithms_of_what_is_known():
    budget = Budget(runtime_ms=8.0, macs=10e9)
    assert budget.violations(macs=10e9) == {"macs": 0.0}
    over = budget.violations(runtime_ms=16.0, macs=5e9, params=1e6, memory_mb=1e9)
    assert over == pytest.approx({"runtime_ms": math.log(2), "macs": -math.log(2)})
    assert Budget(memory_mb=100.0).violations(memory_mb=50.0) == {"memory_mb": -math.log(2)}


def test_a_budget_may_say_from_where_runtime_counts():
    whole = parse_budget("8ms")
    assert whole.floor_ms == 1.0 and whole.least_ms is None and "least_ms" not in whole.to_dict()
    part = parse_budget("500us..2 ms")
    assert (part.least_ms, part.runtime_ms, part.floor_ms) == (0.5, 2.0, 0.5)
    assert Budget.from_dict(part.to_dict()) == part and str(part) == "0.5 to 2 ms"
    assert part.violations(runtime_ms=0.1)["runtime_ms"] < 0, "faster networks are within it"
    assert parse_budget(None).floor_ms is None
    for wrong in ("8ms..2ms", "2ms..2ms", "..8", "1ms..", "1..8ms"):
        with pytest.raises(InputError, match="--budget"):
            parse_budget(wrong)


def test_a_budget_is_named_for_people():
    assert str(Budget(8.0, 10e9, 50e3)) == "8 ms, 10 G MACs, 50 k parameters"
    assert str(Budget()) == "no limit"
    assert str(Budget(memory_mb=200.0)) == "200 MB"
    assert str(Budget(8.0, colour_loss_db=0.1)) == "8 ms, colour loss 0.1 dB"


@pytest.mark.parametrize("budget", [Budget(8.0), Budget(8.0, memory_mb=200.0, colour_loss_db=0)])
def test_a_budget_survives_json(budget):
    assert Budget.from_dict(json.loads(json.dumps(budget.to_dict()))) == budget


def test_studies_without_a_limit_on_memory_or_colour_keep_their_identity():
    assert Budget(8.0).to_dict() == {"runtime_ms": 8.0, "macs": None, "params": None}
