"""One persisted study: asked and told, never asked in vain."""

from __future__ import annotations

import json
from dataclasses import replace

import optuna
import pytest
from quick_search import BUDGET, TRIALS, Quick, Tinting, settings, small_space, states

from nas.common.errors import InputError
from search_spaces.space import Space
from search_spaces.zoo.survey import published
from studies.core.outcome import Broken, Rejected, Runtime, Size, Trained
from studies.core.study import open_study
from studies.results.front import trained
from studies.results.snapshot import load, load_all
from studies.runners.inline import InlineRunner
from studies.search import conduct

pytestmark = pytest.mark.usefixtures("own_database")


def test_a_search_trains_as_many_as_asked_and_records_the_rest(tmp_path):
    summary = conduct(settings(tmp_path), Quick(tmp_path / "log"))
    assert summary.counts.trained == summary.counts.done == TRIALS
    assert summary.counts.rejected > 0 and summary.counts.broken > 0
    assert summary.ended is None and not summary.interrupted
    assert len((tmp_path / "log").read_text().split()) == TRIALS
    assert states(tmp_path)["RUNNING"] == 0


def test_what_was_found_is_read_back_equal(tmp_path):
    summary = conduct(settings(tmp_path), Quick())
    snapshot = load(settings(tmp_path).store, "quick")
    info, records = snapshot.info, snapshot.records
    assert records == summary.records
    assert info.budget == BUDGET
    assert info.runs[0]["packages"]["optuna"]
    assert [found.name for found in load_all(settings(tmp_path).store)] == ["quick"]


def test_the_same_command_again_does_nothing_and_more_trials_go_on(tmp_path):
    first = conduct(settings(tmp_path), Quick(tmp_path / "log"))
    assert conduct(settings(tmp_path), Quick(tmp_path / "log")).records == first.records
    more = conduct(settings(tmp_path, trials=TRIALS + 2), Quick(tmp_path / "log"))
    assert more.counts.done == TRIALS + 2
    assert more.records[: len(first.records)] == first.records
    assert len((tmp_path / "log").read_text().split()) == TRIALS + 2


def test_objectives_and_constraints_stand_in_optuna(tmp_path):
    conduct(settings(tmp_path), Quick())
    study = optuna.load_study(study_name="quick", storage=settings(tmp_path).store.url)
    by_state = {trial.state.name: trial for trial in study.trials}
    assert by_state["COMPLETE"].constraints["runtime_ms"] <= 0
    assert len(by_state["COMPLETE"].values) == 2
    rejected = [t for t in study.trials if t.user_attrs["outcome"]["outcome"] == "rejected"]
    assert all(t.state.name == "PRUNED" and t.constraints["runtime_ms"] > 0 for t in rejected)
    broken = [t for t in study.trials if t.user_attrs["outcome"]["outcome"] == "broken"]
    assert all(t.state.name == "PRUNED" and t.constraints["broken"] > 0 for t in broken)
    assert {t.number for t in study.best_trials} <= {
        t.number for t in study.trials if t.state.name == "COMPLETE"
    }


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
def test_candidates_that_tint_are_trained_and_violate_a_constraint(tmp_path, sampler):
    limits = replace(BUDGET, colour_loss_db=0.35)
    summary = conduct(settings(tmp_path, budget=limits, sampler=sampler), Tinting())
    assert summary.counts.trained == TRIALS
    members = trained(summary.records)
    tinted = {m.trial for m in members if m.tints}
    assert tinted == {m.trial for m in members if m.gain_db > 0.35}
    assert 0 < len(tinted) < len(members)
    assert summary.front and not tinted & {m.trial for m in summary.front}
    study = optuna.load_study(study_name="quick", storage=settings(tmp_path).store.url)
    for member in members:
        trial = study.trials[member.trial]
        assert trial.state.name == "COMPLETE"
        assert trial.values[0] == member.gain_db
        assert trial.constraints["colour_loss_db"] == pytest.approx(member.gain_db - 0.35)
    assert not tinted & {trial.number for trial in study.best_trials}
    assert len({frozenset(trial.constraints) for trial in study.trials}) == 1
    snapshot = load(settings(tmp_path).store, "quick")
    info, records = snapshot.info, snapshot.records
    assert records == summary.records and info.budget == limits
    with pytest.raises(InputError, match=r"another budget \(2 ms, colour loss 0\.35 dB there"):
        conduct(settings(tmp_path), Tinting())


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random", "qmc"])
def test_every_sampler_searches(tmp_path, sampler):
    assert conduct(settings(tmp_path, sampler=sampler), Quick()).counts.done == TRIALS


