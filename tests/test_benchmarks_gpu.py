"""The command that runs all that needs a GPU goes on when a part fails, and ends in time."""

from __future__ import annotations

import time

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import Part, keep, main, run


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


def test_a_part_is_stopped_at_its_limit_with_what_it_printed(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    monkeypatch.setattr(gpu, "_STARTING_S", 0.0)
    (tmp_path / "slow.py").write_text("import time; print('begun'); time.sleep(60)")
    result = run(Part("slow", "slow", 4, writes_rows=False), in_a_minute(), hide_gpu=True)
    assert result.outcome == "stopped after 4 s"
    assert result.printed == "begun\n"


def test_a_part_is_not_begun_without_time():
    result = run(Part("late", "this", 30), time.monotonic() + 6, hide_gpu=True)
    assert result.outcome == "not begun: no time was left"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["gpu"])
    assert main() == 2
    assert capsys.readouterr().err.count(".") == 1
