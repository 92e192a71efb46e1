"""``nas compare``: one reference for all, who leads where, and no comparison of unlike studies."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from quick_search import BUDGET, Quick, settings

from search_spaces import Architecture, InputError
from studies.core.budget import Budget
from studies.core.candidate import Candidate
from studies.core.info import StudyInfo
from studies.core.outcome import Runtime, Size, Trained
from studies.core.record import Record
from studies.results.compare import compare
from studies.results.front import Reference, hypervolume
from studies.results.snapshot import StudySnapshot
from studies.search import conduct

SAME = {
    "target": {"name": "quick", "note": "x"},
    "data": {"name": "set", "digest": "d" * 64},
    "proxy": {"steps": 100, "lr": 0.1, "seed": 0},
    "teacher": {"name": "hat-tiny", "digest": "t"},
    "seed": 0,
}


def study(name, points, budget_ms=8.0, kind="predicted", **identity):
    """A study of trained candidates at these points of runtime in ms and gain in dB."""
    limits = Budget(runtime_ms=budget_ms).to_dict()
    records = [
        Record(
            Candidate(trial, Architecture(width=8 + trial)),
            Trained(gain, {}, {}, Runtime(ms, kind, "quick"), Size(1, 1)),
        )
        for trial, (ms, gain) in enumerate(points)
    ]
    info = StudyInfo(name, {**SAME, "budget": limits, **identity}, ())
    return StudySnapshot(info, tuple(records))


A = study("a", [(1.0, 0.2), (4.0, 0.5)])
B = study("b", [(2.0, 0.4), (4.0, 0.45)])


def test_who_leads_where_and_by_how_much():
    found = compare([A, B])
    assert [(x.from_ms, x.to_ms, x.study) for x in found.leads] == [
        (1.0, 2.0, "a"),
        (2.0, 4.0, "b"),
        (4.0, 8.0, "a"),
    ]
    alone, second, third = found.leads
    assert alone.least_db is None
    assert second.least_db == second.most_db == pytest.approx(0.2)
    assert third.least_db == pytest.approx(0.05)
    a, b = found.entries
    assert (a.leads, b.leads) == pytest.approx((2 / 3, 1 / 3))
    assert (a.beaten, b.beaten) == (0, 1)
    assert found.attainment[1] == {"runtime_ms": 2.0, "a": 0.2, "b": 0.4}


def test_colour_is_the_least_of_a_front_and_one_that_tints_takes_no_part():
    colour = study("colour", [(1.0, 0.2), (2.0, 0.9), (4.0, 0.5)])
    colours = [(0.2, -0.05), (0.1, -0.6), (0.3, 0.1)]
    records = tuple(
        replace(
            record,
            outcome=replace(record.outcome, gain_cb_db=cb, gain_cr_db=cr),
            tints=cr < -0.1,
        )
        for record, (cb, cr) in zip(colour.records, colours, strict=True)
    )
    found = compare([StudySnapshot(colour.info, records), A])
    mine, other = found.entries
    assert [member.trial for member in mine.members] == [0, 2]
    assert mine.hypervolume == other.hypervolume
    assert (mine.colour_gain_db, other.colour_gain_db) == (-0.05, None)
    assert found.to_dict()["entries"][0]["members"][0]["gain_cr_db"] == -0.05
    with pytest.raises(InputError, match="no trained candidate within its limits"):
        compare([StudySnapshot(colour.info, records[1:2]), A])


def test_equal_fronts_lead_nowhere():
    found = compare([A, study("twin", [(1.0, 0.2), (4.0, 0.5)])])
    (lead,) = found.leads
    assert lead.study is None and [entry.leads for entry in found.entries] == [0.0, 0.0]


@pytest.mark.parametrize("seed", range(10))
def test_leads_are_what_one_finds_at_any_runtime(seed):
    random = np.random.default_rng(seed)
    studies = [
        study(name, [tuple(p) for p in random.uniform((0.5, 0.01), (8.5, 1.0), (6, 2))])
        for name in "abc"
    ]
    found = compare(studies)
    for ms in np.geomspace(found.leads[0].from_ms * 1.001, 7.99, 60):
        gains = {
            each.name: max(
                (m.gain_db for m in each.trained if m.runtime_ms <= ms), default=-math.inf
            )
            for each in studies
        }
        (lead,) = [x for x in found.leads if x.from_ms <= ms < x.to_ms]
        assert lead.study == max(gains, key=gains.__getitem__)
        first, second = sorted(gains.values())[:-3:-1]
        if math.isfinite(second):
            assert lead.least_db - 1e-9 <= first - second <= lead.most_db + 1e-9
    for before, after in itertools.pairwise(found.leads):
        assert before.to_ms == after.from_ms and before.study != after.study
    assert sum(entry.leads for entry in found.entries) == pytest.approx(1.0)


def test_the_reference_is_the_same_for_all():
    found = compare([A, study("tight", [(1.0, 0.2)], budget_ms=2.0), B])
    assert found.reference_ms == 8.0
    for entry in found.entries:
        assert entry.hypervolume == pytest.approx(hypervolume(entry.members, Reference(8.0, 1.0)))
    assert any("budget" in note for note in found.notes)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"data": {"name": "set", "digest": "e" * 64}}, "data (dddddddddddd and eeeeeeeeeeee)"),
        ({"target": {"name": "cpu"}}, "target (quick and cpu)"),
        ({"target": {"name": "quick", "digest": "1"}}, "target (quick and quick 1)"),
        ({"proxy": {"steps": 200, "lr": 0.1}}, "number of proxy steps (100 and 200)"),
    ],
)
def test_studies_whose_figures_mean_something_else_are_refused(other, told):
    with pytest.raises(InputError, match="'a' and 'z' cannot be compared") as refusal:
        compare([A, study("z", [(1.0, 0.1)], **other)])
    assert told in str(refusal.value)


def test_what_else_differs_is_noted_and_no_more():
    assert compare([A, B]).notes == ()
    arm = study("arm", [(1.0, 0.1), (2.0, 0.2)], teacher=None, seed=1)
    notes = " ".join(compare([A, arm]).notes)
    assert "teacher: hat-tiny, none" in notes and "seed: 0, 1" in notes
    other = study("lr", [(1.0, 0.1)], proxy={"steps": 100, "lr": 0.2, "seed": 5})
    notes = compare([A, other]).notes
    assert notes[0] == "they differ in the proxy's lr: 0.1, 0.2"
    assert "trained different numbers of candidates (2, 1)" in notes[1]


def test_two_searches_compared_on_the_command_line(nas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("one", 0), ("two", 1)):
        conduct(settings(tmp_path, name=name, seed=seed, trials=4), Quick())
    conduct(settings(tmp_path, name="far", identity={"target": {"name": "far"}}, trials=1), Quick())

    code, out, err = nas("compare", "one", "two", "-o", "out/both.html", "--json")
    assert code == 0 and "they differ in seed: 0, 1" in err
    found = json.loads(out)
    assert [entry["study"] for entry in found["entries"]] == ["one", "two"]
    assert found["reference_ms"] == BUDGET.runtime_ms and found["runtime_kind"] == "predicted"
    page = Path("out/both.html").read_text(encoding="utf-8")
    assert "<title>Comparison of one, two</title>" in page and "Who leads where" in page
    with Image.open("out/both.png") as drawn:
        assert drawn.format == "PNG" and drawn.width > 800

    code, out, err = nas("compare", "one", "two")
    assert code == 0 and "hypervolume" in out and Path("comparison.png").is_file()
    for arguments, told in (
        (["one"], "two or more different studies"),
        (["one", "one"], "two or more different studies"),
        (["one", "nothing"], "no study 'nothing'"),
        (["one", "two", "-o", "both.png"], "give the page's, as in both.html"),
        (["one", "far"], "'one' and 'far' cannot be compared: they have another data"),
    ):
        code, out, err = nas("compare", *arguments)
        assert code == 2 and out == "" and told in " ".join(err.split()), err
