"""What a search's start is spared: torch's compiler, and a second proof of its teacher."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch
from photos import photo_set

from nas.training.data.teacher_quality import evaluate_teacher
from teachers.hat.network import HAT, HATSettings
from teachers.loading import load_teacher, save_teacher

ROOT = Path(__file__).parents[1]


def test_a_teacher_loads_without_torchs_compiler():
    code = (
        "import sys\nfrom teachers.loading import load_teacher\nload_teacher('hat-tiny')\n"
        "print('torch' in sys.modules, 'torch._dynamo' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert told.stdout.split() == ["True", "False"], told.stderr


class Asleep(torch.nn.Module):
    """A network that nobody may ask."""

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        raise AssertionError("the teacher is asked again")


def test_a_teacher_is_measured_once_on_the_same_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    pair_set = photo_set(tmp_path / "pictures")
    settings = HATSettings(8, (1,), (1,), window=4, compress=1, squeeze=2, features=4)
    save_teacher(HAT(settings), tmp_path / "small.safetensors")
    teacher = load_teacher(tmp_path / "small.safetensors")
    first = evaluate_teacher(teacher, pair_set, folder=tmp_path / "outputs")

    asleep = replace(teacher, network=Asleep())
    assert evaluate_teacher(asleep, pair_set, folder=tmp_path / "elsewhere") == first
    assert not (tmp_path / "elsewhere").exists()

    one = pair_set.validation[:1]
    assert evaluate_teacher(teacher, pair_set, pictures=one).gain_db != first.gain_db
    (kept,) = [
        file
        for file in (tmp_path / "cache" / "teacher-quality").iterdir()
        if len(json.loads(file.read_bytes())["gain_db_by_picture"]) == len(pair_set.validation)
    ]
    kept.write_bytes(kept.read_bytes()[:20])
    assert evaluate_teacher(teacher, pair_set, folder=tmp_path / "outputs") == first