def test_an_unknown_sampler_is_told_the_known_ones(tmp_path):
    with pytest.raises(InputError, match="--sampler 'best': choose one of auto, ehvi, tpe"):
        conduct(settings(tmp_path, sampler="best"), Quick())


def test_a_sampler_that_fails_is_not_taken_for_a_broken_database(tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("the covariance is not positive definite")

    monkeypatch.setattr(optuna.samplers.RandomSampler, "sample_independent", fails)
    with pytest.raises(RuntimeError, match="not positive definite"):
        conduct(settings(tmp_path, sampler="random"), Quick())
    monkeypatch.undo()
    assert conduct(settings(tmp_path, sampler="random"), Quick()).counts.done == TRIALS
    assert states(tmp_path)["RUNNING"] == 0


def test_gp_sees_what_was_not_trained_at_its_worst_but_it_never_reaches_the_front(tmp_path):
    space = small_space(
        width={"min": 8, "max": 32, "step": 2}, depth=[0, 1, 2], activation=["relu", "prelu"]
    )
    summary = conduct(settings(tmp_path, sampler="gp", space=space, trials=8), Quick())
    study = optuna.load_study(study_name="quick", storage=settings(tmp_path).store.url)
    failed = [r for r in summary.records if not isinstance(r.outcome, Trained)]
    assert {type(r.outcome) for r in failed} == {Rejected, Broken}
    assert all(study.trials[r.trial].state.name == "COMPLETE" for r in failed)
    assert not {m.trial for m in summary.front} & {r.trial for r in failed}
    assert not {trial.number for trial in study.best_trials} & {r.trial for r in failed}


def test_known_networks_are_a_third_of_the_trainings_at_any_time_and_come_once(tmp_path):
    known = {name: network.architecture for name, network in published.items()}
    space = settings(tmp_path).space
    inside = [name for name, one in known.items() if space.parameters(one) is not None]
    assert len(inside) >= 5
    for trials in (TRIALS, TRIALS + 4):
        summary = conduct(settings(tmp_path, known=known, trials=trials), Quick())
    asked = [record.candidate.origin for record in summary.records]
    given = [origin for origin in asked if origin in inside]
    assert asked[0] == inside[0] and given == inside[: len(given)]
    trained = [r.candidate.origin in inside for r in summary.records if r.counts_as_trained]
    assert trained.count(True) == len(trained) // 3 == 4
    for number in range(1, len(trained)):
        assert trained[:number].count(True) <= max(1, number // 3)


def test_equal_architectures_are_trained_once(tmp_path):
    # Without a body the block makes no difference: 3 parameter sets, one architecture.
    space = small_space(width=[8, 16], depth=[0], block=["conv", "ecb", "repvgg"])
    summary = conduct(settings(tmp_path, space=space, trials=5), Quick(tmp_path / "log"))
    trained = (tmp_path / "log").read_text().split()
    assert len(trained) == len(set(trained)) == summary.counts.trained == 2
    for record in summary.records:
        if record.duplicate_of is not None:
            assert record.outcome == summary.records[record.duplicate_of].outcome
    assert summary.ended == "Every candidate of the space has been tried."


def test_candidates_of_one_deploy_form_are_trained_once(tmp_path):
    # Proxy runs train deploy forms: how a kernel is re-parameterised makes no difference to them.
    space = small_space(width=[8, 16], depth=[1], block=["conv", "ecb", "repvgg"])
    summary = conduct(settings(tmp_path, space=space, trials=6), Quick(tmp_path / "log"))
    assert summary.counts.trained == 2
    duplicates = [record for record in summary.records if record.duplicate_of is not None]
    blocks = {record.candidate.architecture.stages[0].block for record in duplicates}
    assert len(blocks) > 1, "a duplicate keeps its own block"


def test_equal_architectures_in_progress_wait_for_each_other(tmp_path):
    space = small_space(width=[8, 16], depth=[0], block=["conv", "ecb", "repvgg"])
    with open_study(settings(tmp_path, space=space, trials=9)) as study:
        live = [study.ask(), study.ask()]
        assert study.ask() is None  # nothing new is left, and two are still open
        assert study.ended is None
        runtime, size = Runtime(1.0, "predicted", "quick"), Size(1, 1)
        for candidate in live:
            told = study.tell(candidate, Trained(0.1, {}, {}, runtime, size))
            assert {record.candidate.key for record in told} == {candidate.key}
        assert study.ask() is None and study.ended is not None
        assert study.counts.trained == 2 and study.counts.duplicates >= 1
    assert states(tmp_path)["RUNNING"] == 0


def test_a_failure_is_never_asked_for_again(tmp_path):
    space = small_space(width={"min": 8, "max": 14, "step": 2}, activation=["relu", "prelu"])
    summary = conduct(settings(tmp_path, space=space, trials=50), Quick())
    evaluated = [r.candidate.key for r in summary.records if r.duplicate_of is None]
    assert len(evaluated) == len(set(evaluated)) == space.size
    assert summary.counts.broken == 4
    assert summary.ended == "Every candidate of the space has been tried."


def test_an_impossible_budget_ends_with_one_sentence(tmp_path):
    def too_slow(candidate):
        return Rejected("runtime_ms", 4.0 + candidate.trial / 100, 2.0)
        yield

    impossible = settings(tmp_path, patience=20)
    summary = conduct(impossible, too_slow)
    assert summary.counts.rejected == 20 and summary.counts.done == 0
    assert "nothing of late could be trained" in summary.ended
    assert "20 over a limit, the nearest with 4.00 ms" in summary.ended
    assert "relax the budget (2 ms)" in summary.ended
    assert conduct(impossible, too_slow).ended == summary.ended  # and asks for nothing


def test_choices_that_contradict_each_other_end_with_one_sentence(tmp_path):
    many = {"width": [8, *range(512, 1024)], "depth": [1, *range(40, 65)]}
    space = Space.from_dict({"dimensions": many}, "nearly all too large")
    summary = conduct(settings(tmp_path, space=space, patience=3), Quick())
    assert summary.records == ()
    assert "choices that contradict each other" in summary.ended
    assert "make it narrower" in summary.ended


def test_a_gain_that_is_no_number_is_broken(tmp_path):
    def nan(candidate):
        return Trained(float("nan"), {}, {}, Runtime(1.0, "predicted", "quick"), Size(1, 1))
        yield

    summary = conduct(settings(tmp_path, patience=3), nan)
    assert all(isinstance(r.outcome, Broken) for r in summary.records)
    assert "diverged" in {r.outcome.kind for r in summary.records}


def test_weights_lie_beside_the_database(tmp_path):
    summary = conduct(settings(tmp_path, trials=3), Quick())
    for record in summary.records:
        if isinstance(record.outcome, Trained):
            file = tmp_path / "studies-files" / "quick" / "weights" / record.outcome.weights.file
            assert file.read_bytes() == b"weights of " + record.candidate.key.encode()


def test_early_stopping_stops_dominated_candidates_and_counts_them(tmp_path):
    for concurrency in (1, 3):
        summary = conduct(
            settings(tmp_path, name=f"c{concurrency}", trials=16),
            Quick(),
            InlineRunner(concurrency),
            stop_from=1,
        )
        assert summary.counts.done == 16 and summary.counts.stopped >= 2
        stopped = [r.outcome for r in summary.records if _stopped(r)]
        assert all(o.curve and o.value < o.allowed and o.runtime for o in stopped)
        assert json.dumps([member.to_dict() for member in summary.front])


def test_rungs_before_the_step_from_which_they_tell_stop_nobody(tmp_path):
    summary = conduct(settings(tmp_path, trials=16), Quick(), stop_from=2)
    stopped = [r.outcome for r in summary.records if _stopped(r)]
    assert stopped
    assert {outcome.curve[-1].step for outcome in stopped} == {2}


def _stopped(record):
    return isinstance(record.outcome, Rejected) and record.outcome.limit == "rung"
