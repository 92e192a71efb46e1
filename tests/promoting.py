"""A small study of real networks, and its winners promoted by a short recipe."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from skimage import data as photographs

from nas.data.prepare import prepare as prepare_set
from studies.core.budget import parse_budget
from studies.evaluation import evaluate
from studies.promotion.plan import PromotionSettings, prepare
from studies.promotion.run import Summary, promote
from studies.search import conduct
from studies.settings import SearchSettings
from studies.setup import prepare as prepare_search
from studies.storage.store import Store

if TYPE_CHECKING:  # it takes seconds, and not all tests need it
    from mlflow import MlflowClient
    from mlflow.entities import Run

SPACE = """
dimensions:
  stem: [conv]
  width: [8, 12]
  depth: [1, 2]
  block: [conv]
  residual: [lanczos]
"""
RECIPE = """
stages:
  - {steps: 12, patch: 16, batch: 2, optimiser: muon, lr: 0.02, losses: {l1: 1}}
"""


def make_study(folder: Path) -> None:
    """Make a prepared set, a recipe and a study of three candidates; set NAS_CACHE first."""
    (folder / "hr").mkdir()
    photos = [photographs.astronaut(), photographs.coffee(), photographs.chelsea()]
    for index, photo in enumerate(photos):
        Image.fromarray(photo[32:288, 32:288]).save(folder / "hr" / f"{index}.png")
    prepare_set(folder / "hr", folder / "set", qps=(31, 63))
    (folder / "small.yaml").write_text(SPACE)
    (folder / "quick.yaml").write_text(RECIPE)
    asked = SearchSettings(
        space=str(folder / "small.yaml"),
        budget=parse_budget("4ms"),
        trials=3,
        steps=40,  # all end above Lanczos: others are no results
        data=folder / "set",
        teacher=None,
        study="demo",
        store=Store(f"sqlite:///{folder}/studies.db"),
    )
    prepared = prepare_search(asked)
    conduct(prepared.study, partial(evaluate, settings=prepared.evaluation))


def copied(study: Path, folder: Path, *, shown: bool = True) -> Path:
    """Copy it: the study knows where its set lies, in the original.

    With the tables of MLflow, which are made once, unless nothing is to be ``shown`` there.
    """
    if shown and not (study / "mlflow.db").exists():
        from studies.tracking.store import connected

        connected(f"sqlite:///{study}/mlflow.db")
    wanted = [*study.glob("studies*"), *study.glob("mlflow.db*"), study / "quick.yaml"]
    for path in wanted:  # databases with their logs
        copy = shutil.copytree if path.is_dir() else shutil.copyfile
        copy(path, folder / path.name)
    return folder


def settings(folder: Path, **changes) -> PromotionSettings:
    """The options of ``nas promote`` for the study in a folder."""
    defaults = {
        "study": "demo",
        "storage": f"sqlite:///{folder}/studies.db",
        "recipe": str(folder / "quick.yaml"),
        "tracking_uri": f"sqlite:///{folder}/mlflow.db",
        "device": "cpu",
        "licence": "CC0-1.0",
    }
    return PromotionSettings(**{**defaults, **changes})


def run(asked: PromotionSettings) -> Summary:
    """Check what is asked for, and do it."""
    return promote(asked, prepare(asked))


def client_of(folder: Path) -> MlflowClient:
    """Whom to ask what MLflow shows."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{folder}/mlflow.db"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def runs(folder: Path, condition: str) -> list[Run]:
    """What MLflow shows under a condition."""
    from studies.tracking import EXPERIMENT

    client = client_of(folder)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    return client.search_runs([experiment], condition)
