"""``nas report``: what decides in a space, and where the time went."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from pages import Page
from quick_search import BUDGET

from nas.common.text import duration
from search_spaces import Architecture
from search_spaces.space import Space
from studies.core.candidate import Candidate
from studies.core.info import StudyInfo
from studies.core.outcome import Rejected, Rung, Runtime, Size, Trained
from studies.core.record import Record
from studies.report.report import report
from studies.report.summary import Places
from studies.results.analysis import choices_of, gain_importance, least, runtime_importance, spent


def records_of(space: Space, gain, runtime, count: int) -> list[Record]:
    """Candidates all over a space, with a gain and a runtime by their choices."""
    random = np.random.default_rng(0)
    found = {}
    while len(found) < count:
        choices = {d.name: d.choices[random.integers(len(d.choices))] for d in space.dimensions}
        trial = len(found)
        outcome = Trained(
            gain(choices), {}, {}, Runtime(runtime(choices), "predicted", "x"), Size(1, 1)
        )
        found[trial] = Record(Candidate(trial, space.architecture(choices)), outcome)
    return list(found.values())


def over(outcome: Trained) -> Rejected:
    return Rejected("memory_mb", 2.0, 1.0, outcome.runtime, outcome.size)


def test_importance_names_the_dimension_that_decides():
    dimensions = {"width": [8, 12, 16, 20], "depth": [1, 2, 3], "activation": ["relu", "gelu"]}
    space = Space.from_dict({"name": "small", "dimensions": dimensions}, "small")
    records = records_of(space, lambda c: c["width"] / 20, lambda c: float(c["depth"]), 40)
    choices = choices_of(space, records)
    gain = gain_importance(space, records, choices)
    runtime = runtime_importance(space, records, choices)
    assert set(gain) == set(runtime) == set(dimensions)
    assert gain["width"] > 0.9 and runtime["depth"] > 0.9
    assert sum(gain.values()) == pytest.approx(1.0)
    few = records[: least(space) - 1]
    assert gain_importance(space, few, choices_of(space, few)) == {}
    info = StudyInfo("s", {"budget": BUDGET.to_dict(), "space": space.to_dict()}, ())
    cut = [replace(r, outcome=over(r.outcome)) for r in records[len(few) :]]
    alone = Page(report(info, [*few, *cut], Places())).figures["importance"]
    assert [bars["name"] for bars in alone["data"]] == ["runtime (logarithm)"]
    shares = alone["data"][0]["x"]
    assert shares == sorted(shares), "the largest share stands at the top"
    assert alone["layout"]["showlegend"], "Plotly names a single set of bars nowhere by itself"
    assert (
        "Too few candidates to say what decides the gain" in Page(report(info, few, Places())).words
    )
    assert "importance" in Page(report(info, records, Places())).figures


def test_times_are_told_in_the_unit_that_suits_them():
    assert [duration(s) for s in (41.6, 426, 172_800)] == ["42 s", "7.1 min", "48.0 h"]


def test_time_is_counted_once():
    runtime, size = Runtime(1.0, "predicted", "x"), Size(1, 1)
    done = Trained(0.1, {}, {}, runtime, size, (Rung(1, 0.0, 4.0), Rung(2, 0.1, 7.0)), 2, 9.0)
    over = Rejected("runtime_ms", 9.0, 8.0, runtime, size, seconds=1.0)
    where = itertools.count()

    def record(outcome, started, finished, **more):
        candidate = Candidate(next(where), Architecture())
        return Record(candidate, outcome, started=started, finished=finished, **more)

    time = spent(
        [
            record(done, 100.0, 110.0),
            record(done, 105.0, 115.0),
            record(over, 200.0, 202.0),
            record(done, 300.0, 310.0, duplicate_of=0),
            record(None, 400.0, None),
        ]
    )
    assert (time.training_s, time.measuring_s, time.overhead_s) == (14.0, 5.0, 3.0)
    assert time.wall_s == 17.0 and time.at_once == pytest.approx(22 / 17)
