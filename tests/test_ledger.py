"""What a study's trials come to does not depend on how often, or by which run, they were read."""

from __future__ import annotations

from dataclasses import fields

import pytest
from quick_search import Noisy, Quick, outcome, settings, small_space

from studies.core.ledger import Ledger
from studies.core.study import open_study
from studies.core.trials import record_of, repeats_of
from studies.results.snapshot import load
from studies.runners.inline import InlineRunner
from studies.search import conduct

pytestmark = pytest.mark.usefixtures("own_database")


def ledger_of(study) -> Ledger:
    """Read at once from the first trial on."""
    raw = study._raw
    return Ledger(study._settings.budget).read(
        raw.get_trials(deepcopy=False), repeats_of(raw.user_attrs)
    )


def assert_agree(study) -> None:
    study._read()
    kept, whole = study._ledger, ledger_of(study)
    for each in fields(Ledger):
        if each.name != "open":  # trials of Optuna, which do not compare by value
            assert getattr(kept, each.name) == getattr(whole, each.name), each.name
    assert [t.number for t in kept.open] == [t.number for t in whole.open]
    assert (kept.records, kept.counts) == (whole.records, whole.counts)
    assert (kept.asked, kept.waiting) == (whole.asked, whole.waiting)


class Checked:
    """Asks and tells as a search does, and compares after every step."""

    def __init__(self, study) -> None:
        self.study = study

    def ask(self):
        candidate = self.study.ask()
        assert_agree(self.study)
        return candidate

    def tell(self, candidate, outcome) -> None:
        self.study.tell(candidate, outcome)
        assert_agree(self.study)

    def at_rung(self, candidate, underway) -> None:
        return None


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_read_step_by_step_it_is_as_read_at_once(tmp_path, concurrency, seed):
    space = small_space(
        width=[8, 10, 12, 900],
        depth=[0, 1, 50],
        block=["conv", "ecb"],
        activation=["relu", "prelu"],
    )  # with duplicates, with choices that contradict, with networks that break
    chosen = settings(tmp_path, space=space, trials=40, sampler="random", seed=seed)
    with open_study(chosen) as study:
        InlineRunner(concurrency).run(Quick(), Checked(study))
        assert study.counts.duplicates and study.counts.broken and study.counts.trained
        assert any("contradiction" in t.user_attrs for t in study._raw.get_trials(deepcopy=False))


def test_what_was_given_back_is_asked_for_again_and_counts_once(tmp_path):
    with open_study(settings(tmp_path)) as study:
        left = [study.ask(), study.ask()]
        study.release()
        assert_agree(study)
        assert study.records == () and study._ledger.waiting == 2 and study._ledger.asked == 0
        assert [study.ask().key for _ in left] == [candidate.key for candidate in left]
        assert_agree(study)


def test_what_another_run_has_done_is_seen(tmp_path):
    with open_study(settings(tmp_path, trials=20)) as study:
        mine = study.ask()
        conduct(settings(tmp_path, trials=4), Noisy(), repeats=2)
        assert study.ask() is not None
        assert_agree(study)
        records = load(settings(tmp_path).store, "quick").records
        assert [r.trial for r in records] == [r.trial for r in study.records]
        assert any(record.repeats for record in study.records)
        assert {mine.trial} < {r.trial for r in study.records if r.outcome is None}


def test_only_trials_that_may_have_changed_are_read(tmp_path, monkeypatch):
    read: list[int] = []

    def counted(trial, budget):
        read.append(trial.number)
        return record_of(trial, budget)

    monkeypatch.setattr("studies.core.trials.record_of", counted)
    with open_study(settings(tmp_path, sampler="random")) as study:
        while (candidate := study.ask()) is not None:
            study.tell(candidate, outcome(candidate))
    assert len(read) <= 3 * len(study.records)
