"""What a search would do is found out with as little work as it takes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

from search_spaces.networks.network import Network
from studies.core.budget import parse_budget
from studies.core.candidate import Candidate
from studies.dry_run import plan
from studies.evaluation import evaluate
from studies.settings import SearchSettings
from studies.setup import prepare
from studies.storage.store import Store

SPACE = """
dimensions:
  stem: [conv, unshuffle2]
  width: {min: 4, max: 64, step: 2}
  depth: [1, 2]
  block: [conv]
"""


@pytest.fixture
def asked(pair_set, tmp_path) -> SearchSettings:
    (tmp_path / "small.yaml").write_text(SPACE)
    return SearchSettings(
        space=str(tmp_path / "small.yaml"),
        budget=parse_budget("2ms"),
        steps=2,
        data=pair_set.path,
        teacher=None,
        target="rtx4090",
        store=Store(f"sqlite:///{tmp_path}/studies.db"),
    )


@pytest.fixture
def built(monkeypatch) -> Counter[str]:
    """How often each network has been built since."""
    made: Counter[str] = Counter()
    init = Network.__init__

    def counted(self, architecture):
        made[architecture.label] += 1
        init(self, architecture)

    monkeypatch.setattr(Network, "__init__", counted)
    return made


def test_a_plan_builds_nothing_but_the_middle_one_to_train_it(asked, built):
    found = plan(asked)
    assert 0 < found.share_within < 1 and found.seconds_each > 0
    assert len(found.samples) > 1
    assert list(built.values()) == [2], "two short trainings say how long one takes"
    assert not any("Colour" in line for line in found.lines())


def test_a_limit_of_colour_is_told_and_gates_nothing(asked):
    found = plan(asked)
    limited = plan(replace(asked, budget=parse_budget("2ms", max_colour_loss="0.1")))
    assert limited.samples == found.samples and limited.share_within == found.share_within
    assert limited.budget == "2 ms, colour loss 0.1 dB" and limited.study != found.study
    assert any("0.1 dB below Lanczos is left out" in line for line in limited.lines())


def test_a_plan_counts_what_fits_and_names_limits_that_exclude_nothing(asked):
    found = plan(replace(asked, time_s=100.0))
    assert found.trials is None and found.time_s == 100.0
    assert found.trainings % found.concurrency == 0
    rounds = found.trainings / found.concurrency
    assert (rounds - 1) * found.seconds_each < 100 <= found.seconds == rounds * found.seconds_each
    assert found.lines()[0].startswith(f"study {found.study}: 1:40, 2 steps each")
    assert not any("excludes none" in line for line in found.lines())

    found = plan(replace(asked, trials=3, time_s=1e6, budget=parse_budget("90ms", None, "1M")))
    assert found.trainings == 3 and ": 3 candidates or 277:46:40" in found.lines()[0]
    loose = [line for line in found.lines() if "excludes none" in line]
    assert [line.split()[:2] for line in loose] == [
        ["--budget", "90ms"],
        ["--max-params", "1e+03k"],
    ]
    half = re.search(r"\. (--budget (.*)) would exclude half of them\.", loose[0])
    half_ms = parse_budget(half[2]).runtime_ms
    within = plan(replace(asked, budget=parse_budget(half[2]))).share_within
    assert 0.2 < within < 0.8 and half_ms < 90


def test_a_candidate_is_built_to_be_cross_checked_and_trained_not_to_be_rejected(asked, built):
    prepared = prepare(asked)
    small, large = (
        prepared.study.space.architecture(
            {"stem": "conv", "width": width, "depth": 1, "block": "conv"}
        )
        for width in (4, 64)
    )
    for number, architecture in enumerate((small, large)):
        list(evaluate(Candidate(number, architecture), prepared.evaluation))
    assert built == {small.label: 2}
