"""`nas search --repeats`: what another seed would have changed, for each member of the front."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from mlflow import MlflowClient
from quick_search import Noisy, Quick, settings

from search_spaces import Architecture
from studies.core.candidate import Candidate
from studies.core.noise import (
    SHIPPED_DB,
    Noise,
    pooled_sd_db,
    seed_noise,
)
from studies.core.outcome import Runtime, Size, Trained
from studies.core.record import Record
from studies.core.study import open_study
from studies.events import Repeated
from studies.repeats import contenders, next_repeat
from studies.results.front import front, front_probabilities, trained, with_probabilities
from studies.results.snapshot import load
from studies.runners.inline import InlineRunner
from studies.search import conduct
from studies.tracking.store import EXPERIMENT

pytestmark = pytest.mark.usefixtures("own_database")


def test_every_member_of_the_front_is_trained_as_often_as_asked(tmp_path):
    heard = []
    noisy = Noisy(sd_db=0.1)
    summary = conduct(settings(tmp_path), noisy, InlineRunner(2), repeats=3, on_event=heard.append)
    assert all(member.trainings == 3 for member in summary.front)
    assert all(member.gain_sd_db > 0 for member in summary.front)
    assert all(0 < member.front_probability <= 1 for member in summary.front)
    records = {record.trial: record for record in summary.records}
    for member in summary.front:
        record = records[member.trial]
        gains = (record.outcome.gain_db, *record.repeats)
        assert len(set(gains)) == 3
        assert member.gain_db == pytest.approx(sum(gains) / 3)
    once = {m.trial for m in trained(summary.records) if m.trainings == 1}
    assert once, "who is far below the front, and never was on it, costs no training"
    near = {member.trial for member in near_the_front(summary.records)}
    assert near and not once & near, "who may have missed it by bad luck does"
    again = [event for event in heard if isinstance(event, Repeated)]
    assert len(again) == sum(len(record.repeats) for record in summary.records)


def test_they_are_kept_and_never_done_twice(tmp_path):
    first = conduct(settings(tmp_path), Noisy(tmp_path / "log"), repeats=2)
    lines = (tmp_path / "log").read_text().count("\n")
    assert conduct(settings(tmp_path), Noisy(tmp_path / "log"), repeats=2).front == first.front
    assert (tmp_path / "log").read_text().count("\n") == lines
    more = conduct(settings(tmp_path), Noisy(tmp_path / "log"), repeats=3)
    assert all(member.trainings == 3 for member in more.front)
    read = load(settings(tmp_path).store, "quick").records
    assert front(with_probabilities(trained(read), seed_noise(read))) == more.front


def test_cut_off_in_the_middle_of_them_it_goes_on(tmp_path):
    def cut(event):
        if isinstance(event, Repeated):
            raise KeyboardInterrupt

    assert conduct(settings(tmp_path), Noisy(), repeats=3, on_event=cut).interrupted
    read = load(settings(tmp_path).store, "quick").records
    assert sum(len(record.repeats) for record in read) == 1
    assert all(m.trainings == 3 for m in conduct(settings(tmp_path), Noisy(), repeats=3).front)


def test_a_repeat_that_breaks_counts_for_nothing_and_is_not_tried_again(tmp_path):
    tries = []

    class Breaks(Quick):
        def __call__(self, candidate):
            if candidate.repeat:
                tries.append(candidate)
                outcome = yield from super().__call__(replace(candidate, repeat=0))
                return replace(outcome, gain_db=float("nan"))
            return (yield from super().__call__(candidate))

    summary = conduct(settings(tmp_path), Breaks(), repeats=2)
    assert len(tries) == len(set(tries))
    assert {tried.trial for tried in tries} >= {member.trial for member in summary.front}
    assert all(member.trainings == 1 for member in summary.front)


def record(trial: int, ms: float, gain: float, *repeats: float) -> Record:
    outcome = Trained(gain, {}, {}, Runtime(ms, "predicted", "quick"), Size(1, 1))
    return Record(Candidate(trial, Architecture()), outcome, repeats=repeats)


def near_the_front(records):
    return contenders(trained(records), seed_noise(records))


def test_who_is_just_below_the_front_is_trained_again_too():
    records = [
        record(0, 1.0, 0.100, 0.110),  # seeds change a gain by 0.007 dB
        record(1, 2.0, 0.095),  # as likely better as not, but for two of them
        record(2, 2.0, 0.050),
        record(3, 4.0, 0.200, 0.210),
        record(4, 8.0, 0.199),
    ]
    assert [member.trial for member in near_the_front(records)] == [4, 1]
    done = {(0, 1), (3, 1)}
    assert next_repeat(records, (), times=2) == (0, 1), "the front comes first"
    assert next_repeat(records, done, times=2) == (4, 1), "then who is nearest to it"
    assert next_repeat(records, done | {(4, 1)}, times=2) == (1, 1)
    assert next_repeat(records, done | {(4, 1), (1, 1)}, times=2) is None
    records[1] = record(1, 2.0, 0.095, 0.085)  # it was no bad luck
    assert [member.trial for member in near_the_front(records)] == [4]
    single = [record(0, 1.0, 0.1), record(1, 2.0, 0.099), record(2, 2.0, 0.05)]
    assert [member.trial for member in near_the_front(single)] == [1], "by the shipped noise"


def test_of_those_below_the_front_no_more_are_begun_with_than_it_has_members():
    records = {n: record(n, 2.0 + n, 0.099) for n in range(2, 30)}
    records |= {0: record(0, 1.0, 0.1, 0.11), 1: record(1, 1.5, 0.2, 0.21)}
    records |= {n: record(n, 2.0 + n, 0.204) for n in range(10, 20)}
    taken = {(0, 1), (1, 1)}
    while (wanted := next_repeat(records.values(), taken, times=3)) is not None:
        taken.add(wanted)
        known = records[wanted[0]]
        records[wanted[0]] = replace(known, repeats=(*known.repeats, known.outcome.gain_db))
    again = Counter(trial for trial, _ in taken)
    assert again.keys() >= {0, 1} and set(again.values()) == {2}
    line = {member.trial for member in front(trained(records.values()))}
    assert len(again.keys() - line) == len(line)


def test_two_searches_share_them(tmp_path):
    """In the middle of the first one's first repeat, another search does all the others."""
    done, other = [], []

    class Logged(Noisy):
        def __call__(self, candidate):
            outcome = yield from super().__call__(candidate)
            if candidate.repeat:
                done.append((candidate.trial, candidate.repeat))
            return outcome

    class First(Logged):
        def __call__(self, candidate):
            if candidate.repeat and not other:
                other.append(conduct(settings(tmp_path), Logged(), repeats=3))
            return (yield from super().__call__(candidate))

    summary = conduct(settings(tmp_path), First(), repeats=3)
    assert len(done) == len(set(done)) > len(summary.front)
    assert other[0].ended == "Another search on this study trains the last repeats."
    assert summary.ended is None and all(member.trainings == 3 for member in summary.front)


