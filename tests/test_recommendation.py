"""Which network of a front is recommended, and that the noise of seeds does not decide it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from mlflow import MlflowClient
from pages import Page
from quick_search import Quick, settings, small_space

from studies.core.noise import Noise
from studies.core.outcome import Trained
from studies.report.report import report
from studies.report.static import front_figure
from studies.report.summary import Places, story
from studies.results.front import Member, front, trained
from studies.results.recommendation import best_compromise, highest_gain
from studies.results.selection import Selection, select
from studies.results.snapshot import load
from studies.runners.inline import InlineRunner
from studies.sampling import ehvi
from studies.sampling.pool import Costs
from studies.search import conduct
from studies.tracking.store import EXPERIMENT

pytestmark = pytest.mark.usefixtures("own_database")

NOISE = Noise(0.008)
"""Two single trainings tie if their gains differ by at most 0.0226 dB."""


def member(trial: int, gain_db: float, runtime_ms: float, **more) -> Member:
    return Member(trial, "n", {}, gain_db, runtime_ms, "predicted", 1.0, 1, **more)


def test_of_those_that_tie_the_fastest_is_recommended():
    members = [member(0, 0.02, 0.5), member(1, 0.178, 1.0), member(2, 0.19, 2.0)]
    members.append(member(3, 0.2, 4.0))
    found = highest_gain(members, NOISE)
    assert found.member.trial == 1 and [m.trial for m in found.tied] == [2, 3]
    assert found.tie == (
        "Trial 1 ties with trials 2 and 3: their gains differ by no more than chance may "
        "(seed noise 0.008 dB, shipped); trial 1 is the fastest."
    )
    assert highest_gain(members, Noise(0.007)).member.trial == 2, "0.022 dB is too much then"
    assert highest_gain(members, NOISE, runtime_ms=0.9).member.trial == 0
    assert highest_gain(members, NOISE, runtime_ms=0.9).tie == ""
    assert highest_gain(members, NOISE, runtime_ms=0.4) is None
    often = [replace(m, trainings=4) for m in members]
    assert highest_gain(often, NOISE).member.trial == 2, "means of four are twice as sure"


def test_of_those_as_fast_the_smallest_is_recommended():
    members = [member(0, 0.19, 1.0), member(1, 0.2, 1.01), member(2, 0.201, 1.5)]
    members = [replace(m, params=10 - m.trial) for m in members]
    found = highest_gain(members, NOISE)
    assert found.member.trial == 1 and found.tie.endswith("trial 1 is the smallest of the fastest.")


def test_the_compromise_is_chosen_among_what_noise_tells_apart():
    line = [member(0, 0.02, 0.5), member(1, 0.1, 0.7), member(2, 0.105, 0.9), member(3, 0.14, 1.6)]
    plain = best_compromise(line, NOISE)
    assert plain.member.trial == 1 and [m.trial for m in plain.tied] == [2]
    lucky = member(4, 0.141, 8.0)  # it moves the end of the front, and so a knee by gains alone
    assert best_compromise([*line, lucky], NOISE) == plain
    assert best_compromise([member(0, -0.1, 1.0)], NOISE) is None


def test_two_searches_with_two_seeds_recommend_the_same():
    true = {0.5: 0.05, 1.0: 0.15, 1.2: 0.15, 1.5: 0.15, 3.0: 0.2, 4.0: 0.2, 6.0: 0.2}

    def search(seed: int) -> list[Member]:
        luck = np.random.default_rng(seed).normal(0, NOISE.sd_db, len(true))
        return [
            member(trial, gain + by, ms)
            for trial, ((ms, gain), by) in enumerate(zip(true.items(), luck, strict=True))
        ]

    searches = [search(seed) for seed in range(200)]
    taken = [highest_gain(found, NOISE).member.runtime_ms for found in searches]
    luckiest = [front(found)[-1].runtime_ms for found in searches]
    assert np.mean(np.array(taken) == 3.0) > 0.9 > np.mean(np.array(luckiest) == 3.0) + 0.4
    compromises = [best_compromise(found, NOISE).member.runtime_ms for found in searches]
    assert np.mean(np.array(compromises) == 1.0) > 0.9


def test_digits_end_where_the_noise_begins():
    noises = {0.0: 3, 0.0004: 3, 0.008: 3, 0.01: 2, 0.013: 2, 0.03: 2, 0.1: 1, 2.0: 1}
    assert {sd_db: Noise(sd_db).digits for sd_db in noises} == noises


GAINS = {8: 0.02, 10: 0.1, 12: 0.104, 14: 0.125, 16: 0.13}
"""By width. Without repeats and after so few steps gains tie up to 0.0141 dB."""


class Tied(Quick):
    """Gains by width, moved by seeds."""

    def __init__(self, moved_db: float = 0.0) -> None:
        super().__init__()
        self._moved_db = moved_db

    def __call__(self, candidate):
        outcome = yield from super().__call__(candidate)
        if isinstance(outcome, Trained):
            gain = GAINS[candidate.architecture.width] + self._moved_db * candidate.repeat
            outcome = replace(outcome, gain_db=gain)
        return outcome


def study(folder, **changes):
    space = small_space(width=list(GAINS), depth=[1], block=["conv"], residual=["none"])
    one = space.architecture({"width": 10, "depth": 1, "block": "conv", "residual": "none"})
    given = {"PixelArtAI": one}
    return settings(folder, space=space, trials=len(GAINS), known=given, **changes)


def by_width(records) -> dict[int, int]:
    own = [record for record in records if record.duplicate_of is None]
    return {record.candidate.architecture.width: record.trial for record in own}


def test_nas_front_says_what_ties_and_calls_a_given_network_a_layout(tmp_path, nas):
    summary = conduct(study(tmp_path), Tied())
    trial = by_width(summary.records)
    code, out, _ = nas("front", "quick", "--storage", study(tmp_path).store.url)
    lines = [line.strip() for line in out.splitlines()]
    assert code == 0
    assert "* best compromise: trial 0 (PixelArtAI layout)" in lines
    assert lines[lines.index("* best compromise: trial 0 (PixelArtAI layout)") + 1] == (
        f"Trial 0 ties with trial {trial[12]}: their gains differ by no more than chance may "
        "(seed noise 0.005 dB, shipped); trial 0 is the fastest."
    )
    (highest,) = [line for line in lines if line.startswith("highest gain: ")]
    assert highest.startswith(f"highest gain: trial {trial[14]} (conv-14-")
    assert any(f"Trial {trial[14]} ties with trial {trial[16]}: " in line for line in lines)
    assert re.search(r"0\* +\+0\.100 +\d+% .* PixelArtAI layout", out), "marked, and probable"
    shown = json.loads(nas("front", "quick", "--storage", study(tmp_path).store.url, "--json")[1])
    named = {row["trial"]: row for row in shown}
    assert named[0]["name"] == "PixelArtAI" and named[0]["gain_db"] == 0.1
    assert all(0 < row["front_probability"] <= 1 for row in shown)


def test_tables_are_no_wider_than_80_columns(tmp_path, nas, monkeypatch):
    from rich.console import Console

    from nas.cli import terminal

    conduct(study(tmp_path), Tied(0.001), repeats=2)
    monkeypatch.setattr(terminal, "out", Console(width=80, force_terminal=True, color_system=None))
    out = nas("front", "quick", "--storage", study(tmp_path).store.url)[1]
    table = out.split("* best")[0]
    assert all(len(line) <= 80 for line in table.splitlines()), table
    assert "±" in table and re.search(r"0\*.*PixelArtAI", table) and "layout" in table


def test_repeats_decide_the_noise_of_tables_figures_and_the_sampler(tmp_path, nas, monkeypatch):
    """Seeds move gains by 0.04 dB, so that two decimals and a sd of 0.028 dB are left."""
    conduct(study(tmp_path), Tied(0.04), InlineRunner(1), repeats=2)
    snapshot = load(study(tmp_path).store, "quick")
    info, records = snapshot.info, snapshot.records
    out = nas("front", "quick", "--storage", study(tmp_path).store.url)[1]
    told = re.search(r"\(seed noise 0\.028 dB, from (\d) repeats\)", out)
    assert int(told[1]) == sum(len(record.repeats) for record in records)
    assert "+0.15" in out and "+0.150" not in out
    page = Page(report(info, records, Places()))
    header = next(row for row in page.rows if row[:2] == ["trial", "network"])
    row = page.rows[page.rows.index(header) + 1]
    for column in ("gain dB", "± dB", "worth", "QP 31"):
        assert re.fullmatch(r"[+-]?\d\.\d\d", row[header.index(column)]), column
    assert "0.028 dB, from" in page.words

    asked = []

    class Recorded(ehvi.EhviSampler):
        def __init__(self, *given):
            asked.append(given[5])
            super().__init__(*given)

    monkeypatch.setattr(ehvi, "EhviSampler", Recorded)
    costs = Costs(1.0, 1e9, 1000, 1.0)
    again = study(tmp_path, sampler="ehvi", costs_of=lambda architecture: costs)
    conduct(replace(again, trials=len(GAINS) + 1), Tied())
    assert asked and asked[0] == pytest.approx(0.04 / 2**0.5)


def test_figures_draw_the_noise_around_the_front(tmp_path):
    conduct(study(tmp_path), Tied())
    snapshot = load(study(tmp_path).store, "quick")
    info, records = snapshot.info, snapshot.records
    (axes,) = front_figure(records, info.budget).axes
    label = "± seed noise 0.005 dB, shipped"
    assert label in [text.get_text() for text in axes.get_legend().get_texts()]
    (band,) = [area for area in axes.collections if area.get_label() == label]
    _, low = band.get_datalim(axes.transData).min
    _, high = band.get_datalim(axes.transData).max
    assert (low, high) == pytest.approx((0.015, 0.135))
    traces = Page(report(info, records, Places())).figures["front"]["data"]
    (drawn,) = [trace for trace in traces if trace["name"] == label]
    members = front(trained(records))
    for found in members:
        heights = [y for x, y in zip(drawn["x"], drawn["y"], strict=True) if x == found.runtime_ms]
        assert {round(found.gain_db + by, 6) for by in (-0.005, 0.005)} <= {
            round(height, 6) for height in heights
        }
    assert max(drawn["x"]) == info.budget.runtime_ms and drawn["fill"] == "toself"


def test_given_networks_are_called_layouts_in_reports_notes_and_mlflow(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    conduct(study(tmp_path), Tied(), tracking_uri=uri)
    snapshot = load(study(tmp_path).store, "quick")
    info, records = snapshot.info, snapshot.records
    page = Page(report(info, records, Places()))
    assert "trial 0 (PixelArtAI layout)" in page.words
    (trace,) = [t for t in page.figures["front"]["data"] if t["name"] == "front (trial)"]
    assert any("trial 0 (PixelArtAI layout)" in words for words in trace["hovertext"])
    note = story(info, records, Places())
    assert "The best compromise is trial 0 (PixelArtAI layout): **+0.100 dB**" in note
    assert "Trial 0 ties with trial" in note and "The highest gain has trial" in note
    assert "| PixelArtAI layout |" in note
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    (run,) = client.search_runs([experiment], "tags.trial = '0'")
    assert run.info.run_name == "000 PixelArtAI layout"
    assert run.data.tags["origin"] == "PixelArtAI layout"
    bare = re.compile(r"PixelArtAI(?! layout)")
    assert not bare.search(note) and not bare.search(json.dumps(run.data.tags))


def test_promotion_under_a_runtime_takes_the_fastest_of_those_that_tie(tmp_path):
    summary = conduct(study(tmp_path), Tied())
    trial = by_width(summary.records)

    def under(ms: float) -> list[int]:
        return [found.trial for found in select(summary.snapshot, Selection(under_ms=ms))]

    assert under(2.0) == [trial[14]] and under(1.0) == [trial[10]]
