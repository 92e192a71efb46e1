"""The main job from the command line, with nothing replaced: Ray, Optuna, MLflow, AVIF pictures."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file
from skimage import data as photographs

from benchmarks.processes import children
from nas.data.prepare import prepare
from search_spaces import Architecture, build, fuse
from studies.core.outcome import Trained
from studies.core.record import count
from studies.results.snapshot import load
from studies.storage.store import Store

SPACE = """
dimensions:
  stem: [conv, strided2]
  width: [8, 12, 512]
  depth: [1]
  block: [conv, ecb]
  residual: [lanczos]
"""


@pytest.fixture(scope="module")
def picture_set(tmp_path_factory):
    """Five crops of photographs, prepared at two QPs."""
    from PIL import Image

    root = tmp_path_factory.mktemp("pictures")
    (root / "hr").mkdir()
    photos = [photographs.astronaut(), photographs.coffee(), photographs.chelsea()]
    crops = [photo[:288, :288] for photo in photos] + [photo[-288:, -288:] for photo in photos[:2]]
    for index, crop in enumerate(crops):
        Image.fromarray(crop).save(root / "hr" / f"{index}.png")
    prepare(root / "hr", root / "set", qps=(31, 63))
    return root / "set"


@pytest.fixture
def command(tmp_path, picture_set):
    (tmp_path / "small.yaml").write_text(SPACE)
    options = ["--space", "small.yaml", "--budget", "4ms", "--data", str(picture_set)]
    options += ["--teacher", "none", "--steps", "40", "--study", "demo"]
    options += ["--max-colour-loss", "none"]  # so short a training tints
    return [sys.executable, "-c", "from nas.cli import main; main()", "search", *options]


def run(command, folder, *more) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    return subprocess.run(
        [*command, *more], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def test_a_search_ends_with_a_front_in_the_study_and_in_mlflow(command, tmp_path):
    done = run(command, tmp_path, "--trials", "4", "--concurrency", "2", "--json")
    assert done.returncode == 0, done.stderr
    front = json.loads(done.stdout)
    assert front
    keys = ["trial", "name", "architecture", "gain_db", "runtime_ms", "runtime_kind"]
    keys += ["macs_g", "params", "memory_mb", "trainings", "gain_sd_db", "front_probability"]
    keys += ["gain_cb_db", "gain_cr_db", "tints"]
    assert list(front[0]) == keys
    assert [m["runtime_ms"] for m in front] == sorted(m["runtime_ms"] for m in front)
    assert [m["gain_db"] for m in front] == sorted(m["gain_db"] for m in front)
    assert all(member["runtime_ms"] <= 4 for member in front)

    snapshot = load(Store(f"sqlite:///{tmp_path}/studies.db"), "demo")
    info, records = snapshot.info, snapshot.records
    assert info.name == "demo"
    tally = count(records)
    assert (tally.trained, tally.running) == (4, 0)
    trained = [record for record in records if isinstance(record.outcome, Trained)]
    keys = [record.candidate.key for record in trained if record.duplicate_of is None]
    assert len(set(keys)) == len(keys), "no architecture is trained twice"

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("nas-workbench").experiment_id
    children = client.search_runs([experiment], "tags.kind = 'trial'")
    assert len(children) == len(records)
    best = front[-1]
    run_id = next(r.info.run_id for r in children if r.data.tags["trial"] == str(best["trial"]))
    weights = client.download_artifacts(run_id, "weights.safetensors", str(tmp_path))
    network = fuse(build(Architecture.from_dict(best["architecture"])))
    network.load_state_dict(load_file(weights), strict=True)

    other = run(command, tmp_path, "--trials", "4", "--seed", "1")
    assert other.returncode == 2
    assert "'demo' was made with another" in other.stderr


def test_scripts_are_told_too_why_a_search_ended_early(command, tmp_path):
    done = run(command, tmp_path, "--max-params", "1", "--tracking-uri", "none", "--json")
    assert done.returncode == 0 and json.loads(done.stdout) == []
    assert "relax the budget" in done.stderr


def test_a_search_killed_in_the_middle_goes_on_where_it_was(command, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    goal = ["--trials", "4", "--concurrency", "1"]
    first = subprocess.Popen(
        [*command, *goal],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    storage = f"sqlite:///{tmp_path}/studies.db"
    deadline = time.monotonic() + 120
    before: set[int] = set()
    while not before and time.monotonic() < deadline:
        time.sleep(0.2)
        if (tmp_path / "studies.db").exists():
            try:
                records = load(Store(storage), "demo").records
            except ValueError:  # the tables are being made
                continue
            before = {r.trial for r in records if isinstance(r.outcome, Trained)}
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert before

    done = run(command, tmp_path, *goal)
    assert done.returncode == 0, done.stderr
    records = load(Store(storage), "demo").records
    after = {r.trial for r in records if isinstance(r.outcome, Trained)}
    assert before <= after
    assert count(records).trained == 4
    assert count(records).running == 0


def test_a_search_outlives_the_process_that_drives_ray(command, tmp_path):
    command = [*command, "--trials", "4", "--concurrency", "2", "--tracking-uri", "none", "--json"]
    command += ["--max-memory", "100G"]
    said = tmp_path / "said"
    with (tmp_path / "result").open("w") as out, said.open("w") as err:
        search = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
            stdout=out,
            stderr=err,
        )
    while search.poll() is None and not OUTCOME.search(said.read_text()):
        time.sleep(0.02)
    (driver,) = children(search.pid)
    os.kill(driver, signal.SIGABRT)  # as Ray's core does
    assert search.wait(timeout=120) == 0, said.read_text()
    own = [line for line in said.read_text().splitlines() if not OUTCOME.match(line)]
    start, slack, died, again, expected, *end = own
    assert start == "demo: 4 candidates, 2 at once" and again.startswith("demo: ")
    assert died == (
        "nas: the process that runs the search died (SIGABRT); continuing: attempt 2 of 5."
    )
    assert slack.startswith("--max-memory 1e+05M excludes none of ") and end == [slack, slack]
    assert re.fullmatch(r"expected [123] candidates of \d+ s, \d:\d\d in all", expected)
    assert json.loads((tmp_path / "result").read_text())
    records = load(Store(f"sqlite:///{tmp_path}/studies.db"), "demo").records
    tally = count(records)
    assert (tally.trained, tally.running) == (4, 0)
    layouts = [record.candidate.layout for record in records if record.duplicate_of is None]
    assert len(set(layouts)) == len(layouts)


OUTCOME = re.compile(r"\[\d+/4\] trial ")
