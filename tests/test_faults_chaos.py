"""A small run of ``benchmarks/chaos.py``: whatever is killed, the end is the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_search_under_fire_ends_with_everything_once(tmp_path):
    arguments = ["--trials", "6", "--seed", "1", "--every", "3", "--kills", "3"]
    places = ["--folder", str(tmp_path / "chaos"), "--json", str(tmp_path / "account.json")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", *arguments, *places],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    account = json.loads((tmp_path / "account.json").read_text())
    assert account["wrong"] == [] and account["records"]["trained"] == 6
    assert "nothing lost, nothing twice" in done.stdout
