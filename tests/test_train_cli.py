"""``nas train``: one command that trains, continues, says when it is done, and refuses clearly."""

from __future__ import annotations

import json

import pytest
import yaml
from refusals import refused

from search_spaces import Architecture, published
from search_spaces.model_file import load_model


@pytest.fixture
def train(nas, monkeypatch, tmp_path, pair_set):
    """Run ``nas train`` in its own folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "none")
    stage = {"steps": 4, "patch": 16, "batch": 2, "losses": {"mse": 1}, "fold": True}
    (tmp_path / "quick.yaml").write_text(yaml.safe_dump({"stages": [stage]}))
    (tmp_path / "small.json").write_text(Architecture(width=8).to_json())

    def run(*arguments):
        data = () if "--data" in arguments else ("--data", pair_set.path)
        return nas("train", *arguments, *data)

    return run


def test_it_trains_tells_and_then_says_that_it_is_done(train, tmp_path):
    code, out, err = train("small.json", "--recipe", "quick.yaml", "--json")
    assert code == 0, err
    got = json.loads(out)
    assert got["out"] == "trainings/small-quick"
    assert (got["name"], got["recipe"], got["steps"]) == ("small", "quick", 4)
    assert got["psnr_y_db"].keys() == got["gain_db_per_qp"].keys() == {"31", "47", "63"}
    assert all(isinstance(got[key], float) for key in ("gain_cb_db", "gain_cr_db"))
    model = load_model(tmp_path / got["model"])
    assert model.name == "small" and model.facts["gain_db"] == f"{got['gain_db']:.4f}"
    assert "stage 1 at step 0: 4 steps of 2 crops of 16, mse" in err
    code, again, err = train("small.json", "--recipe", "quick.yaml", "--json")
    assert (code, json.loads(again)) == (0, got)
    assert "this training has finished already" in err
    _, shown, _ = train("small.json", "--recipe", "quick.yaml")
    assert f"Cb {got['gain_cb_db']:+.3f} dB, Cr {got['gain_cr_db']:+.3f} dB" in shown


def test_a_published_network_and_a_table(train, tmp_path):
    code, out, err = train("reptcn", "--recipe", "reptcn", "--steps", 3, "--out", "mine")
    assert code == 0, err
    assert "gain over Lanczos" in out and "mine/best.safetensors" in out
    assert "too small for that" in err
    assert load_model(tmp_path / "mine" / "best.safetensors").architecture == (
        published["RepTCN"].architecture
    )


def test_a_training_is_a_model_to_start_from_and_to_learn_from(train):
    assert train("small.json", "--recipe", "quick.yaml", "--out", "one")[0] == 0
    code, _, err = train("one", "--start", "one", "--recipe", "quick.yaml", "--out", "two")
    assert code == 0, err
    code, _, err = train("small.json", "--recipe", "proxy", "--steps", 1, "--teacher", "one")
    assert code == 2 and "dB over Lanczos" in err  # it is below


def test_no_teacher_is_said_where_the_recipe_wants_one(train):
    code, _, err = train("small.json", "--recipe", "proxy", "--steps", 1, "--teacher", "none")
    assert code == 0 and "no teacher is given" in err


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        (("nothing",), "there is no model 'nothing'"),
        (("IVP", "--recipe", "fast"), "there is no recipe 'fast'; choose one of anunet,"),
        (("IVP", "--recipe", "reptcn", "--steps", 2), "has 3 stages"),
        (("IVP", "--start", "quick.yaml"), "quick.yaml"),
        (("IVP", "--teacher", "hat-huge"), "there is no teacher 'hat-huge'"),
        (("IVP", "--teacher", "quick.yaml"), "cannot be read as weights"),
        (("IVP", "--precision", "fp8"), "choose auto, fp32, bf16, fp16"),
        (("IVP", "--data", "nowhere"), "nowhere"),
        (("IVP", "--teacher", "none", "--out", "quick.yaml"), "is a file: give a folder"),
    ],
)
def test_what_cannot_be_used_is_reported_in_one_sentence(train, arguments, got):
    refused(train(*arguments), got)


def test_another_training_in_the_folder(train):
    assert train("small.json", "--recipe", "quick.yaml")[0] == 0
    refused(train("small.json", "--recipe", "quick.yaml", "--seed", 1), "another seed")
