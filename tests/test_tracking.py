"""MLflow shows a study: one parent run, a child a trial, and nothing twice, whatever happens."""

from __future__ import annotations

import hashlib
import json
import socket
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file

from search_spaces import Architecture, build, fuse
from search_spaces.architecture import Stage
from studies.core.candidate import Candidate
from studies.core.info import StudyInfo
from studies.core.outcome import Broken, Rejected, Rung, Runtime, Size, Trained, Weights
from studies.core.record import Record
from studies.core.weights import weights_folder
from studies.tracking import EXPERIMENT, StudyTracking
from studies.tracking.store import connected, network_params

BUDGET = {"runtime_ms": 2.0, "macs": None, "params": None}
INFO = StudyInfo("demo", {"budget": BUDGET, "space": {"name": "lightweight"}}, ({"time": "t"},))


def trained(trial, gain, ms, folder):
    from safetensors.torch import save_file

    architecture = Architecture(width=8 + trial)
    weights_folder(folder).mkdir(parents=True, exist_ok=True)
    file = weights_folder(folder) / f"{trial}.st"
    save_file(fuse(build(architecture, 0)).state_dict(), file)
    outcome = Trained(
        gain,
        {31: gain + 0.1, 63: gain - 0.1},
        {31: 30.0, 63: 27.0},
        Runtime(ms, "predicted", "rtx4090"),
        Size(5000, 10**9, 102.5),
        (Rung(10, gain / 2, 1.0), Rung(20, gain, 2.0)),
        20,
        2.5,
        Weights(hashlib.sha256(file.read_bytes()).hexdigest(), file=file.name),
        gain_cb_db=0.2,
        gain_cr_db=-gain,
    )
    return Record(Candidate(trial, architecture), outcome, started=1.0, finished=2.0 + trial)


@pytest.fixture
def records(tmp_path):
    over = Rejected("runtime_ms", 3.0, 2.0, Runtime(3.0, "predicted", "rtx4090"), Size(9, 9))
    broken = Broken("diverged", "the loss is nan", size=Size(9, 9))
    return [
        trained(0, 0.10, 0.5, tmp_path),
        trained(1, 0.20, 1.0, tmp_path),
        Record(Candidate(2, Architecture(width=64)), over, started=1.0, finished=5.0),
        Record(Candidate(3, Architecture(width=63)), broken, started=1.0, finished=6.0),
        Record(Candidate(4, Architecture(width=62)), None, started=1.0),
    ]


def test_a_study_becomes_runs_models_figures_and_a_note(tmp_path, records):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert StudyTracking(uri, INFO, tmp_path).deliver(records, final=True).fault is None

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    parent = runs.pop("demo")
    assert len(runs) == 4, "the trial still running is not shown"
    by_trial = {int(run.data.tags["trial"]): run for run in runs.values()}
    statuses = [by_trial[n].info.status for n in range(4)]
    assert statuses == ["FINISHED", "FINISHED", "KILLED", "FAILED"]
    assert by_trial[2].data.tags["reason"].startswith("3.00 ms over the limit of 2.00 ms")
    assert by_trial[3].data.tags["reason"] == "the loss is nan"

    first = by_trial[0]
    assert first.data.metrics["gain_db"] == pytest.approx(0.10)
    assert first.data.metrics["gain_db_qp63"] == pytest.approx(0.0)
    assert first.data.metrics["memory_mb"] == pytest.approx(102.5)
    assert first.data.metrics["gain_cb_db"] == pytest.approx(0.2)
    assert first.data.metrics["gain_cr_db"] == pytest.approx(-0.1)
    assert first.data.params["width"] == "8"
    curve = client.get_metric_history(first.info.run_id, "curve_gain_db")
    assert [(point.step, point.value) for point in curve] == [(10, 0.05), (20, 0.10)]

    names = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"front.png", "front.html", "front.json", "hypervolume.png", "study.json"} <= names
    page = Path(client.download_artifacts(parent.info.run_id, "report.html")).read_text()
    assert "2 candidates were trained" in page and "nas promote demo" in page
    assert parent.data.metrics["hypervolume"] == pytest.approx(0.1 * 2 + 0.1 * 1)
    assert "| 1 |" in parent.data.tags["mlflow.note.content"]
    told = {"budget": "2 ms", "space": "lightweight", "teacher": "none"}
    assert told.items() <= parent.data.params.items(), "in a word each"

    models = client.search_logged_models([experiment])
    assert len(models) == 2

    address = connected(uri).show_table()
    assert address.startswith(f"/#/experiments/{experiment}/runs?")
    (key,) = parse_qs(address.partition("?")[2])["viewStateShareKey"]
    view = client.get_experiment(experiment).tags[f"mlflow.sharedViewState.{key}"]
    told = {f"metrics.`{name}`" for name in {**parent.data.metrics, **first.data.metrics}}
    columns = set(json.loads(view)["selectedColumns"])
    assert columns - told == {"tags.`outcome`"}, "columns of what is told"


