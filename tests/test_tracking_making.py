"""The making of MLflow's database, cut off or contended: nothing is left of it, nobody is stuck."""

from __future__ import annotations

import os
import shutil
import signal
import threading

from mlflow import MlflowClient

from studies.tracking.store import EXPERIMENT, connected


def test_what_a_kill_left_of_it_goes_when_the_next_two_at_once_make_one(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    search = MlflowClient.search_experiments

    def killed(client, **options):
        search(client, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    if (child := os.fork()) == 0:
        MlflowClient.search_experiments = killed
        connected(uri)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".mlflow-making", ".mlflow-making.lock"}

    found = []
    threads = [threading.Thread(target=lambda: found.append(connected(uri))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.client.tracking_uri for store in found] == [uri, uri]
    for store in found:
        assert store.client.get_experiment_by_name(EXPERIMENT).experiment_id == store.experiment
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_store_that_is_named_by_the_folder_one_is_in_is_the_one_of_that_folder(
    tmp_path, monkeypatch
):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    monkeypatch.chdir(first)
    client = connected("sqlite:///mlflow.db").client
    shutil.copy(first / "mlflow.db", second)  # made is made: it takes seconds
    client.create_registered_model("first")
    monkeypatch.chdir(second)
    assert connected("sqlite:///mlflow.db").client.search_registered_models() == []
