"""``nas latency fit``: from runtimes that someone measured to a target that predicts."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import pickle

import numpy as np
import pytest

from nas.measure.cost.trace import inference_form, trace
from nas.measure.latency.measure import Latency
from nas.measure.latency.predict import FEATURES, PROFILES, LatencyModel, features
from nas.measure.latency.store import entries
from nas.measure.latency.target import resolve_target
from search_spaces import Architecture, Stage, published

PRICES = np.array([2.0, 0.3, 1.5, 1.0, 0.02, 0.004])
SMALL = ("--height", "48", "--width", "96")


@functools.cache
def truth(architecture, height=540, width=960) -> float:
    """Milliseconds on a device that follows `PRICES`."""
    return float(features(trace(inference_form(architecture, "device"), height, width)) @ PRICES)


@pytest.fixture
def nas(nas, own_place):
    """Run ``nas`` and return what it prints; on stderr where it ends with another code than 0."""

    def run(*arguments, code=0):
        ended, out, err = nas(*arguments)
        assert ended == code, err
        return err if code else out

    return run


class FakeCpu:
    """A CPU that follows `PRICES`; what runs beside it slows it and the anchor down."""

    def __init__(self):
        self.slowed, self.calls = 1.0, 0

    def measure(self, network, *, height, width, backends, threads, anchor_baseline_ms):
        self.calls += 1
        ms = self.slowed * truth(network, height, width)
        details = {"anchor_ms": 30 * self.slowed, "steady": True, "threads": 2}
        return Latency(ms, "measured", "cpu", "eager", "wall", details)


@pytest.fixture
def cpu(monkeypatch):
    fake = FakeCpu()
    monkeypatch.setattr("nas.measure.latency.target.measure_cpu", fake.measure)
    return fake


FITTED = ["RepTCN", "CASR", "URPNet", "ANUNet", "VPEG-R", "Megastudy", "Lanczos++", "RESR", "RVSR"]
HELD_OUT = "VPEG-S"


def measure_all(nas, *more, names=FITTED):
    for name in names:
        nas("latency", name, "--target", "cpu", *SMALL, *more)


def test_runtimes_in_a_csv_become_a_target_that_predicts_the_rest(nas, tmp_path):
    lines = [f"{name.lower()},{truth(published[name].architecture)}" for name in FITTED]
    (tmp_path / "mine.csv").write_text("\n".join(["network,runtime_ms", *lines]))
    found = json.loads(nas("latency", "fit", "mine.csv", "-o", "box.json", "--json"))
    assert found["name"] == "mine" and found["runtimes"] == len(FITTED)
    assert found["leave_one_out_spearman"] > 0.9
    assert all(found["prices"][name] >= 0 for name in FEATURES)
    assert len(found["worst"]) == 5

    told = json.loads(nas("latency", HELD_OUT, "--target", "box.json", "--json"))
    assert (told["runtime_kind"], told["target"]) == ("predicted", "mine")
    assert told["runtime_ms"] == pytest.approx(truth(published[HELD_OUT].architecture), rel=0.05)


@pytest.mark.parametrize("form", ["rows", "names", "files", "inline"])
def test_networks_may_be_named_described_or_lie_beside_the_file(nas, tmp_path, form):
    rows = []
    for name in FITTED:
        architecture = published[name].architecture
        ms = truth(architecture, 48, 96)
        (tmp_path / f"{name}.json").write_text(architecture.to_json())
        network = {
            "rows": {"name": name, "architecture": architecture.to_dict()},
            "names": {"network": name},
            "files": {"network": f"{name}.json"},
            "inline": {"architecture": architecture.to_json()},
        }[form]
        rows.append({**network, "runtime_ms": ms, "runtime_kind": "measured"})
    document = {row["network"]: row["runtime_ms"] for row in rows} if form == "names" else rows
    (tmp_path / "table.json").write_text(json.dumps(document))
    found = json.loads(nas("latency", "fit", "table.json", *SMALL, "--fp32", "--json"))
    assert (found["height"], found["width"], found["precision"]) == (48, 96, "float32")
    assert found["runtimes"] == len(FITTED)
    target = resolve_target("table", height=48, width=96)  # kept under its name
    architecture = published[HELD_OUT].architecture
    assert target.latency(architecture).ms == pytest.approx(truth(architecture, 48, 96), rel=0.05)
    assert target.precision == "float32"


def test_what_was_measured_here_is_fitted_without_being_asked_where_it_lies(nas, cpu):
    measure_all(nas)
    shown = nas("latency", "fit", "--name", "box")
    assert "leave-one-out error" in shown and "Spearman" in shown and "Kendall" in shown
    assert "worst predicted" in shown and "use it: --target box" in shown
    predicted = json.loads(nas("latency", HELD_OUT, "--target", "box", *SMALL, "--json"))
    expected = truth(published[HELD_OUT].architecture, 48, 96)
    assert predicted["runtime_ms"] == pytest.approx(expected, rel=0.05)
    assert f"{len(FITTED)} runtimes measured on" in predicted["details"]["source"]


def test_a_runtime_measured_beside_other_work_is_left_out_until_measured_again(nas, cpu):
    measure_all(nas)
    cpu.slowed = 3.0
    nas("latency", HELD_OUT, "--target", "cpu", *SMALL)
    found = json.loads(nas("latency", "fit", "--json"))
    assert found["runtimes"] == len(FITTED)
    cpu.slowed = 1.0
    nas("latency", HELD_OUT, "--target", "cpu", *SMALL, "--again")
    assert json.loads(nas("latency", "fit", "--json"))["runtimes"] == len(FITTED) + 1


def test_only_runtimes_of_one_kind_are_fitted_together(nas, cpu):
    measure_all(nas)
    for name in FITTED[:8]:
        nas("latency", name, "--target", "cpu", "--height", "24", "--width", "96")
    assert json.loads(nas("latency", "fit", "--json"))["height"] == 48  # the more numerous
    assert json.loads(nas("latency", "fit", "--only", "24x96", "--json"))["height"] == 24
    assert "48x96" in nas("latency", "fit", "--only", "cuda", code=2)


def test_a_measured_entry_holds_what_a_fit_needs(tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    network = Architecture(width=8, stages=(Stage("ecb", 8, 1),))
    resolve_target("cpu", height=24, width=24, threads=1).latency(network)  # really measured
    (entry,) = entries(tmp_path / "latency")
    assert entry.layers == trace(inference_form(network, "wall"), 24, 24)
    assert entry.architecture == network and entry.latency.details["anchor_ms"] > 0


def test_entries_from_before_that_are_counted_out(nas, cpu, tmp_path):
    measure_all(nas, names=FITTED[:8])
    old = sorted((tmp_path / "cache" / "latency").glob("*.json"))[0]
    entry = json.loads(old.read_text())
    del entry["layers"]
    old.write_text(json.dumps(entry))
    (old.parent / "torn.json").write_text('{"key"')
    assert json.loads(nas("latency", "fit", "--json"))["runtimes"] == 7


def test_more_of_anything_is_never_faster_whatever_was_measured(nas, tmp_path):
    random = np.random.default_rng(0)
    noisy = {n: truth(published[n].architecture) * random.uniform(0.3, 3) for n in published}
    (tmp_path / "noisy.json").write_text(json.dumps(noisy))
    nas("latency", "fit", "noisy.json")
    model = LatencyModel.load("noisy")
    base = Architecture(width=16, stages=(Stage("conv", 16, 2),), bias=False)
    wider = [dataclasses.replace(base, width=w, stages=(Stage("conv", w, 2),)) for w in (8, 16, 48)]
    deeper = [dataclasses.replace(base, stages=(Stage("conv", 16, d),)) for d in (1, 2, 8)]
    for networks in (wider, deeper):
        runtimes = [model.predict(network).ms for network in networks]
        assert all(a <= b for a, b in itertools.pairwise(runtimes))


def test_a_target_takes_its_model_along_to_other_machines(nas, tmp_path):
    rows = {name: truth(published[name].architecture) for name in FITTED}
    (tmp_path / "box.json").write_text(json.dumps(rows))
    nas("latency", "fit", "box.json", "--output", "profile.json")
    target = resolve_target("profile.json")
    ms = target.latency(published[HELD_OUT].architecture).ms
    (tmp_path / "profile.json").unlink()
    there = pickle.loads(pickle.dumps(target))
    assert there.latency(published[HELD_OUT].architecture).ms == ms
    # A study is of one profile, whatever another of that name says; shipped ones go by name.
    assert target.identity["digest"] and "digest" not in resolve_target("rtx4090").identity


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("network,ms\nRepTCN,1.0\n", ("at least 7", "1")),
        ("network,ms\nRepTCN,fast\n", ("line 2", "'fast'")),
        ("network,ms\nRepTCN,-1\n", ("line 2", "'-1'")),
        ("network,ms\nRepTNC,1\n", ("line 2", "'RepTNC'", "RepTCN")),
        ("net,time\nRepTCN,1\n", ("line 2", "runtime_ms")),
        ('[{"name": "RepTCN", "ms": 1, "runtime_kind": "predicted"}]', ("row 1", "predicted")),
        ("[1, 2]", ("row 1",)),
        ("{", ("CSV", "JSON")),
        (json.dumps(dict.fromkeys(published, 2.0)), ("same 2 ms",)),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_a_sentence(nas, tmp_path, content, words):
    file = tmp_path / ("table.json" if content[0] in "[{" else "table.csv")
    file.write_text(content)
    told = nas("latency", "fit", file, code=2)
    assert all(word in told for word in words) and "Traceback" not in told


@pytest.mark.parametrize("name", ["cuda", "rtx4090", "../x", ""])
def test_a_name_that_means_something_else_is_refused(nas, tmp_path, name):
    (tmp_path / "t.json").write_text(json.dumps({n: 1 + i for i, n in enumerate(published)}))
    told = nas("latency", "fit", "t.json", f"--name={name}", code=2)
    assert f"'{name}'" in told


@pytest.mark.parametrize("damage", ["{", "[]", '{"device": "x"}', "negative"])
def test_a_file_that_is_no_profile_is_refused(nas, tmp_path, damage):
    profile = json.loads((PROFILES / "rtx4090.json").read_text())
    profile["prices"]["gmacs"] = -1.0
    (tmp_path / "p.json").write_text(json.dumps(profile) if damage == "negative" else damage)
    assert "p.json is no latency profile" in nas("latency", "RepTCN", "--target=p.json", code=2)


def test_the_plain_command_is_as_before(nas):
    assert "predicted on rtx4090" in nas("latency", "RepTCN", "--target", "rtx4090")
    assert "predicted on rtx4090" in nas("latency", "--target", "rtx4090", "RepTCN")
    assert "nosuch" in nas("latency", "nosuch", code=2)
    assert "no folder or file" in nas("latency", "fit", "nosuch", code=2)
