"""Beyond one machine: a Ray cluster, PostgreSQL and an MLflow server, all real, on this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from photos import photo_set
from quick_search import TRIALS as TRIALS_OF_QUICK
from quick_search import Quick, settings
from servers import mlflow_server, postgres, ray_cluster

from nas.common.errors import InputError
from studies.core.record import count
from studies.results.snapshot import load
from studies.runners.bundle import material_of
from studies.search import conduct
from studies.storage.store import Store

PASSWORD = "swordfish-5150"
TOKEN = "trout-6161"
NAS = [sys.executable, "-c", "from nas.cli import main; main()"]
TRIALS = 2  # one each: measuring takes seconds

PLUGIN = """
from search_spaces.blocks import ECB, blocks

blocks.add("theirs", ECB)
"""
SPACE = """
dimensions:
  stem: [conv]
  width: [8, 12]
  depth: [1]
  block: [theirs]
  residual: [lanczos]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Private: a set and a plugin that the second machine does not see."""
    root = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(root / "near"))
        photo_set(root / "private")
    (root / "private" / "mine.py").write_text(PLUGIN)
    (root / "private" / "space.yaml").write_text(SPACE)
    return root


@pytest.fixture(scope="module")
def cluster(place):
    """Two machines: the driver's, and one that measures runtimes and sees none of its files."""
    with ray_cluster() as cluster:
        cluster.add(cpus=1, environment={"NAS_CACHE": str(place / "near")})
        cluster.add(
            cpus=1,
            resources={"latency": 1},
            environment={"NAS_CACHE": str(place / "far")},
            hidden=place / "private",
        )
        yield cluster


@pytest.fixture(scope="module")
def search(place, cluster):
    """One search with everything elsewhere: what it said, its servers, what processes it had."""
    private = place / "private"
    with postgres(PASSWORD) as database, mlflow_server() as tracking:
        tracking_uri = tracking.url.replace("http://", f"http://me:{TOKEN}@")
        servers = ["--storage", database.url, "--tracking-uri", tracking_uri]
        command = [
            *(*NAS, "search", "--ray-address", cluster.address, *servers),
            *("--space", private / "space.yaml", "--plugin", private / "mine.py"),
            *("--data", private / "set", "--target", "cpu", "--study", "far", "--steps", "40"),
            *("--trials", TRIALS, "--concurrency", 2, "--json"),
            *("--max-colour-loss", "none"),
        ]
        environment = {
            **os.environ,
            **cluster.environment,
            "NAS_CACHE": str(place / "near"),
            "XDG_DATA_HOME": str(place / "home"),
        }
        titles: set[str] = set()
        with (place / "out").open("w") as out, (place / "err").open("w") as err:
            process = subprocess.Popen(
                [str(part) for part in command], cwd=place, env=environment, stdout=out, stderr=err
            )
        while process.poll() is None:
            for pid in {pid for node in cluster.nodes for pid in node.pids()}:
                titles.add(_told(Path(f"/proc/{pid}/cmdline")))
            time.sleep(2)
        titles.add(_jobs(cluster))
        assert process.returncode == 0, (place / "err").read_text()
        yield database, tracking, titles


def test_a_search_ends_as_on_one_machine(search, place):
    database, tracking, _ = search
    front = json.loads((place / "out").read_text())
    assert front and all(member["runtime_kind"] == "measured" for member in front)
    records = load(Store(database.url), "far").records
    assert count(records).trained == TRIALS
    client = MlflowClient(tracking.url)
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments, "tags.kind = 'trial'")
    assert sorted(int(run.data.tags["trial"]) for run in runs) == [r.trial for r in records]


def test_what_a_machine_does_not_see_is_sent_to_it_once(search, place):
    far = place / "far"
    (packed,) = (far / "material").glob("*.safetensors")
    assert packed.read_bytes() == (place / "near" / "material" / packed.name).read_bytes()
    assert [path.read_text() for path in far.glob("plugins/*/*.py")] == [PLUGIN]
    assert not (place / "near" / "plugins").exists()  # there, the path itself holds the same


def test_only_machines_that_are_there_for_it_measure(search, place):
    database, *_ = search
    records = load(Store(database.url), "far").records
    runtimes = {record.outcome.runtime for record in records if record.outcome.runtime}
    assert runtimes and {runtime.kind for runtime in runtimes} == {"measured"}
    assert {bool(runtime.device) for runtime in runtimes} == {True}
    assert list((place / "far" / "latency").iterdir())
    assert not (place / "near" / "latency").exists()


