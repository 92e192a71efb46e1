"""The benchmarks of training run as they stand, and write their rows for other programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("arguments", "positive"),
    [
        (
            "benchmarks.train_step --seconds 0 --networks RepTCN --batches 1 --workers 1",
            ("ratio", "usual_steps_per_s", "ours_steps_per_s", "ours_start_s"),
        ),
        (
            "benchmarks.candidates --seconds 0 --at-once 2 --steps 2 --networks RepTCN",
            ("candidates_per_hour", "seconds_each", "candidates"),
        ),
    ],
    ids=["train_step", "candidates"],
)
def test_a_benchmark_prints_lines_and_writes_rows(arguments, positive, tmp_path):
    rows_file = tmp_path / "rows.json"
    done = subprocess.run(
        [sys.executable, "-m", *arguments.split(), "--json", str(rows_file)],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},  # its own locks
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(rows_file.read_text())
    assert all(row[name] > 0 for row in rows for name in positive)
    for row in rows:
        got = row["network"] if "network" in row else f"{row['at_once']} at once"
        assert got in done.stdout


def test_a_study_grows_and_is_continued(tmp_path):
    for trials in (6, 12):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "benchmarks.growth", "--trials", str(trials)),
                *("--folder", str(tmp_path)),
            ],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        first, *commands = done.stdout.splitlines()
        assert first.split()[:2] == [str(trials), "trials"]
        assert [line.split()[1] for line in commands] == ["front", "studies", "report"]
