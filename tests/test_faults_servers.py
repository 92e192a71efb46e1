"""Servers that are killed under a search: MLflow's, PostgreSQL's, a node of a Ray cluster.

See ``docs/faults.md``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import servers
from deliveries import told_once
from quick_search import TRIALS, Quick, settings

from nas.common.errors import InputError
from studies.core.record import count
from studies.results.snapshot import load
from studies.search import conduct
from studies.storage.store import Store


@dataclass(frozen=True)
class Eventful(Quick):
    """Something happens while trials of these numbers are evaluated."""

    happens: dict[int, Callable[[], None]] = field(default_factory=dict)

    def __call__(self, candidate):
        outcome = yield from super().__call__(candidate)
        self.happens.pop(candidate.trial, lambda: None)()
        return outcome


def test_an_mlflow_server_that_goes_away_is_told_the_rest_when_it_is_back(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    study = settings(tmp_path)
    with servers.mlflow_server() as server:
        weather = Eventful(happens={1: server.kill, 5: server.start})
        summary = conduct(study, weather, tracking_uri=server.url)
        assert weather.happens == {}
        assert summary.counts.done == TRIALS and summary.tracking_fault is None
        told_once(server.url, summary.records)

        more = settings(tmp_path, trials=TRIALS + 2)
        gone = conduct(more, Eventful(happens={summary.records[-1].trial + 1: server.kill}),
                       tracking_uri=server.url)  # fmt: skip
        assert gone.counts.done == TRIALS + 2, "the search minds nothing"
        assert "127.0.0.1" in gone.tracking_fault and "\n" not in gone.tracking_fault
        server.start()
        again = conduct(more, Quick(), tracking_uri=server.url)
        assert again.tracking_fault is None and again.records == gone.records
        told_once(server.url, again.records)


def test_a_postgresql_server_that_is_killed_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with servers.postgres() as server:

        def restart() -> None:
            server.kill()
            server.start()

        study = settings(tmp_path, store=Store(server.url))
        summary = conduct(study, Eventful(happens={2: restart}))
        assert summary.counts.done == TRIALS and summary.counts.running == 0

        more = settings(tmp_path, store=Store(server.url), trials=TRIALS + 4)
        next_trial = summary.records[-1].trial + 2
        with pytest.raises(InputError, match=r"The study database postgres.*") as raised:
            conduct(more, Eventful(happens={next_trial: server.kill}))
        assert "\n" not in str(raised.value) and "secret" not in str(raised.value)
        server.start()
        records = load(Store(server.url), study.name).records
        kept = {r.trial: r for r in records if r.outcome is not None}
        assert len(kept) >= len(summary.records) + 1
        again = conduct(more, Quick())
        assert again.counts.done == TRIALS + 4 and again.counts.running == 0
        assert {r.trial: r for r in again.records if r.trial in kept} == kept
        own = Counter(r.candidate.layout for r in again.records if r.duplicate_of is None)
        assert max(own.values()) == 1


@dataclass(frozen=True)
class Waiting(Quick):
    """One trial waits, wherever it is, until its node is gone; told again, it goes on."""

    place: Path = Path()

    def __call__(self, candidate):
        mark = self.place / "waiting"
        if candidate.trial == 2 and not mark.exists():
            mark.with_suffix(".new").write_text(str(os.getpid()))
            mark.with_suffix(".new").rename(mark)
            while True:
                time.sleep(0.1)
        return (yield from super().__call__(candidate))


def test_a_node_of_ray_that_is_killed_gives_its_trial_to_another(tmp_path):
    with servers.ray_cluster() as cluster:
        cluster.add(cpus=0)
        nodes = [cluster.add(cpus=1), cluster.add(cpus=1)]
        search = subprocess.Popen(
            [sys.executable, __file__, str(tmp_path), cluster.address],
            env={**os.environ, **cluster.environment, "PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=subprocess.PIPE,
            text=True,
        )
        while not (tmp_path / "waiting").exists() and search.poll() is None:
            time.sleep(0.1)
        pid = int((tmp_path / "waiting").read_text())
        (node,) = (node for node in nodes if pid in node.pids())
        node.kill()
        _, said = search.communicate()
    assert search.returncode == 0 and "Traceback" not in said, said
    records = load(settings(tmp_path).store, "quick").records
    tally = count(records)
    assert (tally.done, tally.running) == (TRIALS, 0)
    assert records[2].outcome is not None
    assert getattr(records[2].outcome, "kind", "") != "error", "its second life went well"


if __name__ == "__main__":
    from studies.runners.ray import RayRunner

    there = Path(sys.argv[1])
    conduct(settings(there), Waiting(place=there), RayRunner(2, address=sys.argv[2]))
