"""Fronts, hypervolumes and rungs against what brute force says."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from search_spaces import Architecture
from studies.core.budget import Budget
from studies.core.candidate import Candidate
from studies.core.noise import Noise
from studies.core.outcome import Broken, PartialResult, Rejected, Rung, Runtime, Size, Trained
from studies.core.record import Record, count
from studies.results.front import (
    Member,
    Reference,
    best_within,
    front,
    hypervolume,
    hypervolume_history,
    knee,
    left_out_note,
    reference_of,
    trained,
    with_probabilities,
)
from studies.sampling.pruner import ParetoRungs, goes_on_with, non_domination_ranks

AT_8 = Reference(8.0, 1.0)
NOISE = Noise(0.008)


def member(trial: int, gain_db: float, runtime_ms: float) -> Member:
    return Member(trial, "n", {}, gain_db, runtime_ms, "predicted", 1.0, 1)


def record(trial: int, gain_db: float, runtime_ms: float, **more) -> Record:
    outcome = Trained(gain_db, {}, {}, Runtime(runtime_ms, "predicted", "x"), Size(1, 10**9))
    return Record(Candidate(trial, Architecture()), outcome, finished=float(trial), **more)


def random_members(seed: int, count: int = 40, steps: int = 12) -> list[Member]:
    """On a coarse grid, so that there are many ties."""
    random = np.random.default_rng(seed)
    gains, runtimes = random.integers(-3, steps, count) / steps, random.integers(1, steps, count)
    return [
        member(i, float(g), float(t)) for i, (g, t) in enumerate(zip(gains, runtimes, strict=True))
    ]


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_what_nothing_dominates(seed):
    members = random_members(seed)

    def dominates(a, b):
        point = (a.gain_db, a.runtime_ms), (b.gain_db, b.runtime_ms)
        return a.gain_db >= b.gain_db and a.runtime_ms <= b.runtime_ms and point[0] != point[1]

    above = [m for m in members if m.gain_db > 0]
    undominated = [m for m in above if not any(dominates(other, m) for other in above)]
    found = front(members)
    assert {(m.gain_db, m.runtime_ms) for m in found} == {
        (m.gain_db, m.runtime_ms) for m in undominated
    }
    assert [m.runtime_ms for m in found] == sorted({m.runtime_ms for m in found})
    assert front(found) == found
    first = {}  # of equals the earliest stays
    for m in undominated:
        first.setdefault((m.gain_db, m.runtime_ms), m)
    assert {m.trial for m in found} == {m.trial for m in first.values()}


@pytest.mark.parametrize("seed", range(20))
def test_the_hypervolume_is_the_area_of_the_covered_cells(seed):
    members, reference = random_members(seed), 8.0
    least = 2.0
    gains = sorted({0.0, *(m.gain_db for m in members if m.gain_db > 0)})
    widths = sorted({0.0, *(math.log2(reference / max(m.runtime_ms, least)) for m in members)})
    area = 0.0
    for (low, high), (left, right) in itertools.product(
        itertools.pairwise(gains), itertools.pairwise(w for w in widths if w >= 0)
    ):
        covered = any(
            m.gain_db >= high and math.log2(reference / max(m.runtime_ms, least)) >= right
            for m in members
        )
        area += (high - low) * (right - left) * covered
    assert hypervolume(members, Reference(reference, least)) == pytest.approx(area)


def test_the_unit_is_a_decibel_for_each_halving_of_the_runtime():
    assert hypervolume([member(0, 0.5, 2.0)], AT_8) == pytest.approx(0.5 * 2)
    assert hypervolume([member(0, -0.1, 1.0), member(1, 1.0, 9.0)], AT_8) == 0.0
    assert hypervolume([], AT_8) == 0.0


def test_the_history_never_falls_and_ends_at_the_whole():
    records = [record(i, m.gain_db, m.runtime_ms) for i, m in enumerate(random_members(3))]
    history = hypervolume_history(records, AT_8)
    assert len(history) == len(records) and history == sorted(history)
    assert history[-1] == pytest.approx(hypervolume(trained(records), AT_8))


def test_only_trained_candidates_are_members_and_each_once():
    runtime, size = Runtime(9.0, "predicted", "x"), Size(1, 1)
    records = [
        record(0, 0.1, 1.0),
        record(1, 0.1, 1.0, duplicate_of=0),
        Record(Candidate(2, Architecture()), Rejected("runtime_ms", 9.0, 8.0, runtime, size)),
        Record(Candidate(3, Architecture()), Broken("diverged", "nan", runtime, size)),
        Record(Candidate(4, Architecture()), Rejected("rung", 0.1, 0.2, runtime, size)),
        Record(Candidate(5, Architecture())),
    ]
    assert [m.trial for m in trained(records)] == [0]
    tally = count(records)
    assert (tally.trained, tally.duplicates, tally.rejected) == (1, 1, 1)
    assert (tally.broken, tally.stopped, tally.running) == (1, 1, 1)
    assert tally.done == 2  # trained to the end, or to the rung that stopped it


def test_a_member_is_the_json_that_scripts_read():
    (found,) = trained([record(7, 0.25, 1.5)])
    keys = ["trial", "name", "architecture", "gain_db", "runtime_ms", "runtime_kind"]
    assert list(found.to_dict()) == [
        *keys,
        *("macs_g", "params", "memory_mb", "trainings", "gain_sd_db", "front_probability"),
        *("gain_cb_db", "gain_cr_db", "tints"),
    ]
    assert Architecture.from_dict(found.to_dict()["architecture"]) == Architecture()


def test_choosing_from_a_front():
    members = [member(0, 0.1, 1.0), member(1, 0.8, 2.0), member(2, 0.9, 6.0), member(3, 1.0, 8.0)]
    assert knee(members).trial == 1
    assert best_within(members, 7.0).trial == 2
    assert best_within(members, 0.5) is None
    assert knee([member(0, 0.1, 1.0), member(1, 0.2, 4.0), member(2, 1.0, 8.0)]).trial == 2
    assert knee([]) is None and knee(members[:2]).trial == 1
    assert reference_of(members, Budget()) == Reference(8.0, 1.0)
    assert reference_of(members, Budget(4.0)) == Reference(4.0, 0.5)
    assert reference_of(members, Budget(4.0, least_ms=1.0)) == Reference(4.0, 1.0)
    assert reference_of([], Budget()).runtime_ms > 0


def test_what_gains_nothing_is_no_result():
    members = [member(0, -0.2, 1.0), member(1, 0.0, 2.0), member(2, 0.1, 4.0)]
    assert [m.trial for m in front(members)] == [2] and best_within(members, 3.0) is None
    assert front(members[:2]) == () and knee(members[:2]) is None
    note = left_out_note(members, NOISE)
    assert note == "2 left out, no better than Lanczos: trial 0 (-0.200 dB), trial 1 (+0.000 dB)"


def test_faster_than_the_least_is_worth_no_more():
    slow, fast = member(0, 0.5, 1.0), member(1, 0.5, 0.1)
    assert hypervolume([fast], AT_8) == hypervolume([slow], AT_8) == pytest.approx(0.5 * 3)
    assert front([slow, fast]) == (fast,)


def test_one_that_tints_is_trained_but_nothing_is_made_of_it():
    records = [
        record(0, 0.1, 1.0, repeats=(0.12,)),
        record(1, 0.9, 2.0, tints=True),
        record(2, 0.2, 4.0),
    ]
    members = trained(records)
    assert [m.trial for m in members] == [0, 1, 2] and members[1].tints
    rest = (members[0], members[2])
    assert [m.trial for m in front(members)] == [0, 2] and knee(members).trial == 2
    assert hypervolume(members, AT_8) == hypervolume(rest, AT_8)
    assert hypervolume_history(records, AT_8)[-1] == hypervolume(rest, AT_8)
    assert best_within(members, 3.0).trial == 0
    chances = [m.front_probability for m in with_probabilities(members, NOISE)]
    assert chances[1] is None and chances[0] == 1.0 and chances[2] > 0.9
    assert reference_of(members[:2], Budget()).runtime_ms == 1.0
    assert front(members[1:2]) == ()
    assert with_probabilities(members[1:2], NOISE) == members[1:2]


def test_the_lower_gain_of_colour_is_shown_with_a_word_for_a_tint():
    plain = member(0, 0.1, 1.0)
    assert plain.colour_shown(3) == "-" and left_out_note([plain], NOISE) == ""
    tinted = replace(plain, gain_cb_db=0.25, gain_cr_db=-0.3, tints=True)
    assert tinted.colour_shown(3) == "-0.300 tints" and tinted.colour_shown(1) == "-0.3 tints"
    told = left_out_note([tinted] * 8, NOISE)
    assert told.startswith("8 left out, Cb or Cr too far below") and told.count("-0.300 dB") == 6
    assert told.endswith("and 2 more")


def at(step: int, gain_db: float, runtime_ms: float) -> PartialResult:
    runtime = Runtime(runtime_ms, "predicted", "x")
    return PartialResult(runtime, Size(1, 1), (Rung(step, gain_db, 1.0),))


def test_ranks_peel_front_after_front():
    points = [(1.0, 1.0), (0.5, 1.0), (2.0, 3.0), (0.4, 2.0), (1.0, 1.0)]
    assert non_domination_ranks(points) == [0, 1, 0, 2, 0]


@pytest.mark.parametrize("seed", range(20))
def test_ranks_are_those_of_the_definition(seed):
    points = [(m.gain_db, m.runtime_ms) for m in random_members(seed)]
    ranks = non_domination_ranks(points)
    for rank in range(max(ranks) + 1):
        left = {p for p, r in zip(points, ranks, strict=True) if r >= rank}
        best = {p for p in left if not any(q[0] >= p[0] and q[1] <= p[1] and q != p for q in left)}
        assert best == {p for p, r in zip(points, ranks, strict=True) if r == rank}


def test_a_fast_network_is_never_stopped_for_its_low_gain():
    rungs = ParetoRungs(keep_one_in=3)
    for trial in range(12):
        assert rungs.stops(at(100, 0.5 + trial / 100, 6.0 + trial / 10)) is None
    assert rungs.stops(at(100, 0.01, 0.5)) is None


def test_a_dominated_one_is_stopped_and_told_what_it_needed():
    rungs = ParetoRungs(keep_one_in=3)
    for gain in (0.3, 0.4, 0.5):
        rungs.stops(at(100, gain, 4.0))
    needed = rungs.stops(at(100, 0.1, 5.0))
    assert needed is not None and 0.1 < needed <= 0.5
    assert rungs.stops(at(200, 0.1, 5.0)) is None  # nobody else was there yet


@pytest.mark.parametrize("seed", range(20))
def test_what_it_needed_is_the_least_gain_that_goes_on(seed):
    points = [(m.gain_db, m.runtime_ms) for m in random_members(seed)]
    rungs = ParetoRungs(keep_one_in=3)
    for gain, ms in points:
        rungs.stops(at(100, gain, ms))
    gains = sorted({gain for gain, _ in points})
    needed = rungs.stops(at(100, -9.0, 5.0))
    enough = [gain for gain in gains if goes_on_with(points, (gain, 5.0), 3)]
    assert needed == min(enough, default=gains[-1])


def test_rungs_remember_what_earlier_runs_reached():
    runtime, size = Runtime(4.0, "predicted", "x"), Size(1, 1)
    old = [
        Record(
            Candidate(i, Architecture()),
            Trained(gain, {}, {}, runtime, size, curve=(Rung(100, gain, 1.0),)),
        )
        for i, gain in enumerate((0.3, 0.4, 0.5))
    ]
    assert ParetoRungs(3, old).stops(at(100, 0.1, 5.0)) is not None
    assert ParetoRungs(3).stops(at(100, 0.1, 5.0)) is None
