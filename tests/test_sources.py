"""A MODEL argument may be a study's trial, a registered model or a run: each loads, or is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from quick_search import Real, settings
from safetensors.torch import load_file, save_file

from nas.cli.model_arguments import model, network
from search_spaces import InputError
from search_spaces.model_file import load_model
from studies.core.outcome import Rejected, Trained
from studies.core.weights import weights_file
from studies.results.model_files import with_embedded_architecture
from studies.search import conduct
from studies.storage.store import Store
from studies.tracking import EXPERIMENT


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A study of four with its MLflow store: (folder, records)."""
    folder = tmp_path_factory.mktemp("study")
    tracking = f"sqlite:///{folder}/mlflow.db"
    summary = conduct(settings(folder, trials=4), Real(), tracking_uri=tracking)
    assert summary.tracking_fault is None
    return folder, summary.records


@pytest.fixture
def where(searched, tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    folder, _ = searched
    return {
        "storage": f"sqlite:///{folder}/studies.db",
        "tracking_uri": f"sqlite:///{folder}/mlflow.db",
    }


def first(records, kind):
    return next(record for record in records if isinstance(record.outcome, kind))


def same(ours, theirs) -> bool:
    mine, other = ours.network.state_dict(), theirs.network.state_dict()
    return mine.keys() == other.keys() and all(torch.equal(mine[k], other[k]) for k in mine)


def test_a_trial_is_a_model_and_a_network(searched, where):
    record = first(searched[1], Trained)
    loaded = model(f"quick/{record.trial}", **where)
    assert loaded.architecture == record.candidate.architecture
    assert network(f"quick/{record.trial}", **where) == (loaded.name, loaded.architecture)


def test_commands_find_a_trial_by_their_options_or_by_the_environment(
    searched, where, nas, monkeypatch
):
    trial = f"quick/{first(searched[1], Trained).trial}"
    options = ["--storage", where["storage"], "--tracking-uri", where["tracking_uri"]]
    commands = (
        ["cost", trial],
        ["latency", trial, "--target", "rtx4090"],
        ["networks", "show", trial],
    )
    told = [nas(*command, *options, "--json") for command in commands]
    assert [code for code, *_ in told] == [0] * len(commands)
    monkeypatch.setenv("NAS_STORAGE", where["storage"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", where["tracking_uri"])
    assert [nas(*command, "--json") for command in commands] == told


def test_a_file_or_folder_of_that_name_goes_first(searched, where, tmp_path, monkeypatch):
    record = first(searched[1], Trained)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick" / str(record.trial)).mkdir(parents=True)
    with pytest.raises(InputError, match="holds no model"):
        model(f"quick/{record.trial}", **where)


def test_weights_of_earlier_versions_get_their_architecture_from_the_study(
    searched, where, tmp_path
):
    _, records = searched
    record = first(records, Trained)
    path = weights_file(record.outcome, Store(where["storage"]).folder("quick"))
    before, whole = path.read_bytes(), model(f"quick/{record.trial}", **where)
    architecture, bare = record.candidate.architecture, tmp_path / "bare.safetensors"
    save_file(load_file(path), bare)  # tensors, without a header
    with pytest.raises(InputError, match="does not say which network"):
        load_model(bare)
    assert same(load_model(with_embedded_architecture(bare, architecture)), whole)
    save_file({"other": torch.zeros(1)}, bare)
    with pytest.raises(InputError, match="do not fit"):
        with_embedded_architecture(bare, architecture)
    try:
        path.unlink()
        with pytest.raises(InputError, match=f"nas promote quick --trial {record.trial}"):
            model(f"quick/{record.trial}", **where)
    finally:
        path.write_bytes(before)


def test_a_trial_that_is_no_model_is_told(searched, where):
    rejected = first(searched[1], Rejected)
    with pytest.raises(InputError, match=r"was not trained .*over the limit.*trained were"):
        model(f"quick/{rejected.trial}", **where)
    with pytest.raises(InputError, match="no trial 9999: trained were"):
        model("quick/9999", **where)
    with pytest.raises(InputError, match=r"no study .other.*quick"):
        model("other/1", **where)
    with pytest.raises(InputError, match="no study database"):
        model("quick/1", storage="sqlite:///nowhere.db")


def test_a_run_and_a_registered_model_are_models(searched, where):
    record = first(searched[1], Trained)
    client = MlflowClient(where["tracking_uri"])
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    (run,) = client.search_runs([experiment], f"tags.trial = '{record.trial}'")
    of_trial = model(f"quick/{record.trial}", **where)
    assert same(model(f"runs:/{run.info.run_id}", **where), of_trial)

    logged = next(
        m for m in client.search_logged_models([experiment]) if m.source_run_id == run.info.run_id
    )
    client.create_registered_model("avif4x")
    client.create_model_version("avif4x", logged.artifact_location, run.info.run_id)
    client.set_registered_model_alias("avif4x", "champion", "1")
    for uri in ("models:/avif4x@champion", "models:/avif4x/1", f"models:/{logged.model_id}"):
        assert same(model(uri, **where), of_trial)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("models:/nobody@champion", "no registered model 'nobody'"),
        ("models:/nobody/1", "no registered model 'nobody'"),
        ("models:/champion", "write models:/NAME@ALIAS"),
        ("models:", "write models:/NAME@ALIAS"),
        ("runs:/", "runs:/RUN_ID"),
        ("runs:/0123456789abcdef0123456789abcdef", "0123456789abcdef"),
        ("models:/m-0123456789abcdef0123456789abcdef", "m-0123456789abcdef"),
    ],
)
def test_what_the_store_does_not_have_is_told_in_one_sentence(where, uri, told):
    with pytest.raises(InputError) as refused:
        model(uri, **where)
    assert told in str(refused.value) and "\n" not in str(refused.value)


def test_an_alias_or_version_that_is_missing_names_those_there_are(searched, where):
    client = MlflowClient(where["tracking_uri"])
    client.create_registered_model("other")
    with pytest.raises(InputError, match="no alias 'champion'"):
        model("models:/other@champion", **where)
    with pytest.raises(InputError, match="no version 7: there is none"):
        model("models:/other/7", **where)


def test_a_store_that_is_not_there_or_does_not_answer(tmp_path, monkeypatch):
    absent = tmp_path / "absent.db"
    with pytest.raises(InputError, match="no tracking store"):
        model("models:/x@champion", tracking_uri=f"sqlite:///{absent}")
    assert not absent.exists(), "looking must not make a store"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InputError) as refused:
        model("models:/x@champion", tracking_uri="http://me:secret@127.0.0.1:9")
    assert "127.0.0.1" in str(refused.value) and "secret" not in str(refused.value)


def test_a_foreign_model_in_the_registry_is_refused_and_not_run(where, tmp_path):
    """A pickle among the artifacts stays a file; what loads is safetensors or nothing."""
    client = MlflowClient(where["tracking_uri"])
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    foreign = client.create_logged_model(experiment, name="foreign")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "python_model.pkl").write_bytes(b"cos\nsystem\n(S'touch harmed'\ntR.")
    client.log_model_artifacts(foreign.model_id, str(tmp_path / "m"))
    client.create_registered_model("foreign")
    client.create_model_version("foreign", foreign.artifact_location)
    with pytest.raises(InputError, match="holds no model of this workbench"):
        model("models:/foreign/1", **where)
    assert not Path("harmed").exists()
