"""MLflow shows a full training while it runs, and gets what it missed; it never stops one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from nas.training.engine.events import Event, Finished, Validated
from nas.training.engine.trainer import train
from nas.training.recipe.recipe import parse_recipe
from search_spaces import Architecture
from studies.tracking import EXPERIMENT
from studies.tracking.training_run import tracked

STEPS = 100


def training(pair_set, folder: Path) -> Iterator[Event]:
    stage = {"steps": STEPS, "patch": 16, "batch": 1, "losses": {"l1": 1}}
    recipe = parse_recipe({"stages": [stage]}, "quick")
    return train("small", Architecture(width=8), recipe, pair_set, folder, device="cpu")


def shown(database: Path):
    client = MlflowClient(f"sqlite:///{database}")
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    return client, client.search_runs([experiment])


def test_a_training_is_shown_goes_on_in_its_run_and_ends_there(pair_set, tmp_path):
    database, folder, faults = tmp_path / "mlflow.db", tmp_path / "training", []

    def run() -> Iterator[Event]:
        uri = f"sqlite:///{database}"
        return tracked(training(pair_set, folder), folder, "small", uri, faults.append)

    cut_off = run()
    for event in cut_off:
        if isinstance(event, Validated) and event.step == 50:
            break
    cut_off.close()  # as Ctrl+C would
    client, (first,) = shown(database)
    assert first.info.status == "KILLED"

    (finished,) = [event for event in run() if isinstance(event, Finished)]
    _, (run_again,) = shown(database)
    assert run_again.info.run_id == first.info.run_id and run_again.info.status == "FINISHED"
    curve = client.get_metric_history(first.info.run_id, "curve_gain_db")
    assert [point.step for point in curve] == [0, 50, 100]
    assert run_again.data.metrics["gain_db"] == pytest.approx(finished.gain_db)
    assert run_again.data.metrics["gain_cr_db"] == pytest.approx(finished.gain_cr_db)
    assert {"curve_gain_db_qp31", "curve_psnr_y_db_qp63"} <= run_again.data.metrics.keys()
    assert {"curve_gain_cb_db", "curve_gain_cr_db"} <= run_again.data.metrics.keys()
    assert run_again.data.params["width"] == "8" and "l1" in run_again.data.params["recipe"]
    names = {item.path for item in client.list_artifacts(first.info.run_id)}
    assert {"best.safetensors", "last.safetensors", "training.json", "samples"} <= names
    assert len(client.list_artifacts(first.info.run_id, "samples")) == 3

    assert [type(event) for event in run()] == [Finished]
    assert shown(database)[1][0].info.end_time == run_again.info.end_time, "nothing is repeated"
    assert faults == []


def test_a_store_that_is_away_is_made_up_for(pair_set, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    folder, faults = tmp_path / "training", []
    away = "http://me:secret@127.0.0.1:9"
    events = list(tracked(training(pair_set, folder), folder, "small", away, faults.append))
    assert isinstance(events[-1], Finished)
    assert len(faults) == 1 and "secret" not in faults[0]

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    list(tracked(training(pair_set, folder), folder, "small", uri, faults.append))
    client, (run,) = shown(tmp_path / "mlflow.db")
    curve = client.get_metric_history(run.info.run_id, "curve_gain_db")
    assert [point.step for point in curve] == [0, 50, 100] and len(faults) == 1


def test_a_training_that_is_refused_leaves_no_trace(pair_set, tmp_path):
    (tmp_path / "training").write_text("a file where a folder should be")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    folder = tmp_path / "training"
    with pytest.raises(ValueError, match="is a file"):
        list(tracked(training(pair_set, folder), folder, "small", uri, pytest.fail))
    assert not (tmp_path / "mlflow.db").exists()


def test_the_pieces_of_a_look_stand_side_by_side(pair_set, tmp_path):
    folder = tmp_path / "training"
    events = tracked(training(pair_set, folder), folder, "small", "nonsense://", lambda fault: None)
    look = next(event for event in events if isinstance(event, Validated))
    events.close()
    with Image.open(folder / "samples" / "step-00000000.png") as picture:
        pixels = np.asarray(picture)
    sample = look.samples[0]
    side = sample.hr.shape[1]
    np.testing.assert_array_equal(pixels[22 : 22 + len(sample.hr), :side], sample.lanczos)
    np.testing.assert_array_equal(pixels[22 : 22 + len(sample.hr), -side:], sample.hr)
