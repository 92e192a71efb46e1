"""Who is promoted: by what the front would lose, by name, or by a runtime."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from search_spaces import Architecture, InputError
from studies.core.budget import parse_budget
from studies.core.candidate import Candidate
from studies.core.info import StudyInfo
from studies.core.outcome import Rejected, Runtime, Size, Trained
from studies.core.record import Record
from studies.results.front import Reference, contributions, front, trained
from studies.results.selection import Selection, select
from studies.results.snapshot import StudySnapshot

BUDGET = parse_budget("8ms")
FREE = parse_budget(None, "10G")


def record(trial: int, gain_db: float, runtime_ms: float, **more) -> Record:
    outcome = Trained(gain_db, {}, {}, Runtime(runtime_ms, "predicted", "x"), Size(1, 10**9))
    return Record(Candidate(trial, Architecture()), outcome, finished=float(trial), **more)


def chosen(records, selection=None, budget=BUDGET) -> list[int]:
    study = StudySnapshot(StudyInfo("demo", {"budget": budget.to_dict()}, ()), tuple(records))
    return [member.trial for member in select(study, selection or Selection())]


RECORDS = [
    record(0, 0.10, 1.0),
    record(1, 0.50, 2.0),
    record(2, 0.51, 2.2),  # hardly better than its neighbour, and hardly slower
    record(3, 0.80, 5.0),
    record(4, 0.30, 4.0),  # dominated
]


@pytest.mark.parametrize("seed", range(20))
def test_a_contribution_is_the_area_that_no_other_member_covers(seed):
    """Cell by cell, on a grid through all members: another way than taking differences."""
    random = np.random.default_rng(seed)
    gains, runtimes = random.integers(-3, 12, 20) / 12, random.integers(1, 12, 20)
    members = trained(
        [
            record(i, float(g), float(t))
            for i, (g, t) in enumerate(zip(gains, runtimes, strict=True))
        ]
    )
    reference, line = 8.0, front(members)
    heights = sorted({0.0, *(m.gain_db for m in line if m.gain_db > 0)})
    widths = sorted({0.0, *(max(math.log2(reference / max(m.runtime_ms, 1.0)), 0.0) for m in line)})
    alone = dict.fromkeys((m.trial for m in line), 0.0)
    for (low, high), (left, right) in itertools.product(
        itertools.pairwise(heights), itertools.pairwise(widths)
    ):
        covering = [
            m.trial
            for m in line
            if m.gain_db >= high and math.log2(reference / max(m.runtime_ms, 1.0)) >= right
        ]
        if len(covering) == 1:
            alone[covering[0]] += (high - low) * (right - left)
    assert contributions(members, Reference(reference, 1.0)) == pytest.approx(alone)


def test_one_that_tints_is_promoted_only_by_its_number():
    records = [*RECORDS, record(5, 0.9, 4.5, tints=True)]
    assert chosen(records) == chosen(RECORDS)
    assert chosen(records, Selection(under_ms=5.0)) == [3]
    assert chosen(records, Selection(trials=(5,))) == [5]
    strict = parse_budget("8ms", max_colour_loss="0.1")
    with pytest.raises(InputError, match=r"no trained candidate of .* Cb or Cr too far below"):
        chosen(records[-1:], budget=strict)


def test_by_default_those_go_on_that_the_front_would_miss_most():
    assert chosen(RECORDS) == [1, 3, 0], "one of the twins stays, although neither is missed"
    assert chosen(RECORDS, Selection(top=1)) == [1]
    assert set(chosen(RECORDS, Selection(top=99))) == {0, 1, 2, 3}, "never more than the front has"


def test_without_a_limit_of_the_runtime_the_highest_gain_still_counts():
    assert chosen(RECORDS, Selection(top=1), FREE) == [1]
    assert 3 in chosen(RECORDS, Selection(top=2), FREE)


def test_what_gains_nothing_is_promoted_only_by_force():
    records = [record(0, -0.3, 1.0), record(1, 0.0, 2.0)]
    with pytest.raises(InputError, match="no better than Lanczos: trial 0"):
        chosen(records, Selection(top=1))
    with pytest.raises(InputError, match=r"trial 1 .* \(\+0\.000 dB\): .* --force"):
        chosen(records, Selection(trials=(1,)))
    assert chosen(records, Selection(trials=(1,), force=True)) == [1]


def test_trials_by_number_on_the_front_or_not_and_each_once():
    assert chosen(RECORDS, Selection(trials=(4, 0, 4))) == [4, 0]
    twin = record(5, 0.5, 2.0, duplicate_of=1)
    assert chosen([*RECORDS, twin], Selection(trials=(5, 1))) == [1], "a duplicate is its original"


def test_the_best_under_a_runtime():
    assert chosen(RECORDS, Selection(under_ms=2.1)) == [1]
    with pytest.raises(InputError, match=r"under 0\.5 ms: the fastest is trial 0 with 1\.000 ms"):
        chosen(RECORDS, Selection(under_ms=0.5))


def test_what_cannot_be_chosen_is_told():
    over = Rejected("runtime_ms", 9.0, 8.0, Runtime(9.0, "predicted", "x"), Size(1, 1))
    records = [*RECORDS, Record(Candidate(6, Architecture()), over)]
    with pytest.raises(InputError, match=r"trial 6 .* not trained \(9\.00 ms over the limit"):
        chosen(records, Selection(trials=(6,)))
    with pytest.raises(InputError, match="no trial 7: trained were 0, 1, 2, 3, 4"):
        chosen(records, Selection(trials=(7,)))
    with pytest.raises(InputError, match="no trained candidate yet"):
        chosen([])
    with pytest.raises(InputError, match="one of --top, --trial and --under"):
        chosen(records, Selection(top=1, under_ms=1.0))