def test_a_tint_is_a_tag_and_no_part_of_what_the_study_found(tmp_path, records):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    records[1] = replace(records[1], tints=True)
    assert StudyTracking(uri, INFO, tmp_path).deliver(records, final=True).fault is None
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    (parent,) = client.search_runs([experiment], "tags.kind = 'study'")
    (tinted,) = client.search_runs([experiment], "tags.tints = 'true'")
    assert tinted.data.tags["trial"] == "1" and tinted.info.status == "FINISHED"
    assert parent.data.metrics["best_gain_db"] == pytest.approx(0.1)
    assert parent.data.metrics["hypervolume"] == pytest.approx(0.1 * 2)
    assert parent.data.metrics["tinted"] == 1
    assert "trial 1 (-0.200 dB)" in parent.data.tags["mlflow.note.content"]


def test_a_port_that_is_taken_is_named(tmp_path, nas):
    database = tmp_path / "mlflow.db"
    database.touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = nas("ui", "--tracking-uri", f"sqlite:///{database}", "--port", port)
    assert code == 2 and f"--port {port}" in err and "in use" in err


def test_a_network_is_told_in_columns_to_sort_and_to_draw_by():
    stages = (Stage("ecb", 12, 2), Stage("conv", 16))
    told = network_params(Architecture(stages=stages).to_dict())
    assert (told["depth"], told["block"], told["tail.kernel"]) == (3, "ecb conv", 3)
    assert told["stages"] == "2x ecb of 12, 1x conv of 16"
    bare = network_params(Architecture().to_dict())
    assert (bare["depth"], bare["block"], bare["stages"]) == (0, "none", "none")


def test_a_tracked_network_loads_without_running_code(tmp_path, records):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    StudyTracking(uri, INFO, tmp_path).deliver(records)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    run = client.search_runs([experiment], "tags.trial = '1'")[0]
    text = client.download_artifacts(run.info.run_id, "architecture.json", str(tmp_path))
    weights = client.download_artifacts(run.info.run_id, "weights.safetensors", str(tmp_path))
    network = fuse(build(Architecture.from_json(Path(text).read_text())))
    network.load_state_dict(load_file(weights), strict=True)


def test_delivering_again_changes_nothing_and_a_lost_view_is_made_anew(tmp_path, records):
    def seen(uri):
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
        runs = client.search_runs([experiment])
        return sorted(
            (r.info.run_name, r.info.status, sorted(r.data.metrics.items())) for r in runs
        )

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    StudyTracking(uri, INFO, tmp_path).deliver(records[:2])
    again = StudyTracking(uri, INFO, tmp_path)  # as after a restart
    assert again.deliver(records, final=True).written == 2
    assert again.deliver(records, final=True).written == 0

    other = f"sqlite:///{tmp_path}/rebuilt.db"
    StudyTracking(other, INFO, tmp_path).deliver(records, final=True)
    assert seen(other) == seen(uri)


def test_a_child_cut_off_while_being_written_is_written_anew(tmp_path, records):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    StudyTracking(uri, INFO, tmp_path).deliver(records[:1])
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    run = client.search_runs([experiment], "tags.trial = '0'")[0]
    client.update_run(run.info.run_id, status="RUNNING")
    assert StudyTracking(uri, INFO, tmp_path).deliver(records[:1]).written == 1
    assert len(client.search_runs([experiment], "tags.trial = '0'")) == 1


def test_a_database_is_there_whole_or_not_at_all(tmp_path, records, monkeypatch):
    """MLflow makes its tables one by one: a kill meanwhile must not leave half of them."""
    database = tmp_path / "mlflow.db"
    search = MlflowClient.search_experiments

    def killed(client, **options):
        search(client, **options)  # all tables are there now, and yet
        assert not database.exists()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MlflowClient, "search_experiments", killed)
        StudyTracking(f"sqlite:///{database}", INFO, tmp_path).deliver(records)
    assert not database.exists()
    assert StudyTracking(f"sqlite:///{database}", INFO, tmp_path).deliver(records).fault is None
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_tracking_server_that_is_away_is_told_in_one_sentence_without_secrets(tmp_path, records):
    tracking = StudyTracking("http://user:secret@127.0.0.1:9", INFO, tmp_path)
    delivery = tracking.deliver(records)
    assert delivery.written == 0
    assert delivery.fault and "secret" not in delivery.fault and "127.0.0.1" in delivery.fault
