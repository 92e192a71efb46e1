"""Commands that are asked to stop: one sentence, an exit code, nothing lost or left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
from photos import photo_set

from benchmarks.processes import family, free_port, gone
from studies.core.record import count
from studies.results.snapshot import load
from studies.storage.store import Store

ROOT = Path(__file__).parents[1]


def start(arguments: list[str], folder: Path, **options) -> subprocess.Popen[str]:
    """Start ``nas`` as a shell in a terminal does: it hears every signal."""
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{heard}; from nas.cli import main; main()", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def wait_for(condition: Callable[[], object], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_a_search_that_is_terminated_says_one_sentence_and_gives_its_trials_back(
    tmp_path,
):
    pictures = photo_set(tmp_path / "pictures").path
    options = ["--budget", "8ms", "--data", str(pictures), "--teacher", "none", "--steps", "4000"]
    options += ["--study", "demo", "--concurrency", "1", "--trials", "4", "--max-params", "20k"]
    storage = f"sqlite:///{tmp_path}/studies.db"
    search = start(["search", *options], tmp_path, stdout=subprocess.PIPE)

    def running() -> int:
        try:
            return count(load(Store(storage), "demo").records).running
        except ValueError:  # not there yet
            return 0

    assert wait_for(running)
    time.sleep(1)
    search.terminate()
    out, err = search.communicate(timeout=60)
    assert search.returncode == 128 + signal.SIGTERM
    assert "nas: interrupted; the same command continues." in err
    assert "***" not in err and "Traceback" not in err and "SIGTERM" not in err
    assert "demo: " in out
    assert running() == 0


def test_the_ui_takes_its_server_along(tmp_path):
    from mlflow import MlflowClient

    MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_experiments()
    port = free_port()
    ui = start(["ui", "--port", str(port)], tmp_path, stdout=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            return urlopen(f"http://127.0.0.1:{port}/health", timeout=2).status == 200
        except OSError:
            return False

    assert wait_for(answers)
    members = family(ui.pid)
    ui.terminate()
    _, err = ui.communicate(timeout=30)
    assert ui.returncode == 128 + signal.SIGTERM
    assert f"http://127.0.0.1:{port}/#/experiments/1/runs?workflowType=machine_learning" in err
    assert len(members) >= 3 and gone(members, within_s=60)


BESIDE = """
import os
from nas.cli.child_process import companion
from nas.cli.errors import heard_as_interrupts

with heard_as_interrupts(), companion(["sh", "-c", "sleep 60 & sleep 60"], os.environ) as program:
    print("runs", flush=True)
    program.wait()
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_companion_and_what_it_started_end_however_the_command_ends(how):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = subprocess.Popen(
        [sys.executable, "-c", BESIDE],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert command.stdout is not None and command.stdout.readline() == "runs\n"
    assert wait_for(lambda: len(family(command.pid)) >= 4)
    members = family(command.pid)
    command.send_signal(how)
    command.communicate(timeout=30)
    assert gone(members, within_s=10)
