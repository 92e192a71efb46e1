"""Recipes say what they want clearly, and what is wrong with them is said clearly."""

from __future__ import annotations

from dataclasses import fields

import pytest
import yaml

from nas.common.errors import InputError
from nas.training.losses.losses import LUMA_SHARE
from nas.training.proxy.proxy import ProxySettings
from nas.training.recipe.recipe import load_recipe, parse_recipe, shipped_recipes
from nas.training.recipe.stage import Stage, value_at

STAGE = {"steps": 10, "losses": {"l1": 1}}


def recipe(*stages, **others):
    return parse_recipe({"stages": [{**STAGE, **stage} for stage in stages], **others}, "mine")


def test_the_surveys_techniques_are_shipped():
    wanted = {"proxy", "standard", "reptcn", "basicvision", "urpnet", "casr", "kren", "rden"}
    assert wanted | {"anunet", "safmnpp", "span"} <= set(shipped_recipes())


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_loads_and_introduces_itself(name):
    loaded = load_recipe(name)
    assert loaded.name == name
    assert loaded.description.endswith(".") and len(loaded.description) < 100


def test_the_proxys_recipe_is_what_the_proxy_does():
    settings = ProxySettings()
    (stage,) = load_recipe("proxy").stages
    assert stage.losses == {"luma_mse": 1} and stage.fold and stage.optimiser == "muon"
    assert stage.schedule.kind == "cosine" and stage.schedule.end == 0
    got = [
        stage.steps,
        stage.batch,
        stage.patch,
        stage.lr,
        stage.adam_lr,
        stage.schedule.warmup,
    ]
    got += [stage.clip, stage.ema, stage.distillation.mix, stage.grey]
    same = ["steps", "batch", "patch", "lr", "adam_lr", "warmup", "clip", "ema", "distil_weight"]
    same.append("grey")
    assert got == [getattr(settings, name) for name in same]
    assert settings.luma_weight == LUMA_SHARE and stage.betas == (0.9, 0.99)
    assert {field.name for field in fields(settings)} == {*same, "luma_weight", "seed"}


def test_a_file_of_ones_own(tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"stages": [STAGE]}))
    loaded = load_recipe(tmp_path / "mine.yaml")
    assert (loaded.name, loaded.steps, loaded.wants_teacher) == ("mine", 10, False)


def test_scaling_keeps_the_shares_of_stages_and_adds_up():
    scaled = load_recipe("reptcn").scaled(70)
    assert [stage.steps for stage in scaled.stages] == [20, 10, 40]
    assert scaled.name == "reptcn"
    for steps in (3, 4, 11, 12345):
        short = load_recipe("reptcn").scaled(steps)
        assert short.steps == steps and min(stage.steps for stage in short.stages) >= 1
    with pytest.raises(InputError, match="has 3 stages"):
        load_recipe("reptcn").scaled(2)


def test_qps_come_from_the_set_by_number_or_by_name():
    mine = recipe(
        {"qps": "easy"}, {"qps": ["easy", 63]}, {}, curriculum={"easy": [31, 39], "none": [20]}
    )
    prepared = (31, 47, 63)
    got = [mine.qps_of(stage, prepared) for stage in mine.stages]
    assert got == [(31,), (31, 63), (31, 47, 63)]
    with pytest.raises(InputError, match="QP 39 in stage 1, and the set has only 31, 47"):
        recipe({"qps": [39]}).qps_of(recipe({"qps": [39]}).stages[0], (31, 47))


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ({"kind": "cosine"}, [1, 0.5, 0]),
        ({"kind": "cosine", "end": 0.2}, [1, 0.6, 0.2]),
        ({"kind": "cosine", "warmup": 0.5}, [0.04, 1, 0]),
        ({"kind": "linear", "hold": 0.5, "end": 0.5}, [1, 1, 0.5]),
        ({"kind": "constant"}, [1, 1, 1]),
        ({"kind": "step", "at": [0.25, 0.75]}, [1, 0.5, 0.25]),
        ({"kind": "restarts", "cycles": 2, "factor": 0.5}, [1, 0.5, 0]),
    ],
)
def test_schedules(schedule, rates):
    stage = Stage.model_validate({**STAGE, "schedule": schedule})
    assert [stage.schedule.rate(done) for done in (0, 0.5, 1)] == pytest.approx(rates)


def test_weights_may_move_along_a_line():
    assert [value_at(0.3, done) for done in (0, 1)] == [0.3, 0.3]
    assert [value_at((0.2, 0.0), done) for done in (0, 0.5, 1)] == pytest.approx([0.2, 0.1, 0])


@pytest.mark.parametrize(
    ("stage", "got"),
    [
        ({"steps": 0}, "stage 1, steps: must be greater than or equal to 1, not 0"),
        ({"losses": {"l3": 1}}, "stage 1, losses: there is no loss 'l3'; choose one of l1, mse,"),
        ({"losses": {"l1": 0}}, "stage 1, losses: one of them must have a weight above 0"),
        ({"losses": {"l1": -1}}, "stage 1, losses, l1: must be greater than or equal to 0"),
        ({"losses": {}}, "stage 1, losses: "),
        (
            {"optimiser": "sgd"},
            "stage 1, optimiser: there is no optimiser 'sgd'; choose one of adam, muon",
        ),
        ({"learning_rate": 1}, "there is no field 'learning_rate' here; it takes steps, losses,"),
        ({"schedule": {"kind": "cos"}}, "stage 1, schedule: needs a kind: cosine, linear,"),
        ({"schedule": {"kind": "step", "end": 0}}, "no field 'end' here; it takes kind, at,"),
        ({"distillation": {"mix": 1.5}}, "stage 1, distillation, mix: must be less than or equal"),
        ({"qps": "easy"}, "stage 1 trains on 'easy', and the curriculum names nothing"),
        ({"lr": float("nan")}, "stage 1, lr: must be "),
        ({"ema": 1}, "stage 1, ema: must be less than 1"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_the_choices(tmp_path, stage, got):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"stages": [{**STAGE, **stage}]}))
    with pytest.raises(InputError) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert got in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"stages: [", "a recipe must be YAML text"),
        (b"\xff\xfe\x00", "is not UTF-8 text: save it as UTF-8"),
        (b"", "a recipe is a mapping with a list of stages"),
        (b"- 1", "a recipe is a mapping with a list of stages"),
        (b"{}", "stages: must be given"),
        (b"stages: []", "stages: "),
        (b"stages: 3", "stages: must be a list"),
        (b"!!python/object/apply:os.getcwd []", "a recipe must be YAML text"),
    ],
)
def test_files_that_are_no_recipes(tmp_path, content, got):
    (tmp_path / "odd.yaml").write_bytes(content)
    with pytest.raises(InputError, match=got):
        load_recipe(tmp_path / "odd.yaml")


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(InputError, match=r"no recipe 'fast'; choose one of anunet, basicvision, "):
        load_recipe("fast")
