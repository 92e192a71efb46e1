"""Blocks that fold to one network: which of them a winner is trained with."""

from __future__ import annotations

import pytest
from promoting import copied, settings

from nas.common.errors import InputError
from nas.training.engine.events import Finished
from search_spaces.model_file import load_model
from studies.promotion.plan import prepare
from studies.promotion.run import promote
from studies.results import promotions
from studies.results.selection import Selection


@pytest.fixture(autouse=True)
def _no_onnx(monkeypatch):
    monkeypatch.setattr("studies.promotion.run.find_spec", lambda package: None)  # it takes seconds


def test_training_forms_are_tried_and_the_best_is_trained(small_study, tmp_path):
    folder = copied(small_study, tmp_path, shown=False)
    asked = settings(
        folder,
        selection=Selection(trials=(0,), force=True),
        blocks="conv,repvgg",
        tracking_uri=None,
    )
    seen = []
    summary = promote(asked, prepare(asked), lambda winner, event: seen.append(event))
    assert any("conv, repvgg are tried for 1/10" in note for note in prepare(asked).notes)
    (promotion,), (winner,) = summary.promotions, summary.plan.winners
    assert set(promotion.forms) == {"conv", "repvgg"}
    best = max(promotion.forms, key=promotion.forms.get)
    model = load_model(winner.folder / promotions.MODEL)
    assert {stage.block for stage in model.architecture.stages} == {best}
    assert sum(isinstance(event, Finished) for event in seen) == 3
    again = promote(asked, prepare(asked))
    assert again.promotions == summary.promotions


def test_blocks_that_do_not_fold_alike_are_refused_before_any_training(small_study, tmp_path):
    folder = copied(small_study, tmp_path, shown=False)
    for name, fault in (("spab", "does not fold"), ("nosuch", "nosuch")):
        with pytest.raises(InputError, match=fault):
            prepare(settings(folder, blocks=name, selection=Selection(trials=(0,), force=True)))


def test_a_recipe_that_folds_first_needs_no_choice_of_blocks(small_study, tmp_path):
    folder = copied(small_study, tmp_path, shown=False)
    recipe = folder / "folded.yaml"
    recipe.write_text((folder / "quick.yaml").read_text().replace("patch:", "fold: true, patch:"))
    plan = prepare(
        settings(
            folder,
            recipe=str(recipe),
            blocks="ecb,conv",
            selection=Selection(trials=(0,), force=True),
        )
    )
    assert list(plan.winners[0].forms) == ["ecb"]
    assert not any("Training forms" in note for note in plan.notes)
