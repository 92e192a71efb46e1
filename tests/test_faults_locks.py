"""File systems without locks, as some networks have: work goes on, only unprotected.

See ``docs/faults.md``.
"""

from __future__ import annotations

import errno
import fcntl
from dataclasses import replace

import numpy as np
import pytest

from nas.data.prepare import prepare
from nas.measure.device_lock import exclusive, shared
from nas.training.proxy.proxy import proxy_data
from studies.runners.bundle import material_of
from studies.storage.locks import is_alive, mark_alive, mutex, run_once, try_lock
from studies.storage.store import Store
from teachers.cache import kept
from teachers.loading import load_teacher


@pytest.fixture(autouse=True)
def no_locks(monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    monkeypatch.setattr(fcntl, "lockf", none)


def test_devices_are_trained_and_measured_on():
    done = []
    for use in (exclusive, shared):
        with use("cpu"):
            done.append(use)
    assert len(done) == 2


def test_a_set_is_prepared_taught_and_packed(pair_set, tmp_path):
    report = prepare(pair_set.path.parent / "hr", tmp_path / "set", qps=(63,))
    assert report.made == 6
    assert proxy_data(pair_set, load_teacher("hat-tiny")).bank.teacher is not None
    array = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert np.array_equal(kept(tmp_path / "new", "0123456789", array.shape, lambda: array), array)
    material = material_of(pair_set.path, None, ())
    content = np.frombuffer(material.file.read_bytes(), np.uint8)
    material.file.unlink()
    replace(material, data=tmp_path / "not here").receive(lambda: content)
    assert material.file.is_file()


def test_a_study_is_worked_on(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/studies.db")
    done = []
    for alone in (
        run_once(store, "making"),
        try_lock(store, "demo", "promoted"),
        mutex(store, "demo"),
    ):
        with alone:
            done.append(alone)
    with mark_alive(store, "demo", "run"):
        assert not is_alive(store, "demo", "run"), "nobody can tell"
    assert len(done) == 3
