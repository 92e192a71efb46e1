"""A study's winners become trained, measured, exported and registered models."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import onnxruntime
import pytest
from PIL import Image
from promoting import client_of, copied, run, runs, settings

from benchmarks.processes import HOST, free_port
from nas.cli.model_arguments import model
from nas.common.text import code, plain
from nas.measure.tiling import upscale_picture
from search_spaces.model_file import load_model
from studies.core.budget import Budget
from studies.core.noise import Noise
from studies.results import promotions
from studies.results.front import trained
from studies.results.selection import Selection
from studies.results.snapshot import load
from studies.storage.store import Store
from studies.tracking.registry import crown, described, tags
from studies.tracking.store import connected


@pytest.fixture(scope="module")
def promoted_two(small_study, tmp_path_factory):
    """The two fastest promoted, in the order of their trials: (folder, summary)."""
    folder = copied(small_study, tmp_path_factory.mktemp("promoted"))
    records = load(Store(f"sqlite:///{folder}/studies.db"), "demo").records
    fastest = sorted(trained(records), key=lambda member: member.runtime_ms)[:2]
    trials = tuple(sorted(member.trial for member in fastest))
    run(settings(folder, selection=Selection(force=True, trials=trials[:1]), tracking_uri=None))
    with pytest.MonkeyPatch.context() as patch:  # one ONNX file is enough, and takes seconds
        patch.setattr("studies.promotion.run.find_spec", lambda package: None)
        summary = run(settings(folder, selection=Selection(force=True, trials=trials)))
    assert summary.tracking_fault is None and not summary.failed
    return folder, summary


def test_each_winner_is_trained_measured_and_exported(promoted_two):
    _, summary = promoted_two
    assert len(summary.promotions) == 2
    for winner, promotion in zip(summary.plan.winners, summary.promotions, strict=True):
        network = load_model(winner.folder / promotions.MODEL)
        assert network.architecture.to_dict() == winner.member.architecture
        assert network.facts["kind"] == "promotion" and network.facts["study"] == "demo"
        assert network.facts["licence"] == "CC0-1.0"
        assert float(network.facts["gain_db"]) == pytest.approx(promotion.gain_db, abs=1e-4)
        assert promotion.proxy_gain_db == winner.member.gain_db != promotion.gain_db
        assert set(promotion.gain_db_per_qp) == {31, 63}
        report = json.loads((winner.folder / "evaluation" / "evaluation.json").read_text())
        assert report["models"][0]["gain_db"] == pytest.approx(promotion.gain_db)
        line = json.loads((winner.folder / promotions.FRONT).read_text())
        assert {"trial", "architecture", "gain_db", "runtime_ms"} <= set(line[0])
    gains = json.loads(summary.gains.read_text())
    assert list(gains.values()) == [p.gain_db for p in summary.promotions]
    assert summary.champion.gain_db == max(gains.values())
    assert "Few networks prove little" in summary.agreement.sentence


def test_the_exported_network_computes_the_same(promoted_two):
    _, summary = promoted_two
    first, second = summary.promotions
    assert first.onnx_error < 1e-4 and second.onnx_error is None
    folder = summary.plan.winners[0].folder
    small = np.random.default_rng(0).random((1, 3, 13, 18), dtype=np.float32)
    session = onnxruntime.InferenceSession(folder / promotions.ONNX)
    (large,) = session.run(None, {session.get_inputs()[0].name: small})
    import torch

    ours = load_model(folder / promotions.MODEL).network(torch.from_numpy(small)).clamp(0, 1)
    np.testing.assert_allclose(large, ours.numpy(), atol=1e-4)


def test_mlflow_shows_curve_figures_files_and_lineage(promoted_two):
    folder, summary = promoted_two
    (parent,) = runs(folder, "tags.kind = 'study'")
    children = runs(folder, "tags.kind = 'promotion'")
    first = summary.promotions[0]
    assert {r.data.tags["trial"] for r in children} == {str(p.trial) for p in summary.promotions}
    assert all(r.data.tags["mlflow.parentRunId"] == parent.info.run_id for r in children)
    assert all(run.info.status == "FINISHED" for run in children)
    child = next(run for run in children if run.data.tags["trial"] == str(first.trial))
    client = client_of(folder)
    curve = client.get_metric_history(child.info.run_id, "curve_gain_db")
    assert [point.step for point in curve] == [0, 12]
    assert child.data.metrics["gain_db"] == pytest.approx(first.gain_db)
    assert child.data.metrics["proxy_gain_db"] == first.proxy_gain_db
    assert child.data.params["seed"] == "0" and child.data.params["width"]
    names = {item.path for item in client.list_artifacts(child.info.run_id)}
    assert {"model.safetensors", "model.onnx", "front.json", "evaluation", "samples"} <= names
    samples = client.list_artifacts(child.info.run_id, "samples")
    assert [Path(item.path).name for item in samples] == ["step-00000000.png", "step-00000012.png"]

    note = parent.data.tags["mlflow.note.content"]
    assert "## Promoted" in note and "nas export models:/demo@champion" in note
    assert "mlflow models serve -m models:/demo@champion" in note


def test_the_registry_has_a_version_each_and_the_best_is_champion(promoted_two):
    folder, summary = promoted_two
    client = client_of(folder)
    versions = {v.tags["trial"]: v for v in client.search_model_versions("name = 'demo'")}
    assert versions.keys() == {str(p.trial) for p in summary.promotions}
    champion = client.get_model_version_by_alias("demo", "champion")
    assert champion.tags["trial"] == str(summary.champion.trial)
    assert summary.registered == "models:/demo@champion"
    trial = str(summary.promotions[0].trial)
    (run,) = [r for r in runs(folder, "tags.kind = 'promotion'") if r.data.tags["trial"] == trial]
    first = versions[trial]
    assert first.run_id == run.info.run_id, "lineage: the promotion's run"
    assert float(first.tags["gain_db"]) == pytest.approx(summary.promotions[0].gain_db, abs=1e-4)
    assert {"recipe", "data", "architecture", "git", "runtime_ms", "runtime"} <= set(first.tags)
    assert "| QP 31 |" in first.description
    assert "models:/demo@champion" in client.get_registered_model("demo").description


def test_a_version_that_just_fits_a_limit_may_be_champion(promoted_two):
    folder, summary = promoted_two
    store = connected(f"sqlite:///{folder}/mlflow.db")
    fastest = min(summary.promotions, key=lambda promotion: promotion.runtime_ms)
    tag = float(f"{fastest.runtime_ms:.4f}")
    for limit_ms in (fastest.runtime_ms, tag - 4e-5, tag + 4e-5):  # which are all rounded to it
        assert crown(store, "demo", fastest.data, Budget(limit_ms)) is not None
    assert crown(store, "demo", fastest.data, Budget(tag - 1e-4)) is None
    strict = Budget(colour_loss_db=-99.0)  # all tint
    assert crown(store, "demo", fastest.data, strict) is None
    crown(store, "demo", fastest.data, Budget())


def test_a_promoted_trial_and_its_registered_model_are_the_same_model(promoted_two):
    folder, summary = promoted_two
    where = {
        "storage": f"sqlite:///{folder}/studies.db",
        "tracking_uri": f"sqlite:///{folder}/mlflow.db",
    }
    champion = summary.champion
    for source in (f"demo/{champion.trial}", "models:/demo@champion"):
        assert model(source, **where).digest == champion.digest
    (run,) = [
        r
        for r in runs(folder, "tags.kind = 'promotion'")
        if r.data.tags["trial"] == str(champion.trial)
    ]
    assert model(f"runs:/{run.info.run_id}", **where).digest == champion.digest


def test_the_same_command_repeats_nothing_and_another_adds(promoted_two, monkeypatch):
    folder, summary = promoted_two
    results = [winner.folder / promotions.RESULT for winner in summary.plan.winners]
    before = [path.stat().st_mtime_ns for path in results]
    trials = tuple(p.trial for p in summary.promotions)
    again = run(settings(folder, selection=Selection(force=True, trials=trials)))
    assert [path.stat().st_mtime_ns for path in results] == before
    assert again.promotions == summary.promotions and again.versions == summary.versions
    assert len(runs(folder, "tags.kind = 'promotion'")) == 2
    assert len(client_of(folder).search_model_versions("name = 'demo'")) == 2

    monkeypatch.setattr("studies.promotion.run.find_spec", lambda package: None)
    other = run(settings(folder, selection=Selection(force=True, trials=trials[:1]), steps=6))
    assert other.promotions[0].steps == 6, "another training, beside the first"
    assert other.promotions[0].onnx_error is None, "without its packages there is no such file"
    assert promotions.read(summary.plan.winners[0].folder) == summary.promotions[0]
    assert other.agreement is None, "one network has no rank, and others are not trained alike"

    named = run(settings(folder, selection=Selection(force=True, trials=trials[:1]), name="avif4x"))
    assert named.registered == "models:/avif4x@champion"
    assert client_of(folder).get_model_version_by_alias("avif4x", "champion")


def test_a_limit_decides_who_is_champion(promoted_two):
    folder, summary = promoted_two
    fastest = min(summary.plan.winners, key=lambda w: w.member.runtime_ms).member
    choice = Selection(under_ms=fastest.runtime_ms * 1.0001)
    name = "fast-0.5ms"  # with a dot, as in a study's own name
    summary = run(settings(folder, choice=choice, name=name))
    assert summary.champion.trial == fastest.trial and summary.tracking_fault is None
    version = client_of(folder).get_model_version_by_alias(name, "champion")
    assert version.tags["trial"] == str(fastest.trial)
    where = {"tracking_uri": f"sqlite:///{folder}/mlflow.db"}
    assert model(f"models:/{name}@champion", **where).digest == summary.champion.digest


def request_of(picture: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def answered(text: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
        return np.asarray(picture)


def test_the_registered_model_upscales_pictures_and_was_never_pickled(promoted_two, tmp_path):
    folder, summary = promoted_two
    client = client_of(folder)
    location = client.get_model_version_by_alias("demo", "champion").source
    place = Path(mlflow.artifacts.download_artifacts(location, dst_path=str(tmp_path)))
    assert not [path for path in place.rglob("*") if path.suffix in (".pkl", ".pickle", ".pt")]
    served = mlflow.pyfunc.load_model(str(place))
    picture = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)
    answer = served.predict({"image": [request_of(picture)]})
    champion = load_model(
        next(w.folder for w in summary.plan.winners if w.member.trial == summary.champion.trial)
        / promotions.MODEL
    )
    wanted = upscale_picture(champion.network, picture).numpy()
    difference = answered(answer["image"][0]).astype(int) - wanted
    assert abs(difference).max() <= 1, "another memory layout sums otherwise"
    with pytest.raises(mlflow.MlflowException, match="not a picture that can be read"):
        served.predict({"image": [base64.b64encode(b"hello").decode()]})


def test_mlflow_serves_the_champion(promoted_two):
    """The command that the summary prints, with a real server and a real request."""
    folder, _ = promoted_two
    port = free_port()
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/demo@champion"]
    server = subprocess.Popen(
        [*command, "--env-manager", "local", "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    picture = np.random.default_rng(1).integers(0, 256, (11, 7, 3), dtype=np.uint8)
    content = json.dumps({"inputs": {"image": [request_of(picture)]}}).encode()
    asked = urllib.request.Request(
        f"http://{HOST}:{port}/invocations", content, {"Content-Type": "application/json"}
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://{HOST}:{port}/ping", timeout=2)
                break
            except OSError:
                assert time.monotonic() < deadline and server.poll() is None
                time.sleep(0.3)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            (row,) = json.load(answer)["predictions"]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    assert answered(row["image"]).shape == (44, 28, 3)


def test_the_command_tells_gains_ranks_champion_and_what_comes_next(promoted_two, nas, monkeypatch):
    folder, summary = promoted_two
    monkeypatch.chdir(folder)
    ask = ["promote", "demo", "--recipe", "quick.yaml", "--device", "cpu"]
    ask += [word for p in summary.promotions for word in ("--trial", p.trial)] + ["--force"]

    def promote(*more):
        code, out, err = nas(*ask, *more)
        assert code == 0 and "not all of it is in MLflow" not in err, err
        return out

    told = promote()
    assert "Kendall" in told and "champion under 4 ms" in told and "ms predicted" in told
    assert "nas export models:/demo@champion --format onnx" in told
    document = json.loads(promote("--json"))
    assert [p["gain_db"] for p in document["promoted"]] == [p.gain_db for p in summary.promotions]
    assert document["registered"] == "models:/demo@champion"
    plan = json.loads(promote("--dry-run", "--json"))
    assert [w["trial"] for w in plan["winners"]] == [p.trial for p in summary.promotions]
    assert all(winner["state"].startswith("done") for winner in plan["winners"])


def promotion(**known) -> promotions.Promotion:
    numbers = ("gain_db", "proxy_gain_db", "runtime_ms", "macs_g", "params", "steps", "trial")
    blank = dict.fromkeys(promotions.Promotion.__dataclass_fields__, "") | dict.fromkeys(numbers, 0)
    empty = {"gain_db_per_qp": {}, "psnr_y_db": {}, "made_by": {}, "onnx_error": None}
    empty |= {"gain_cb_db": None, "gain_cr_db": None}
    return promotions.Promotion(**{**blank, **empty, **known})


def test_a_network_that_tints_after_its_full_training_is_no_champion():
    tinted = promotion(trial=1, gain_db=0.5, gain_cb_db=0.1, gain_cr_db=-0.4)
    older, plain = promotion(trial=2, gain_db=0.1), promotion(trial=3, gain_db=0.3)
    plain = replace(plain, gain_cb_db=0.2, gain_cr_db=-0.05)
    limits = Budget(colour_loss_db=0.1)
    assert promotions.best([tinted, older, plain], limits) == plain
    assert promotions.best([tinted, older], limits) == older, "nothing is known against it"
    assert promotions.best([tinted, plain], Budget()) == tinted
    assert "| -0.400 tints |" in promotions.markdown([tinted], limits, Noise(0.008))
    assert "Cb +0.100 dB, Cr -0.400 dB" in described(tinted)
    assert tags(tinted)["gain_cr_db"] == "-0.4000" and "gain_cr_db" not in tags(older)


def test_what_is_told_of_a_promotion_is_marked_up_by_no_name():
    evil = "a`b | <img src=x onerror=alert(1)> **c**"
    named = promotion(name=evil, recipe=evil, teacher=evil, data_name=evil, runtime_target=evil)
    told, row = described(named), promotions.markdown([named], Budget(), Noise(0.008))
    assert told.count(plain(evil)) == 2 and told.count(code(evil)) == 3
    assert row.count(plain(evil)) == 2
    assert evil not in told and evil not in row


def test_agreement_of_few_and_of_many():
    base = promotion()
    line = [replace(base, proxy_gain_db=float(i), gain_db=float(i)) for i in range(9)]
    assert promotions.agreement(line[:1]) is None
    assert promotions.agreement([base, base]) is None, "equal gains have no rank"
    many = promotions.agreement(line)
    assert (many.kendall, many.spearman) == (pytest.approx(1), pytest.approx(1))
    assert "prove little" not in many.sentence and "Luck" not in many.sentence
    assert "prove little" in promotions.agreement(line[:3]).sentence
