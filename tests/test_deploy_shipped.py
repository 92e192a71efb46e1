"""The model that comes along: small, and better than Lanczos on photographs that it never saw."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from benchmarks.colour import grey_lines
from nas.data.sample import sample_set
from nas.data.store import open_set
from nas.deploy.models import find_file, find_model, shipped
from nas.measure.quality import evaluate
from nas.measure.tiling import upscale_picture


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_model_is_small_and_says_what_it_is(name):
    model = find_model(name)
    assert find_file(name).stat().st_size < 100_000
    assert model.name == name
    assert {"licence", "gain_db", "recipe", "steps", "data", "teacher"} <= set(model.facts)
    card = find_file(name).with_suffix(".md").read_text(encoding="utf-8")
    assert model.digest in card
    assert f"{sum(p.numel() for p in model.network.parameters()):,}" in card


def test_the_default_model_beats_lanczos_on_photographs_of_packages():
    pair_set = open_set(sample_set())  # none of it was trained on
    network = find_model(shipped()[0]).network
    assert min(evaluate(network, pair_set.validation, pair_set.qps).gain_db_per_qp.values()) > 0
    for picture in pair_set.validation:
        quality = evaluate(network, [picture], pair_set.qps)
        assert quality.gain_db > 0, picture.name
        assert quality.colour_gain_db > -0.1, picture.name


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_model_leaves_grey_lines_and_text_grey(name):
    texts = [np.repeat(picture[..., None], 3, -1) for picture in (data.page(), data.text())]
    for picture in (grey_lines(), *texts):
        made = upscale_picture(find_model(name).network, picture).int()
        assert np.percentile((made.amax(-1) - made.amin(-1)).numpy(), 99) <= 1
