"""What a study's trials come to does not depend on how often, or by which run, they were read."""

from __future__ import annotations

import random
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState
from quick_search import BUDGET, Noisy, Quick, outcome, settings, small_space

from search_spaces import Architecture
from studies.core.candidate import Candidate
from studies.core.ledger import Ledger
from studies.core.outcome import Broken, Trained, to_dict
from studies.core.study import open_study
from studies.core.trials import record_of, repeats_of
from studies.results.snapshot import load
from studies.runners.inline import InlineRunner
from studies.search import conduct

pytestmark = pytest.mark.usefixtures("own_database")


def ledger_of(study) -> Ledger:
    """Read at once from the first trial on."""
    raw = study._raw
    trials, repeats = raw.get_trials(deepcopy=False), repeats_of(raw.user_attrs)
    return Ledger.from_trials(trials, repeats, study._settings.budget)


def assert_agree(study) -> None:
    study._read()
    assert_equal(study._ledger, ledger_of(study))


def assert_equal(kept: Ledger, whole: Ledger) -> None:
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


class History:
    """Trials and repeats of a study that changes at random, as several runs and kills change it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.trials: list[FrozenTrial] = []
        self.repeats: dict[tuple[int, int], float | None] = {}
        self.now = datetime(2026, 1, 1)

    def step(self) -> None:
        self.now += timedelta(seconds=self.random.randrange(3))  # some end at the same time
        open_ = [t for t in self.trials if not t.state.is_finished()]
        trained = [t for t in self.trials if t.state == TrialState.COMPLETE]
        if trained and self.random.random() < 0.1:
            trial = self.random.choice(trained).number
            number = 1 + sum(which == trial for which, _ in self.repeats)
            self.repeats = {**self.repeats, (trial, number): self.random.choice([0.5, None])}
        elif not open_ or self.random.random() < 0.4:
            attrs = self.random.choice([{}, {"origin": "random"}, {"origin": "IVP"}])
            state = self.random.choice([TrialState.WAITING, TrialState.RUNNING])
            self.trials = [*self.trials, self.trial(len(self.trials), state, attrs)]
        else:
            self.change(self.random.choice(open_))

    def change(self, trial: FrozenTrial) -> None:
        attrs, state = dict(trial.user_attrs), TrialState.RUNNING
        if trial.state == TrialState.RUNNING and "candidate" not in attrs:
            if self.random.random() < 0.2:
                attrs["contradiction"], state = f"trial {trial.number}", TrialState.PRUNED
            else:
                width = self.random.choice([8, 10, 12])
                attrs["candidate"] = Candidate(trial.number, Architecture(width=width)).to_dict()
                equal = (
                    t.number
                    for t in self.trials
                    if t.state != TrialState.FAIL
                    and t.user_attrs.get("candidate", {}).get("architecture")
                    == attrs["candidate"]["architecture"]
                )
                if (first := next(equal, None)) is not None:
                    attrs["duplicate_of"] = first
        elif trial.state == TrialState.RUNNING and self.random.random() < 0.2:
            state = TrialState.FAIL
        elif trial.state == TrialState.RUNNING:
            candidate = Candidate.from_dict(attrs["candidate"])
            found = self.random.choice([outcome(candidate), Broken("error", "no reason")])
            attrs["outcome"] = to_dict(found)
            done = isinstance(found, Trained)
            state = TrialState.COMPLETE if done else TrialState.PRUNED
        changed = self.trial(trial.number, state, attrs)
        self.trials = [changed if t.number == trial.number else t for t in self.trials]

    def trial(self, number: int, state: TrialState, attrs: dict[str, Any]) -> FrozenTrial:
        return FrozenTrial(
            number=number,
            state=state,
            value=None,
            values=[0.0, 0.0] if state == TrialState.COMPLETE else None,
            datetime_start=self.now,
            datetime_complete=self.now if state.is_finished() else None,
            params={},
            distributions={},
            user_attrs=attrs,
            system_attrs={},
            intermediate_values={},
            trial_id=number,
        )


@pytest.mark.parametrize("seed", range(20))
def test_it_is_the_same_however_often_a_random_history_is_read(seed):
    history = History(seed)
    ledger = Ledger(BUDGET)
    for _ in range(60):
        history.step()
        if history.random.random() < 0.6:
            ledger = ledger.read(history.trials, history.repeats)
            assert_equal(ledger, Ledger.from_trials(history.trials, history.repeats, BUDGET))
    assert ledger.records


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
