"""Studies as readers find them, and databases that fail: one sentence each, and nothing harmed."""

from __future__ import annotations

import gc
import sqlite3
import time
from pathlib import Path

import optuna
import pytest
from quick_search import Quick, settings

from nas.common.errors import InputError
from studies.core.study import open_study
from studies.results.snapshot import load, load_all
from studies.search import conduct
from studies.storage.store import Store

pytestmark = pytest.mark.usefixtures("own_database")


def test_a_running_study_can_be_read(tmp_path):
    with open_study(settings(tmp_path)) as study:
        candidate = study.ask()
        records = load(settings(tmp_path).store, "quick").records
        assert [(r.candidate, r.outcome) for r in records] == [(candidate, None)]


def test_reading_leaves_no_connection_open(tmp_path):
    for name in ("one", "two", "three"):
        with open_study(settings(tmp_path, name=name)):
            pass
    gc.disable()  # which would close them some time
    try:
        found = load_all(settings(tmp_path).store)
        still = [file.resolve() for file in Path("/proc/self/fd").iterdir()]
    finally:
        gc.enable()
    assert [study.name for study in found] == ["one", "two", "three"]
    assert not [path for path in still if path.is_relative_to(tmp_path)]


def test_a_study_that_does_not_exist_is_named_with_those_that_do(tmp_path):
    with pytest.raises(InputError, match=r"There is no study database .*run nas search first"):
        load(Store(f"sqlite:///{tmp_path}/absent.db"), "quick")
    assert not (tmp_path / "absent.db").exists()
    conduct(settings(tmp_path, trials=1), Quick())
    with pytest.raises(InputError, match=r"There is no study 'slow' in .* it has quick\."):
        load(settings(tmp_path).store, "slow")


def test_a_foreign_study_is_left_alone(tmp_path):
    url = settings(tmp_path).store.url
    foreign = optuna.create_study(study_name="quick", storage=url)
    foreign.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(InputError, match="was not made by this tool"):
        conduct(settings(tmp_path), Quick())


def test_faults_of_the_database_come_in_one_sentence(tmp_path):
    def fault(url: str, name: str = "quick") -> str:
        with pytest.raises(InputError) as raised:
            conduct(settings(tmp_path, store=Store.parse(url), name=name, trials=1), Quick())
        assert "\n" not in str(raised.value)
        return str(raised.value)

    (tmp_path / "text.db").write_text("this is no database at all, but long enough to be read" * 9)
    assert "is not an SQLite database" in fault(f"sqlite:///{tmp_path}/text.db")
    assert "there is no folder" in fault(f"sqlite:///{tmp_path}/missing/studies.db")
    assert "is not a database URL: write for instance sqlite:///studies.db" in fault("studies.db")
    assert "is of an unknown kind" in fault("oracle9://host/studies")
    assert "must be letters, digits" in fault(settings(tmp_path).store.url, name="a/b")

    conduct(settings(tmp_path, trials=1), Quick())
    newer = sqlite3.connect(tmp_path / "studies.db")
    newer.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    newer.commit()
    newer.close()
    assert "was written by another version of Optuna" in fault(settings(tmp_path).store.url)


def test_a_locked_database_is_named(tmp_path, monkeypatch):
    conduct(settings(tmp_path, trials=1), Quick())
    monkeypatch.setattr("studies.storage.store._TIMEOUT_S", 0.2)
    other = sqlite3.connect(tmp_path / "studies.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    begin = time.monotonic()
    with pytest.raises(InputError, match="is locked by another program"):
        conduct(settings(tmp_path, trials=2), Quick())
    assert time.monotonic() - begin < 10
    other.execute("ROLLBACK")
    other.close()
    assert conduct(settings(tmp_path, trials=2), Quick()).counts.done == 2


def test_reading_makes_no_tables_in_a_database_that_a_search_is_making(tmp_path):
    file = tmp_path / "fresh.db"
    file.touch()
    with pytest.raises(InputError, match=r"There is no study 'quick' .*: it has none yet"):
        load(Store(f"sqlite:///{file}"), "quick")
    assert file.stat().st_size == 0


def test_a_study_is_known_by_a_beginning_of_its_name_and_the_last_one_as_latest(tmp_path):
    for name in ("lightweight-8ms-abc", "lightweight-8ms-def", "balanced"):
        with open_study(settings(tmp_path, name=name)):
            pass
    store = settings(tmp_path).store
    assert load(store, "bal").name == "balanced"
    assert load(store, "lightweight-8ms-d").name == "lightweight-8ms-def"
    with pytest.raises(InputError, match=r"begin with 'light': lightweight-8ms-abc, lightweight-"):
        load(store, "light")
    study = optuna.load_study(study_name="lightweight-8ms-abc", storage=store.url)
    *_, last = study.user_attrs["runs"]
    study.set_user_attr("runs", [{**last, "time": "2999-01-01T00:00:00+00:00"}])
    assert load(store, "latest").name == "lightweight-8ms-abc"