def test_what_a_run_that_is_gone_had_begun_is_free_again(tmp_path):
    conduct(settings(tmp_path), Quick())
    with open_study(settings(tmp_path)) as gone:
        claimed = gone.ask_repeat(lambda records, taken: (records[0].trial, 1))
        with open_study(settings(tmp_path)) as study:
            seen = []
            assert study.ask_repeat(lambda records, taken: seen.extend(taken)) is None
            assert seen == [(claimed.trial, 1)]
    with open_study(settings(tmp_path)) as study:
        assert study.ask_repeat(lambda records, taken: seen.append(list(taken))) is None
        assert seen[-1] == []


def test_front_and_mlflow_show_them(tmp_path, nas):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    summary = conduct(settings(tmp_path), Noisy(), repeats=2, tracking_uri=uri)
    found = summary.front
    url = settings(tmp_path).store.url
    shown = json.loads(nas("front", "quick", "--storage", url, "--json")[1])
    assert [row["gain_sd_db"] for row in shown] == [member.gain_sd_db for member in found]
    assert {row["trainings"] for row in shown} == {2}
    table = nas("front", "quick", "--storage", url)[1]
    assert "on front" in table and "(2)" in table and "%" in table
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    runs = client.search_runs([experiment], "tags.kind = 'trial'")
    metrics = {int(run.data.tags["trial"]): run.data.metrics for run in runs}
    (parent,) = client.search_runs([experiment], "tags.kind = 'study'")
    assert parent.data.metrics["hypervolume"] == pytest.approx(summary.snapshot.hypervolume)
    for member in found:
        assert metrics[member.trial]["gain_mean_db"] == pytest.approx(member.gain_db)
        assert metrics[member.trial]["front_probability"] == member.front_probability


def test_probabilities_are_those_of_the_noise():
    assert front_probabilities([1.0], [0.15], [2], 0.05) == [1.0]
    # The slower one is as good: it is better half of the time.
    even = front_probabilities([1.0, 2.0], [0.1, 0.1], [1, 1], 0.01)
    assert even == pytest.approx([1, 0.5], abs=0.03)
    # As fast: either is the better one half of the time.
    assert front_probabilities([1.0, 1.0], [0.1, 0.1], [1, 1], 0.01) == pytest.approx(
        [0.5, 0.5], abs=0.03
    )
    # Better by two standard deviations of the difference: 98 %.
    sure = front_probabilities([2.0, 1.0], [0.1 + 0.02 * 2**0.5, 0.1], [1, 1], 0.01)
    assert sure == pytest.approx([0.977, 1], abs=0.02)
    # Trained four times each, its mean is twice as sure.
    four = front_probabilities([1.0, 2.0], [0.1, 0.1 + 0.01 * 2**0.5], [4, 4], 0.01)
    assert four[1] == pytest.approx(0.977, abs=0.02)


def test_noise_is_pooled_over_those_trained_several_times():
    assert pooled_sd_db([]) is None and pooled_sd_db([(5.0,)]) is None
    gains = [record(0, 1.0, 0.0, 2.0), record(1, 1.0, 5.0), record(2, 1.0, 1.0, 1.0)]
    noise = seed_noise(gains)
    assert (noise.sd_db, noise.repeats) == (pytest.approx(1.0), 2)
    assert str(Noise(0.0212, 6)) == "seed noise 0.021 dB, from 6 repeats"
    assert str(Noise(0.02, 1)) == "seed noise 0.02 dB, from 1 repeat"


@pytest.mark.parametrize(
    ("steps", "like"), [(0, 150), (150, 150), (599, 150), (600, 600), (4000, 1200)]
)
def test_without_repeats_the_noise_is_what_is_shipped_for_trainings_as_long(steps, like):
    once = record(0, 1.0, 0.1)
    noise = seed_noise([replace(once, outcome=replace(once.outcome, steps=steps))])
    assert noise == Noise(SHIPPED_DB[like])
    assert str(noise) == f"seed noise {SHIPPED_DB[like]:g} dB, shipped"
