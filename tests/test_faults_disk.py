"""A disk that is full or may not be written: one sentence, and the same command goes on later.

See ``docs/faults.md``.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from deliveries import told_once
from quick_search import TRIALS, Quick, settings
from refusals import refused

from nas.common.errors import InputError
from nas.data.prepare import prepare
from nas.data.store import open_set
from nas.training.engine.trainer import train
from nas.training.proxy.proxy import proxy_data
from nas.training.recipe.recipe import parse_recipe
from search_spaces import Architecture, Stage
from studies.core.outcome import Trained
from studies.results.snapshot import load
from studies.search import conduct
from teachers.loading import load_teacher


class Disk:
    """A small disk of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, leave: int = 0) -> None:
        """Leave so many bytes, in whole pages."""
        free = os.statvfs(self.path)
        with self._filler.open("ab", buffering=0) as filler:
            try:
                filler.write(bytes(max(0, free.f_bavail * free.f_frsize - leave)))
            except OSError as fault:
                assert fault.errno == errno.ENOSPC

    def free(self) -> None:
        self._filler.unlink()

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield Disk(path)
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@dataclass(frozen=True, kw_only=True)
class Filling(Quick):
    """Fills the disk while its third candidate is trained."""

    disk: Disk
    leave: int

    def __call__(self, candidate):
        outcome = yield from super().__call__(candidate)
        if candidate.trial == 2:
            self.disk.fill(self.leave)
        return outcome


@pytest.mark.parametrize("leave", [0, 4096, 16384, 65536])
def test_a_study_whose_disk_fills_up_goes_on_when_there_is_room(disk, leave):
    study = settings(disk.path)
    try:
        conduct(study, Filling(disk=disk, leave=leave))
    except InputError as fault:
        assert "disk is full" in str(fault) or "No space left" in str(fault)
        assert "run the" in str(fault) and "\n" not in str(fault)
    else:
        assert leave > 0
    disk.free()
    kept = {r.trial: r for r in load(study.store, study.name).records if r.outcome is not None}
    assert kept
    summary = conduct(study, Quick(disk.path / "log"))
    assert summary.counts.done == TRIALS and summary.counts.running == 0
    assert {r.trial: r for r in summary.records if r.trial in kept} == kept
    trained = {r.candidate.key for r in kept.values() if isinstance(r.outcome, Trained)}
    log = disk.path / "log"
    assert not trained & set(log.read_text().split() if log.exists() else ())


def test_a_full_disk_of_mlflow_stops_no_search_and_gets_all_of_it_later(tmp_path, disk, capfd):
    uri, study = f"sqlite:///{disk.path}/mlflow.db", settings(tmp_path, trials=4)
    conduct(settings(tmp_path, trials=1), Quick(), tracking_uri=uri)
    disk.fill()
    summary = conduct(study, Quick(), tracking_uri=uri)
    assert summary.counts.done == 4
    assert summary.tracking_fault.startswith("MLflow at sqlite")
    assert "\n" not in summary.tracking_fault and "Traceback" not in capfd.readouterr().err
    disk.free()
    disk.remount("size=64m")
    again = conduct(study, Quick(), tracking_uri=uri)
    assert again.tracking_fault is None and again.records == summary.records
    told_once(uri, again.records)


def test_a_database_that_may_only_be_read_is_named(tmp_path, disk):
    before = conduct(settings(tmp_path), Quick()).records
    for path in tmp_path.glob("studies*"):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, disk.path / path.name)
    disk.remount("ro")
    more = settings(disk.path, trials=TRIALS + 1)
    with pytest.raises(InputError, match=r"studies.db|lock") as raised:
        conduct(more, Quick())
    assert "\n" not in str(raised.value)
    disk.remount("rw")
    assert conduct(more, Quick()).records[: len(before)] == before


def test_a_cache_without_room_is_named_and_used_once_there_is_some(pair_set, disk, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(disk.path))
    disk.fill(leave=8192)
    with pytest.raises(InputError, match=r"the cache .* cannot be written .*make room"):
        proxy_data(pair_set)
    assert not [path for path in disk.path.rglob(".*") if path.is_file()]
    disk.free()
    disk.remount("size=64m")
    assert len(proxy_data(pair_set).bank.lr)


