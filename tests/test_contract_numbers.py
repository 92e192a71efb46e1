"""Trainings give the same bits as ever: of their gains, and of the weights that they end with.

A proxy run is in ``test_contract_study.py``. All run on one thread of a CPU.
"""

from __future__ import annotations

import json

import pytest
from contract import command, same_numbers, stored, weights_hash


@pytest.fixture
def folder(tmp_path):
    """A folder with the set and the recipe."""
    stored("set", tmp_path)
    for each in stored("training", tmp_path).glob("*.*"):
        each.rename(tmp_path / each.name)
    return tmp_path


def run(*arguments, folder):
    """The document of a command on one thread."""
    code, out, err = command(*arguments, "--json", cwd=folder, OMP_NUM_THREADS="1")
    assert code == 0, err
    return json.loads(out)


def test_a_training_by_a_recipe_gives_the_same_bits(folder):
    """Two stages: Muon with a head and a warm-up, then Adam on the folded network."""
    found = run(
        *("train", "small.json", "--recipe", "two-stages.yaml", "--data", "set", "--seed", 1),
        *("--teacher", "none", "--device", "cpu", "--tracking-uri", "none", "--out", "trained"),
        folder=folder,
    )
    weights = {name: weights_hash(folder / found[name]) for name in ("model", "last_model")}
    same_numbers("recipe", found["gain_db"], weights)


def test_a_training_by_a_teacher_gives_the_same_bits(folder):
    """Distillation: the shipped recipe learns from the shipped teacher."""
    found = run(
        *("train", "small.json", "--recipe", "light", "--steps", 6, "--data", "set", "--seed", 1),
        *("--device", "cpu", "--tracking-uri", "none", "--out", "trained"),
        folder=folder,
    )
    weights = {name: weights_hash(folder / found[name]) for name in ("model", "last_model")}
    same_numbers("recipe with a teacher", found["gain_db"], weights)


def test_the_training_of_a_teacher_gives_the_same_bits(folder):
    found = run(
        *("teacher", "train", "teacher.safetensors", "--data", "set", "--steps", 3, "--batch", 1),
        *("--patch", 16, "--seed", 1, "--device", "cpu"),
        folder=folder,
    )
    same_numbers("teacher", None, {"weights": weights_hash(folder / found["teacher"])})
