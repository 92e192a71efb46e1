"""Promotions that are killed or lack something: they go on, or say in a sentence what is wrong."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from promoting import RECIPE, client_of, copied, run, runs, settings

from nas.data.prepare import prepare as prepare_set
from nas.training.engine.events import Started
from search_spaces import InputError
from studies.promotion.plan import prepare
from studies.promotion.run import promote
from studies.results import promotions
from studies.results.front import trained
from studies.results.selection import Selection
from studies.results.snapshot import load
from studies.storage.store import Store


@pytest.fixture
def folder(small_study, tmp_path, monkeypatch):
    """A study that a test may change, on a machine without ONNX, which takes seconds."""
    monkeypatch.setattr("studies.promotion.run.find_spec", lambda package: None)
    return copied(small_study, tmp_path)


def test_a_tracking_server_that_is_away_stops_nothing_and_gets_all_of_it_later(folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    choice = Selection(force=True, trials=(0,))
    away = run(settings(folder, choice=choice, tracking_uri="http://me:secret@127.0.0.1:9"))
    assert len(away.promotions) == 1 and away.registered is None
    assert away.tracking_fault and "secret" not in away.tracking_fault

    later = run(settings(folder, choice=choice))
    assert later.tracking_fault is None and later.promotions == away.promotions
    (child,) = runs(folder, "tags.kind = 'promotion'")
    curve = client_of(folder).get_metric_history(child.info.run_id, "curve_gain_db")
    assert [point.step for point in curve] == [0, 12]
    assert later.registered == "models:/demo@champion"


def test_killed_in_the_middle_it_goes_on_where_it_was(folder):
    (folder / "quick.yaml").write_text(RECIPE.replace("steps: 12", "steps: 100"))
    code = (
        "import sys\n"
        "from nas.training import trainer\n"
        "trainer.train.__kwdefaults__['checkpoint_seconds'] = 0.1\n"
        "from nas.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "promote", "demo", "--force", "--trial", "0"]
    command += ["--recipe", "quick.yaml", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    killed = subprocess.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    )
    root = promotions.promoted_root(Store(f"sqlite:///{folder}/studies.db").folder("demo"))
    deadline = time.monotonic() + 120
    while not list(root.glob("0/*/checkpoint.pt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    asked = settings(folder, selection=Selection(force=True, trials=(0,)))
    plan = prepare(asked)
    assert plan.winners[0].done is None and (plan.winners[0].folder / "checkpoint.pt").exists()

    started = []
    summary = promote(
        asked, plan, lambda _, event: started.append(event) if isinstance(event, Started) else None
    )
    assert started[0].step > 0, "it continued"
    assert len(summary.promotions) == 1 and summary.tracking_fault is None
    (child,) = runs(folder, "tags.kind = 'promotion'")
    assert child.info.status == "FINISHED"
    curve = client_of(folder).get_metric_history(child.info.run_id, "curve_gain_db")
    assert [point.step for point in curve] == [0, 50, 100], "each look once"


def test_what_the_study_had_is_found_again_or_missed_in_one_sentence(small_study, folder, tmp_path):
    assert prepare(settings(folder)).pair_set.path == small_study / "set"
    with pytest.raises(InputError, match="no study 'other'"):
        prepare(settings(folder, study="other"))
    with pytest.raises(InputError, match="there is no recipe 'nothing'"):
        prepare(settings(folder, recipe="nothing"))
    with pytest.raises(InputError, match=r"--name 'a/b': a registered model is called by"):
        prepare(settings(folder, name="a/b"))

    prepare_set(small_study / "hr", tmp_path / "other", qps=(63,))
    chosen = prepare(settings(folder, data=tmp_path / "other"))
    assert "another set" in chosen.notes[0], "a set that is given is taken, and said to differ"

    moved = small_study / "moved"
    (small_study / "set").rename(moved)
    try:
        with pytest.raises(InputError, match=r"'set' of 'demo' is not in .*: give it as --data"):
            prepare(settings(folder))
        assert prepare(settings(folder, data=moved)).notes == ()
        shutil.copytree(tmp_path / "other", small_study / "set")
        with pytest.raises(InputError, match="is not the set that 'demo' was made on any more"):
            prepare(settings(folder))
    finally:
        shutil.rmtree(small_study / "set", ignore_errors=True)
        moved.rename(small_study / "set")


def test_a_winner_that_cannot_be_trained_leaves_the_others_their_chance(folder, monkeypatch):
    import studies.promotion.run as module

    train = module.train

    def failing(name, *more, **options):
        if options["seed"] == 0 and more[0].to_dict() == failing.architecture:
            raise InputError("the training diverged again and again")
        return train(name, *more, **options)

    records = load(Store(f"sqlite:///{folder}/studies.db"), "demo").records
    trials = tuple(member.trial for member in trained(records)[:2])
    asked = settings(folder, selection=Selection(force=True, trials=trials), tracking_uri=None)
    plan = prepare(asked)
    first, second = (winner.member for winner in plan.winners)
    failing.architecture = first.architecture
    monkeypatch.setattr(module, "train", failing)
    summary = promote(asked, plan)
    assert summary.failed == {first.trial: "the training diverged again and again"}
    assert [p.trial for p in summary.promotions] == [second.trial]
    assert summary.tracking_uri is None and summary.registered is None


def test_promotions_of_one_study_wait_for_each_other(folder):
    from studies.storage.locks import try_lock

    with (
        try_lock(f"sqlite:///{folder}/studies.db", "demo", "promoted"),
        pytest.raises(
            InputError, match=r"'demo' is being promoted by process .* wait for it to end"
        ),
    ):
        run(settings(folder))