def test_a_cache_that_may_only_be_read_is_named_and_upscaling_does_without(
    pair_set, disk, nas, tmp_path, monkeypatch
):
    monkeypatch.setenv("NAS_CACHE", str(disk.path / "cache"))
    disk.remount("ro")
    picture = next((pair_set.path.parent / "hr").iterdir())
    assert nas("upscale", picture, "-o", tmp_path / "x.png")[0] == 0
    told = ("the cache", "cannot be written (Read-only file system)", "NAS_CACHE")
    refused(nas("evaluate", "avif4x", "--data", pair_set.path, "--out", tmp_path), *told)


def test_a_set_without_room_for_the_teachers_outputs_is_named(pair_set, disk):
    for item in pair_set.path.iterdir():
        if item.name != "teacher":
            (shutil.copytree if item.is_dir() else shutil.copy)(item, disk.path / item.name)
    disk.fill(leave=8192)
    with pytest.raises(
        InputError, match=r"outputs cannot be kept in .*no space is left.*make room"
    ):
        proxy_data(open_set(disk.path), load_teacher("hat-tiny"))


def test_preparing_into_a_full_disk_goes_on_when_there_is_room(pair_set, disk):
    source = pair_set.path.parent / "hr"
    disk.fill(leave=200_000)
    with pytest.raises(InputError, match=r"[Nn]o space"):
        prepare(source, disk.path / "set", qps=(31, 63), workers=1)
    disk.free()
    report = prepare(source, disk.path / "set", qps=(31, 63), workers=1)
    assert report.made + report.reused == 6 and report.made < 6


def test_a_training_on_a_full_disk_goes_on_when_there_is_room(pair_set, disk):
    def events():
        small = Architecture(width=8, stages=(Stage("conv", 8, 1),), residual="bicubic")
        stage = {"steps": 12, "patch": 16, "batch": 2, "losses": {"mse": 1}}
        recipe = parse_recipe({"stages": [stage]}, "x")
        return train("x", small, recipe, pair_set, disk.path / "run", checkpoint_seconds=0)

    running = events()
    for _, event in zip(range(8), running, strict=False):
        assert event
    disk.fill()
    with pytest.raises(InputError, match=r"run cannot be written: no space is left"):
        list(running)
    disk.free()
    list(events())
    assert (disk.path / "run" / "best.safetensors").is_file()


def test_a_set_that_may_only_be_read_can_be_learned_from_with_a_teacher(
    pair_set, disk, tmp_path, monkeypatch
):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    shutil.copytree(
        pair_set.path, disk.path, ignore=shutil.ignore_patterns("teacher"), dirs_exist_ok=True
    )
    disk.remount("ro")
    assert proxy_data(open_set(disk.path), load_teacher("hat-tiny")).bank.teacher is not None


def test_a_folder_upscaled_onto_a_full_disk_goes_on_when_there_is_room(pair_set, disk, nas):
    source, larger = pair_set.path.parent / "hr", disk.path / "larger"
    disk.fill(leave=1_500_000)
    refused(nas("upscale", source, "-o", larger), f"{larger}/", "no space left")
    made = {path.name: path.stat().st_mtime_ns for path in larger.iterdir()}
    assert 0 < len(made) < 6 and not any(name.startswith(".") for name in made)
    disk.free()
    disk.remount("size=64m")
    code, out, _ = nas("upscale", source, "-o", larger)
    assert code == 0 and f"{len(made)} already there, 0 skipped" in out
    assert {name: (larger / name).stat().st_mtime_ns for name in made} == made


@pytest.mark.parametrize("command", [("upscale", "PICTURE"), ("export", "avif4x")])
def test_an_output_that_cannot_be_written_is_named(pair_set, disk, nas, command):
    picture = next((pair_set.path.parent / "hr").iterdir())
    arguments = [picture if word == "PICTURE" else word for word in command]
    output = disk.path / ("x.png" if command[0] == "upscale" else "x.safetensors")
    disk.fill(leave=4096)
    refused(nas(*arguments, "-o", output), f"{output}: there is no space left")
    disk.free()
    disk.remount("ro")
    refused(nas(*arguments, "-o", output), f"{output}: the file system is read-only")
