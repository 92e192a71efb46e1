"""`nas search --repeats`: what another seed would have changed, for each member of the front."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace

import pytest
from mlflow import MlflowClient
from quick_search import Quick, settings

from studies.events import Repeated
from studies.front import front, trained
from studies.noise import front_probabilities, pooled_sd_db
from studies.outcome import Trained
from studies.reading import read_study
from studies.runners.inline import InlineRunner
from studies.search import conduct
from studies.tracking.store import EXPERIMENT


@dataclass(frozen=True)
class Noisy(Quick):
    """As the quick search, with a gain that depends on the seed."""

    sd_db: float = 0.02

    def __call__(self, candidate):
        outcome = yield from super().__call__(candidate)
        if isinstance(outcome, Trained):
            seed = f"{candidate.key}/{candidate.repeat}"
            noise = random.Random(seed).gauss(0, self.sd_db)
            return replace(outcome, gain_db=outcome.gain_db + noise)
        return outcome


def test_every_member_of_the_front_is_trained_as_often_as_asked(tmp_path):
    heard = []
    summary = conduct(
        settings(tmp_path), Noisy(), InlineRunner(2), repeats=3, on_event=heard.append
    )
    assert all(member.trainings == 3 for member in summary.front)
    assert all(member.gain_sd_db > 0 for member in summary.front)
    assert all(0 < member.front_probability <= 1 for member in summary.front)
    records = {record.trial: record for record in summary.records}
    for member in summary.front:
        record = records[member.trial]
        gains = (record.outcome.gain_db, *record.repeats)
        assert len(set(gains)) == 3
        assert member.gain_db == pytest.approx(sum(gains) / 3)
    others = [m for m in trained(summary.records) if m.trainings == 1]
    assert others  # only who is on the front, or was when it was trained again, costs trainings
    again = [event for event in heard if isinstance(event, Repeated)]
    assert len(again) == sum(len(record.repeats) for record in summary.records)


def test_they_are_kept_and_never_done_twice(tmp_path):
    first = conduct(settings(tmp_path), Noisy(tmp_path / "log"), repeats=2)
    lines = (tmp_path / "log").read_text().count("\n")
    assert conduct(settings(tmp_path), Noisy(tmp_path / "log"), repeats=2).front == first.front
    assert (tmp_path / "log").read_text().count("\n") == lines
    more = conduct(settings(tmp_path), Noisy(tmp_path / "log"), repeats=3)
    assert all(member.trainings == 3 for member in more.front)
    _, read = read_study(settings(tmp_path).storage, "quick")
    assert front(trained(read)) == more.front


def test_cut_off_in_the_middle_of_them_it_goes_on(tmp_path):
    def cut(event):
        if isinstance(event, Repeated):
            raise KeyboardInterrupt

    assert conduct(settings(tmp_path), Noisy(), repeats=3, on_event=cut).interrupted
    _, read = read_study(settings(tmp_path).storage, "quick")
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
    assert len(tries) == len(set(tries)) == len(summary.front)
    assert all(member.trainings == 1 for member in summary.front)


def test_front_and_mlflow_show_them(tmp_path, nas):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    summary = conduct(settings(tmp_path), Noisy(), repeats=2, tracking_uri=uri)
    found = summary.front
    url = settings(tmp_path).storage
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
    assert parent.data.metrics["hypervolume"] == pytest.approx(summary.hypervolume)
    for member in found:
        assert metrics[member.trial]["gain_mean_db"] == pytest.approx(member.gain_db)
        assert metrics[member.trial]["front_probability"] == member.front_probability


def test_probabilities_are_those_of_the_noise():
    alone = front_probabilities([1.0], [[0.1, 0.2]], 0.05)
    assert alone == [1.0]
    # The slower one is as good: it is better half of the time.
    assert front_probabilities([1.0, 2.0], [[0.1], [0.1]], 0.01) == pytest.approx(
        [1, 0.5], abs=0.03
    )
    # Better by two standard deviations of the difference: 98 %.
    sure = front_probabilities([2.0, 1.0], [[0.1 + 0.02 * 2**0.5], [0.1]], 0.01)
    assert sure == pytest.approx([0.977, 1], abs=0.02)
    # Trained four times each, its mean is twice as sure.
    four = front_probabilities([1.0, 2.0], [[0.1] * 4, [0.1 + 0.01 * 2**0.5] * 4], 0.01)
    assert four[1] == pytest.approx(0.977, abs=0.02)


def test_noise_is_pooled_over_those_trained_several_times():
    assert pooled_sd_db([[0.1], [0.2]]) is None
    assert pooled_sd_db([[0.0, 2.0], [5.0], [1.0, 1.0]]) == pytest.approx(1.0)
