"""The command that runs all that needs a GPU continues when a part fails, and ends in time."""

from __future__ import annotations

import time

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import GPU_PARTS, Part, keep, machine, main, run
from benchmarks.options import alone


def in_a_minute():
    return time.monotonic() + 60


def test_a_part_that_fails_is_kept_with_its_last_errors(tmp_path):
    broken = run(Part("broken", "benchmarks.no_such", 30), in_a_minute(), hide_gpu=True)
    fine = run(Part("fine", "this", 30, writes_rows=False), in_a_minute(), hide_gpu=True)
    keep(tmp_path, {"device": "Some GPU"}, [broken, fine], rehearsal=False)
    assert broken.outcome == "failed with exit code 1"
    assert fine.outcome == "done" and "Namespaces" in fine.printed
    page = (tmp_path / "gpu-some-gpu.md").read_text()
    assert "No module named benchmarks.no_such" in page
    assert "| fine | done |" in page


SLOW = """
import sys, time
from pathlib import Path

print("begun")
Path(sys.argv[2]).write_text("[1]")
time.sleep(60)
"""


def test_a_part_is_stopped_at_its_limit_with_what_it_found(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    monkeypatch.setattr(gpu, "_STARTING_S", 0.0)
    (tmp_path / "slow.py").write_text(SLOW)
    result = run(Part("slow", "slow", 4), in_a_minute(), hide_gpu=True)
    assert result.outcome == "stopped after 4 s"
    assert result.printed == "begun\n"
    assert result.rows == [1]


def test_every_part_is_begun_though_all_before_it_take_their_limits():
    before = sum(part.seconds for part in GPU_PARTS[:-1])
    assert before + gpu._STARTING_S + gpu._ENDING_S < 8 * 60


def test_what_a_gpu_s_figures_depend_on_is_reported(monkeypatch):
    monkeypatch.setattr(gpu, "versions", lambda device: {"device": device, "cudnn": 91200})
    got = {"device", "cudnn", "driver", "triton", "python", "cores"}
    assert machine("cuda").keys() == got and all(machine("cuda").values())


def test_a_measurement_that_fails_is_reported_and_the_next_one_is_made(capsys):
    failed: list[str] = []
    for name in ("one", "two"):
        with alone(name, failed):
            if name == "one":
                raise RuntimeError("CUDA error: out of luck\nand more")
            print("two is made")
    assert failed == ["one"]
    said = capsys.readouterr().out.splitlines()
    assert said == ["one failed, RuntimeError: CUDA error: out of luck", "two is made"]


def test_a_part_is_not_begun_without_time():
    result = run(Part("late", "this", 30), time.monotonic() + 6, hide_gpu=True)
    assert result.outcome == "not begun: no time was left"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["gpu"])
    assert main() == 2
    assert capsys.readouterr().err.count(".") == 1
