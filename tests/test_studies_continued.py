"""A study that was cut off or killed goes on as if it had not been, or is not continued at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from quick_search import TRIALS, Quick, settings, small_space, states

from nas.common.errors import InputError
from search_spaces.zoo.survey import published
from studies.core.budget import parse_budget
from studies.core.outcome import Trained
from studies.core.record import count
from studies.core.study import open_study
from studies.results.snapshot import load
from studies.search import conduct

pytestmark = pytest.mark.usefixtures("own_database")

PROGRAM = str(Path(__file__).parent / "quick_search.py")


def asked_for(summary) -> list[str]:
    return [record.candidate.key for record in summary.records]


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
    before = load(settings(tmp_path).store, "quick").records
    kept = {r.trial: r for r in before if r.outcome is not None}
    assert kept and states(tmp_path)["RUNNING"] >= 1
    trained_before = (tmp_path / "log").read_text().split()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("done\n")
    records = load(settings(tmp_path).store, "quick").records
    assert count(records).trained == TRIALS
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