def test_secrets_stay_with_their_user(search, place, cluster):
    _, tracking, titles = search
    assert any(title.startswith("ray::") for title in titles)
    assert any("'Entrypoint': 'nas'" in title for title in titles)
    told = {title: title for title in titles}
    for folder in (cluster.folder, place, tracking.folder):
        told |= {str(path): _told(path) for path in folder.rglob("*") if path.is_file()}
    assert len(told) > 50
    assert not [where for where, text in told.items() if PASSWORD in text or TOKEN in text]


@pytest.fixture
def material(place, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(place / "near"))
    return material_of(place / "private" / "set", "hat-tiny", ())


def test_packed_material_trains_as_the_files_do(material, place, monkeypatch):
    files = material.load("cpu")
    monkeypatch.setenv("NAS_CACHE", str(place / "elsewhere"))
    content = np.fromfile(place / "near" / "material" / material.file.name, np.uint8)
    unseen = replace(material, data=place / "nothing")
    fetched = []
    for _ in range(2):
        unseen.receive(lambda: fetched.append(1) or content)
    assert len(fetched) == 1
    sent = unseen.load("cpu")
    for name in ("lr", "hr", "teacher"):
        assert getattr(sent.bank, name).equal(getattr(files.bank, name))
    assert sent.qps == files.qps and len(sent.validation) == len(files.validation)
    for one, other in zip(sent.validation, files.validation, strict=True):
        assert np.array_equal(one.hr(), other.hr())
        assert all(np.array_equal(one.lr(qp), other.lr(qp)) for qp in files.qps)


def test_another_set_at_the_same_path_is_not_taken_for_the_drivers(material, place, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(place / "third"))
    fetched = []
    content = np.fromfile(place / "near" / "material" / material.file.name, np.uint8)
    replace(material, data_digest="0" * 64).receive(lambda: fetched.append(1) or content)
    assert fetched


def test_what_was_damaged_on_the_way_is_refused(material, place, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(place / "fourth"))
    with pytest.raises(InputError, match="is not what was sent: check that disk"):
        replace(material, data=place / "nothing").receive(lambda: np.zeros(9, np.uint8))


def test_machines_with_another_version_are_refused_in_one_sentence(material):
    with pytest.raises(InputError, match=r"has nas-workbench .*the search runs 0\.0\.1: install"):
        replace(material, version="0.0.1").receive(lambda: np.zeros(9, np.uint8))


@dataclass(frozen=True)
class Measured(Quick):
    """Quick, with runtimes that were measured on a device."""

    device: str = ""

    def __call__(self, candidate):
        outcome = yield from super().__call__(candidate)
        return replace(outcome, runtime=replace(outcome.runtime, device=self.device))


def test_runtimes_of_one_study_are_of_one_device(tmp_path):
    assert conduct(settings(tmp_path, trials=2), Measured(device="RTX 4090")).counts.done == 2
    message = r"were measured on RTX 4090, now one was on H100: .*--resources '{\"latency\": 1}'"
    with pytest.raises(InputError, match=message):
        conduct(settings(tmp_path), Measured(device="H100"))
    more = conduct(settings(tmp_path), Measured(device="RTX 4090"))
    assert more.counts.done == TRIALS_OF_QUICK
    assert not any(r.outcome is None for r in more.records)


def test_a_cluster_whose_token_one_lacks_says_so(cluster):
    refused = _connected(cluster, "", {"RAY_AUTH_MODE": "disabled"})
    assert "that Ray cluster asks for its token; set RAY_AUTH_MODE=token" in refused.stderr


def _jobs(cluster) -> str:
    """What the cluster tells everyone about its drivers."""
    code = "import ray._private.state; print(ray._private.state.jobs())"
    return _connected(cluster, code, cluster.environment).stdout


def _connected(cluster, code: str, environment) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys\n"
        "from studies.runners.ray_session import Session, ray, running\n"
        f"with running(Session(address=sys.argv[1])):\n    {code or 'pass'}"
    )
    return subprocess.run(
        [sys.executable, "-c", program, cluster.address, f"--password={PASSWORD}"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def _told(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
