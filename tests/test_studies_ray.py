"""The Ray runner: the same results as in this process, and worse weather."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from quick_search import TRIALS, Noisy, Quick, settings

from benchmarks.processes import family, gone, title
from nas.common.errors import InputError
from studies.core.candidate import Candidate, DeviceLost, Evaluation
from studies.core.outcome import Broken, Rejected
from studies.core.record import count
from studies.results.snapshot import load
from studies.runners.inline import InlineRunner
from studies.search import conduct, share_of_gpu
from studies.settings import SearchSettings
from studies.setup import workers

PROGRAM = str(Path(__file__).parent / "quick_search.py")


@pytest.fixture(scope="module")
def runner():
    """Starting Ray takes seconds: once for all tests here."""
    from studies.runners.ray import RayRunner
    from studies.runners.ray_session import Session, running

    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # workers import `quick_search`
    ours = RayRunner(2, hard_limit_s=20.0)
    with running(Session(cpus=2)):
        yield ours


@dataclass(frozen=True)
class Weather:
    """Lets some trials meet with something; all others are quick."""

    log: Path
    happens: dict[int, str]

    def __call__(self, candidate: Candidate) -> Evaluation:
        mark = self.log / str(candidate.trial)
        again = mark.exists()
        mark.touch()
        what = self.happens.get(candidate.trial)
        if what == "killed" or (what == "killed once" and not again):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "hangs":
            time.sleep(600)
        if what == "loses its GPU":
            raise DeviceLost("the GPU does not answer any more")
        if what == "data gone":
            raise InputError("The set /data is gone: prepare it again.")
        return (yield from Quick()(candidate))


@dataclass(frozen=True)
class Arrived(Quick):
    """Notes whether the worker had imported torch when its candidate came."""

    def __call__(self, candidate: Candidate) -> Evaluation:
        (self.log.parent / "arrived").write_text(str("torch" in sys.modules))
        return (yield from super().__call__(candidate))


def test_the_first_candidate_waits_neither_for_imports_nor_for_the_second_ask(tmp_path, runner):
    seen = []

    def second_ask() -> tuple[str, ...]:
        deadline = time.monotonic() + 60
        while not (tmp_path / "arrived").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        seen.append((tmp_path / "arrived").read_text())
        return ()

    asked = settings(tmp_path, sampler="random", trials=2)
    summary = conduct(asked, Arrived(tmp_path / "log"), runner, notes=second_ask)
    assert summary.counts.trained == 2 and seen[0] == "True"


def test_it_finds_what_the_inline_runner_finds_without_a_word(tmp_path, runner, capfd):
    ours = conduct(settings(tmp_path, sampler="random"), Quick(tmp_path / "log"), runner)
    said = capfd.readouterr()
    assert said.out == said.err == ""
    assert ours.counts.done == TRIALS
    assert len((tmp_path / "log").read_text().split()) == TRIALS
    same = conduct(settings(tmp_path, sampler="random", name="inline"), Quick(), InlineRunner(2))
    found = {r.candidate.key: type(r.outcome) for r in ours.records}
    both = {r.candidate.key: type(r.outcome) for r in same.records if r.candidate.key in found}
    assert len(both) >= TRIALS and both.items() <= found.items()


def test_gpus_that_ray_does_not_find_are_not_waited_for(tmp_path, runner):
    from studies.runners.ray_session import ray

    if ray.cluster_resources().get("GPU", 0):
        pytest.skip("Ray finds a GPU here")
    summary = conduct(settings(tmp_path, trials=2), Quick(), type(runner)(1, gpus_each=1.0))
    assert summary.counts.done == 2


def test_workers_train_the_front_again_with_other_seeds(tmp_path, runner):
    summary = conduct(settings(tmp_path, trials=4), Noisy(), runner, repeats=2)
    records = {record.trial: record for record in summary.records}
    assert summary.front
    for member in summary.front:
        candidate = records[member.trial].candidate
        gains = [gain_of(replace(candidate, repeat=number)) for number in (0, 1)]
        assert member.trainings == 2 and gains[0] != gains[1]
        assert member.gain_db == pytest.approx(sum(gains) / 2)


def gain_of(candidate: Candidate) -> float:
    """What a worker must find."""
    evaluation = Noisy()(candidate)
    while True:
        try:
            next(evaluation)
        except StopIteration as end:
            return end.value.gain_db


def test_workers_that_die_or_hang_harm_no_one_else(tmp_path, runner, capfd):
    happens = {1: "killed once", 2: "killed", 3: "loses its GPU", 4: "hangs"}
    weather = Weather(tmp_path, happens)
    hasty = type(runner)(2, hard_limit_s=2.0)
    summary = conduct(settings(tmp_path), weather, hasty)
    said = capfd.readouterr()
    assert said.out == said.err == ""
    assert summary.counts.done == TRIALS
    once, twice, lost, hung = (summary.records[trial].outcome for trial in happens)
    assert not isinstance(once, Broken) or once.kind == "out_of_memory"  # `Quick` has its own say
    for died in (twice, lost):
        assert died.kind == "error" and "died twice" in died.reason
    assert hung.kind == "time_limit"


@pytest.mark.parametrize(
    ("at_once", "gpus", "on_one"), [(1, 1, 1), (6, 1, 6), (4, 3, 2), (6, 4, 2), (2, 8, 1)]
)
def test_as_many_candidates_as_were_asked_for_fit_on_the_gpus(at_once, gpus, on_one):
    assert share_of_gpu(at_once, gpus) == 1 / on_one


@pytest.mark.parametrize(
    ("kinds", "at_once"),
    [(["H100"], 1), (["H100"] * 4, 4), (["H100"] * 16, 8), (["H100", "T4"], 1)],
)
def test_each_gpu_of_one_kind_has_a_candidate(kinds, at_once, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(kinds))
    monkeypatch.setattr(torch.cuda, "get_device_name", kinds.__getitem__)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)))
    assert workers(SearchSettings(), "cuda") == at_once


def test_what_is_nobodys_fault_stops_the_search_and_loses_nothing(tmp_path, runner):
    with pytest.raises(InputError, match="The set /data is gone"):
        conduct(settings(tmp_path), Weather(tmp_path, {1: "data gone"}), runner)
    assert not any(r.outcome is None for r in load(settings(tmp_path).store, "quick").records)
    mended = conduct(settings(tmp_path), Quick(), InlineRunner())
    assert mended.counts.done == TRIALS


class Unknown(Quick):
    """Cannot be loaded by a worker."""

    def __reduce__(self):
        return _load_in, (os.getpid(),)


def _load_in(pid: int) -> Unknown:
    if os.getpid() != pid:
        raise ModuleNotFoundError("No module named 'plugin_of_the_user'")
    return Unknown()


def test_workers_that_cannot_start_stop_the_search_and_blame_no_candidate(tmp_path, runner):
    with pytest.raises(InputError, match=r"cannot start .*plugin_of_the_user"):
        conduct(settings(tmp_path), Unknown(), runner)
    assert load(settings(tmp_path).store, "quick").records == ()


class Deadly(Quick):
    """Kills each worker that starts with a candidate of it."""

    def __call__(self, candidate: Candidate) -> Evaluation:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(candidate)


def test_workers_that_are_killed_at_their_start_blame_no_candidate_either(tmp_path, runner):
    with pytest.raises(InputError, match=r"^A process of Ray has been killed: nothing is lost"):
        conduct(settings(tmp_path), Deadly(), runner)
    assert not any(r.outcome for r in load(settings(tmp_path).store, "quick").records)


def test_ray_says_so_in_another_way_when_the_kill_comes_a_moment_later():
    from studies.runners.ray import _cannot_start

    said = (
        "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR "
        "Worker exit detail: Worker unexpectedly exits with a connection error code 2. End of file."
    )
    assert _cannot_start(f"Failure # 2\n{said}\n").startswith("A process of Ray has been killed:")


def test_rungs_stop_candidates(tmp_path, runner):
    summary = conduct(settings(tmp_path, trials=16), Quick(), runner, stop_from=1)
    assert summary.counts.done == 16 and summary.counts.stopped >= 2
    rung = next(r.outcome for r in summary.records if _stopped(r))
    assert rung.curve and rung.value < rung.allowed


def test_snapshots_of_tune_hold_nothing(tmp_path):
    from studies.runners.ray import _Ask, _Guard, _Rungs

    class Desk:
        url = "postgresql://user:secret@host/db"

    guard = _Guard(Desk(), None)
    assert b"secret" not in pickle.dumps(_Ask(guard)) + pickle.dumps(_Rungs(guard))


@pytest.mark.parametrize(
    ("how", "supervised"),
    [(signal.SIGKILL, []), (signal.SIGINT, []), (signal.SIGKILL, ["--supervised"])],
    ids=["kill -9", "Ctrl+C", "kill -9 of its supervisor"],
)
def test_a_driver_that_ends_leaves_no_worker_and_loses_nothing(tmp_path, how, supervised):
    command = [sys.executable, PROGRAM, str(tmp_path), "--ray", "--concurrency", "2", *supervised]
    process = subprocess.Popen(
        [*command, "--seconds", "0.3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # as Ctrl+C in a terminal, the signal goes to the driver alone
    )
    finished = 0
    for line in process.stdout:
        finished += line.startswith("Finished")
        if finished >= 2 and line.startswith("Passed"):
            break
    # Ray's two agents look for their parent now and then, and go by themselves.
    started = family(process.pid) - {process.pid}
    workers = {pid for pid in started if "Agent" not in title(pid)}
    assert len(workers) >= 4
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    if how == signal.SIGINT:
        assert out.endswith("interrupted\n") and "Traceback" not in err
    assert gone(workers, within_s=30)
    before = load(settings(tmp_path).store, "quick").records
    kept = {r.trial: r for r in before if r.outcome is not None}
    assert len(kept) >= 2
    if how == signal.SIGINT:
        assert len(kept) == len(before)  # given back at once, not by the next run
    continued = conduct(settings(tmp_path), Quick(tmp_path / "log"), InlineRunner())
    assert count(continued.records).done == TRIALS
    assert {r.trial: r for r in continued.records if r.trial in kept} == kept
    trained = Counter((tmp_path / "log").read_text().split())
    assert sum(trained.values()) <= TRIALS + 2  # those that were cut off, and no others


def _stopped(record):
    return isinstance(record.outcome, Rejected) and record.outcome.limit == "rung"


def test_a_ray_that_is_killed_ends_the_search_in_one_sentence(tmp_path):
    command = [sys.executable, PROGRAM, str(tmp_path), "--ray", "--seconds", "60"]
    search = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while search.stdout.readline() != "Started\n":
        assert search.poll() is None
    (raylet,) = _children(search.pid, "raylet")
    os.kill(raylet, signal.SIGKILL)
    _, told = search.communicate(timeout=60)
    assert "A process of Ray has been killed: nothing is lost" in told
    study = settings(tmp_path)
    records = load(study.store, study.name).records
    assert all(record.outcome is not None for record in records)  # given back


def _children(pid: int, name: str) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = status.read_text().rsplit(")", 1)
            if fields[0].endswith(f"({name}") and int(fields[1].split()[1]) == pid:
                found.append(int(status.parent.name))
    return found
