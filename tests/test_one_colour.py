"""Pictures of one colour, such as black frames, are upscaled exactly: there is no gain to tell."""

from __future__ import annotations

import math

import numpy as np
import pytest
import skimage.data
from PIL import Image
from small_training import one_stage, run

from nas.common.errors import InputError
from nas.data.image_files import Source
from nas.data.prepare import prepare_sources
from nas.data.store import PairSet, open_set
from nas.measure.evaluation.dataset import describe
from nas.training.data.teacher_quality import evaluate_teacher
from nas.training.engine.events import Finished, Validated
from nas.training.proxy.proxy import proxy_data
from teachers.loading import load_teacher

HELD_OUT = frozenset({"black", "cat"})


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def prepared(folder, names: tuple[str, ...]) -> PairSet:
    pictures = {
        "black": np.zeros((256, 256, 3), np.uint8),
        "cat": skimage.data.chelsea()[:256, :256],
        "cup": skimage.data.coffee()[:256, :256],
    }
    for name in names:
        Image.fromarray(pictures[name]).save(folder / f"{name}.png")
    sources = [Source(folder / f"{name}.png", name) for name in names]
    prepare_sources(sources, folder / "set", lambda records: HELD_OUT & set(records), qps=(31,))
    return open_set(folder / "set")


@pytest.fixture(scope="module")
def pair_set(tmp_path_factory) -> PairSet:
    """A photograph to train on; a black frame and a photograph held out."""
    return prepared(tmp_path_factory.mktemp("frames"), ("black", "cat", "cup"))


def test_a_search_measures_its_candidates_on_the_other_pictures(pair_set):
    assert len(pair_set.validation) == 2
    (window,) = proxy_data(pair_set).validation
    assert window.name.startswith("cat")


def test_a_training_looks_at_the_others_and_ends_with_their_gain(pair_set, tmp_path):
    events = run(pair_set, tmp_path / "out", one_stage(steps=2))
    assert all(math.isfinite(event.gain_db) for event in events if isinstance(event, Validated))
    assert isinstance(events[-1], Finished) and math.isfinite(events[-1].gain_db)


def test_a_teacher_is_measured_on_the_others(pair_set):
    quality = evaluate_teacher(load_teacher("hat-tiny"), pair_set)
    (name,) = quality.gain_db_by_picture
    assert name.startswith("cat") and math.isfinite(quality.gain_db)


def test_a_set_is_described_by_numbers(pair_set, tmp_path):
    assert math.isfinite(describe(pair_set)["per_qp"]["31"]["lanczos_psnr_y_db"])
    alone = prepared(tmp_path, ("black", "cup"))
    assert describe(alone)["per_qp"]["31"]["lanczos_psnr_y_db"] is None


def test_a_set_that_holds_out_nothing_else_is_refused(tmp_path):
    alone = prepared(tmp_path, ("black", "cup"))
    with pytest.raises(InputError, match="more than one colour"):
        proxy_data(alone)
    with pytest.raises(InputError, match="more than one colour"):
        run(alone, tmp_path / "out", one_stage(steps=2))
