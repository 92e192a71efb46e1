"""One persisted study: asked and told, killed and continued, never asked in vain."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
from quick_search import BUDGET, TRIALS, Quick, settings, small_space

from search_spaces.errors import InputError
from search_spaces.survey import published
from studies.limits import parse_budget
from studies.outcome import Broken, Rejected, Runtime, Size, Trained
from studies.reading import list_studies, read_study
from studies.record import counts
from studies.runners.inline import InlineRunner
from studies.search import conduct
from studies.study import open_study

PROGRAM = str(Path(__file__).parent / "quick_search.py")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    """Making the tables takes a second, copying them none."""
    file = tmp_path_factory.mktemp("empty") / "studies.db"
    with open_study(settings(file.parent, name="first")):
        pass
    storage = f"sqlite:///{file}"
    optuna.delete_study(study_name="first", storage=storage)
    return file


@pytest.fixture(autouse=True)
def database(tmp_path, empty_database) -> None:
    shutil.copy(empty_database, tmp_path)


def states(folder: Path, name: str = "quick") -> Counter[str]:
    """How many trials Optuna has in each state."""
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/studies.db")
    return Counter(trial.state.name for trial in study.trials)


def asked_for(summary) -> list[str]:
    return [record.candidate.key for record in summary.records]


def test_a_search_trains_as_many_as_asked_and_records_the_rest(tmp_path):
    summary = conduct(settings(tmp_path), Quick(tmp_path / "log"))
    assert summary.counts.trained == summary.counts.done == TRIALS
    assert summary.counts.rejected > 0 and summary.counts.broken > 0
    assert summary.ended is None and not summary.interrupted
    assert len((tmp_path / "log").read_text().split()) == TRIALS
    assert states(tmp_path)["RUNNING"] == 0


def test_what_was_found_is_read_back_equal(tmp_path):
    summary = conduct(settings(tmp_path), Quick())
    info, records = read_study(settings(tmp_path).storage, "quick")
    assert records == summary.records
    assert info.budget == BUDGET
    assert info.runs[0]["packages"]["optuna"]
    assert [found.name for found, _ in list_studies(settings(tmp_path).storage)] == ["quick"]


def test_the_same_command_again_does_nothing_and_more_trials_go_on(tmp_path):
    first = conduct(settings(tmp_path), Quick(tmp_path / "log"))
    assert conduct(settings(tmp_path), Quick(tmp_path / "log")).records == first.records
    more = conduct(settings(tmp_path, trials=TRIALS + 2), Quick(tmp_path / "log"))
    assert more.counts.done == TRIALS + 2
    assert more.records[: len(first.records)] == first.records
    assert len((tmp_path / "log").read_text().split()) == TRIALS + 2


def test_objectives_and_constraints_stand_in_optuna(tmp_path):
    conduct(settings(tmp_path), Quick())
    study = optuna.load_study(study_name="quick", storage=settings(tmp_path).storage)
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


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random", "qmc"])
def test_every_sampler_searches(tmp_path, sampler):
    assert conduct(settings(tmp_path, sampler=sampler), Quick()).counts.done == TRIALS


def test_gp_sees_what_was_not_trained_at_its_worst_but_it_never_reaches_the_front(tmp_path):
    space = small_space(
        width={"min": 8, "max": 32, "step": 2}, depth=[0, 1, 2], activation=["relu", "prelu"]
    )
    summary = conduct(settings(tmp_path, sampler="gp", space=space, trials=8), Quick())
    study = optuna.load_study(study_name="quick", storage=settings(tmp_path).storage)
    failed = [r for r in summary.records if not isinstance(r.outcome, Trained)]
    assert {type(r.outcome) for r in failed} == {Rejected, Broken}
    assert all(study.trials[r.trial].state.name == "COMPLETE" for r in failed)
    assert not {m.trial for m in summary.front} & {r.trial for r in failed}
    assert not {trial.number for trial in study.best_trials} & {r.trial for r in failed}


def test_known_networks_come_first_and_once(tmp_path):
    known = {name: network.architecture for name, network in published.items()}
    summary = conduct(settings(tmp_path, known=known), Quick())
    space = settings(tmp_path).space
    inside = [name for name, one in known.items() if space.parameters(one) is not None]
    assert len(inside) >= 5
    assert [r.candidate.origin for r in summary.records[: len(inside)]] == inside
    assert summary.records[0].candidate.name == inside[0]
    again = conduct(settings(tmp_path, known=known, trials=TRIALS + 4), Quick())
    origins = Counter(record.candidate.origin for record in again.records)
    assert all(origins[name] == 1 for name in inside)


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
    assert "the last 20 candidates were not trained" in summary.ended
    assert "20 over a limit, the nearest with 4.00 ms" in summary.ended
    assert "relax the budget (2 ms)" in summary.ended
    assert conduct(impossible, too_slow).ended == summary.ended  # and asks for nothing


def test_a_gain_that_is_no_number_is_broken(tmp_path):
    def nan(candidate):
        return Trained(float("nan"), {}, {}, Runtime(1.0, "predicted", "quick"), Size(1, 1))
        yield

    summary = conduct(settings(tmp_path, patience=3), nan)
    assert all(isinstance(r.outcome, Broken) for r in summary.records)
    assert "diverged" in {r.outcome.kind for r in summary.records}


def test_one_at_a_time_a_seed_decides_everything(tmp_path):
    first = conduct(settings(tmp_path, name="a", seed=1), Quick())
    same = conduct(settings(tmp_path, name="b", seed=1), Quick())
    other = conduct(settings(tmp_path, name="c", seed=2), Quick())
    assert asked_for(first) == asked_for(same) != asked_for(other)


@pytest.mark.parametrize("at", [1, 6, 14])
def test_cut_off_and_continued_it_asks_for_the_same(tmp_path, at):
    class CutOff(Exception):
        pass

    started = 0

    def until(event):
        nonlocal started
        started += type(event).__name__ == "Started"
        if started == at:
            raise CutOff

    known = {name: network.architecture for name, network in published.items()}
    whole = conduct(settings(tmp_path, name="whole", known=known, trials=10), Quick())
    cut = settings(tmp_path, name="cut", known=known, trials=10)
    with pytest.raises(CutOff):
        conduct(cut, Quick(), on_event=until)
    assert states(tmp_path, "cut")["RUNNING"] == 0
    continued = conduct(cut, Quick())
    assert asked_for(continued) == asked_for(whole)
    assert [r.retry_of is not None for r in continued.records].count(True) == 1


@pytest.mark.parametrize("concurrency", [1, 3])
def test_killed_and_started_again_nothing_is_lost_or_repeated(tmp_path, concurrency):
    command = [sys.executable, PROGRAM, str(tmp_path), "--concurrency", str(concurrency)]
    finished = 0
    for rest in (3, 5):  # killed twice, after so many more events
        process = subprocess.Popen(
            [*command, "--seconds", "0.02"], stdout=subprocess.PIPE, text=True
        )
        for line in process.stdout:
            finished += line.startswith("Finished")
            if finished >= rest and line.startswith("Passed"):  # in the middle of a training
                break
        process.send_signal(signal.SIGKILL)
        process.communicate()
    before = read_study(settings(tmp_path).storage, "quick")[1]
    kept = {r.trial: r for r in before if r.outcome is not None}
    assert kept and states(tmp_path)["RUNNING"] >= 1
    trained_before = (tmp_path / "log").read_text().split()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("done\n")
    _, records = read_study(settings(tmp_path).storage, "quick")
    assert counts(records).trained == TRIALS
    assert {r.trial: r for r in records if r.trial in kept} == kept
    assert states(tmp_path)["RUNNING"] == 0
    trained_after = (tmp_path / "log").read_text().split()[len(trained_before) :]
    finished = {r.candidate.key for r in kept.values() if isinstance(r.outcome, Trained)}
    assert not finished & set(trained_after)
    assert len(finished) + len(trained_after) == TRIALS


def test_killed_between_writing_the_outcome_and_telling_it(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    with pytest.raises(Killed), open_study(settings(tmp_path, trials=1)) as study:
        candidate = study.ask()
        while not isinstance(outcome := _outcome(candidate), Trained):
            study.tell(candidate, outcome)
            candidate = study.ask()
        monkeypatch.setattr(optuna.Study, "tell", _raise(Killed))
        study.tell(candidate, outcome)
    monkeypatch.undo()
    assert states(tmp_path)["RUNNING"] == 1
    summary = conduct(settings(tmp_path, trials=1), Quick(tmp_path / "log"))
    assert summary.counts.done == 1 and not (tmp_path / "log").exists()
    assert states(tmp_path)["RUNNING"] == 0


def _outcome(candidate):
    evaluation = Quick()(candidate)
    try:
        while True:
            next(evaluation)
    except StopIteration as end:
        return end.value


def _raise(error):
    def call(*args, **kwargs):
        raise error

    return call


def test_what_takes_the_machine_down_is_given_up(tmp_path):
    space = small_space(width=[8], residual=["none"])
    for _ in range(5):
        with open_study(settings(tmp_path, space=space, trials=1)) as study:
            assert study.ask() is not None
            study._live.clear()  # as a kill -9 leaves it
    summary = conduct(settings(tmp_path, space=space, trials=1), Quick(tmp_path / "log"))
    (record,) = [r for r in summary.records if r.duplicate_of is None]
    assert record.outcome.reason == "the run was cut off 5 times while it was being evaluated"
    assert not (tmp_path / "log").exists()


def test_weights_lie_beside_the_database(tmp_path):
    summary = conduct(settings(tmp_path, trials=3), Quick())
    for record in summary.records:
        if isinstance(record.outcome, Trained):
            file = tmp_path / "studies-files" / "quick" / "weights" / record.outcome.weights.file
            assert file.read_bytes() == b"weights of " + record.candidate.key.encode()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"budget": parse_budget("4ms")}, "budget"),
        ({"seed": 1}, "seed"),
        ({"space": small_space(width=[8])}, "space"),
        (
            {"identity": {"target": {"name": "cuda"}, "data": {"name": "none", "digest": "0"}}},
            "target",
        ),
    ],
    ids=["budget", "seed", "space", "target"],
)
def test_a_study_is_not_continued_with_what_makes_results_incomparable(tmp_path, change, named):
    conduct(settings(tmp_path, trials=1), Quick())
    with pytest.raises(InputError, match=f"'quick' was made with another {named}.*--study"):
        conduct(settings(tmp_path, **change), Quick())


def test_goal_sampler_and_patience_may_change(tmp_path):
    conduct(settings(tmp_path, trials=1), Quick())
    assert conduct(settings(tmp_path, trials=3, sampler="random"), Quick()).counts.done == 3


def test_a_running_study_can_be_read(tmp_path):
    with open_study(settings(tmp_path)) as study:
        candidate = study.ask()
        _, records = read_study(settings(tmp_path).storage, "quick")
        assert [(r.candidate, r.outcome) for r in records] == [(candidate, None)]


def test_faults_of_the_database_come_in_one_sentence(tmp_path, monkeypatch):
    def fault(url: str, name: str = "quick") -> str:
        with pytest.raises(InputError) as raised:
            conduct(settings(tmp_path, storage=url, name=name, trials=1), Quick())
        assert "\n" not in str(raised.value)
        return str(raised.value)

    (tmp_path / "text.db").write_text("this is no database at all, but long enough to be read" * 9)
    assert "is no SQLite database" in fault(f"sqlite:///{tmp_path}/text.db")
    assert "there is no folder" in fault(f"sqlite:///{tmp_path}/missing/studies.db")
    assert "is no database URL: write for instance sqlite:///studies.db" in fault("studies.db")
    assert "names a kind of database that is not known" in fault("oracle9://host/studies")
    assert "must be letters, digits" in fault(settings(tmp_path).storage, name="a/b")
    assert "--sampler 'best': choose one of auto, tpe" in _sampler_fault(tmp_path)

    conduct(settings(tmp_path, trials=1), Quick())
    newer = sqlite3.connect(tmp_path / "studies.db")
    newer.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    newer.commit()
    newer.close()
    assert "was written by another version of Optuna" in fault(settings(tmp_path).storage)


def _sampler_fault(tmp_path):
    with pytest.raises(InputError) as raised:
        conduct(settings(tmp_path, sampler="best"), Quick())
    return str(raised.value)


def test_a_locked_database_is_named(tmp_path, monkeypatch):
    conduct(settings(tmp_path, trials=1), Quick())
    monkeypatch.setattr("studies.reading._PATIENCE_S", 0.2)
    other = sqlite3.connect(tmp_path / "studies.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    begin = time.monotonic()
    with pytest.raises(InputError, match="is locked by another program"):
        conduct(settings(tmp_path, trials=2), Quick())
    assert time.monotonic() - begin < 10
    other.execute("ROLLBACK")
    other.close()
    assert conduct(settings(tmp_path, trials=2), Quick()).counts.done == 2


def test_a_study_that_does_not_exist_is_named_with_those_that_do(tmp_path):
    with pytest.raises(InputError, match=r"There is no study database .*run nas search first"):
        read_study(f"sqlite:///{tmp_path}/absent.db", "quick")
    assert not (tmp_path / "absent.db").exists()
    conduct(settings(tmp_path, trials=1), Quick())
    with pytest.raises(InputError, match=r"There is no study 'slow' in .* it has quick\."):
        read_study(settings(tmp_path).storage, "slow")


def test_a_foreign_study_is_left_alone(tmp_path):
    url = settings(tmp_path).storage
    foreign = optuna.create_study(study_name="quick", storage=url)
    foreign.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(InputError, match="was not made by this tool"):
        conduct(settings(tmp_path), Quick())


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


def test_reading_makes_no_tables_in_a_database_that_a_search_is_making(tmp_path):
    file = tmp_path / "fresh.db"
    file.touch()
    with pytest.raises(InputError, match=r"There is no study 'quick' .*: it has none yet"):
        read_study(f"sqlite:///{file}", "quick")
    assert file.stat().st_size == 0
