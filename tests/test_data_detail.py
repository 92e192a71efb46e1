"""Windows: the detailed part of a set that a search looks at, bounded whatever the set holds."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from nas.data.prepare import prepare
from nas.data.store import open_set
from nas.data.windows import detail, windows
from nas.measure.quality import evaluate
from search_spaces import build, fuse, published


@pytest.fixture(scope="module")
def pair_set(tmp_path_factory):
    """Two pictures: a small photograph, and a large flat one with a photograph in one place."""
    folder = tmp_path_factory.mktemp("hr")
    Image.fromarray(photographs.chelsea()).save(folder / "cat.png")
    flat = np.full((1024, 1536, 3), 90, np.uint8)
    flat[512:912, 640:1240] = photographs.coffee()
    Image.fromarray(flat).save(folder / "flat.png")
    out = tmp_path_factory.mktemp("sets") / "set"
    prepare(folder, out, qps=(31, 63), validation=0.0)
    return open_set(out)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path_factory.getbasetemp() / "detail-cache"))


def test_small_pictures_come_whole_under_their_own_name(pair_set):
    found = windows(pair_set.pictures, area=10**6)
    assert [w.name for w in found] == [p.name for p in pair_set.pictures]
    for window, picture in zip(found, pair_set.pictures, strict=True):
        assert np.array_equal(window.hr(), picture.hr())
        assert np.array_equal(window.lr(63), picture.lr(63))


def test_a_large_picture_gives_its_most_detailed_window(pair_set):
    cat, flat = windows(pair_set.pictures, area=20_000)
    assert cat.name == pair_set.pictures[0].name  # it leaves what it does not need to the other
    assert flat.name.startswith(pair_set.pictures[1].name + "@")
    assert flat.rows * flat.columns <= 20_000 - cat.rows * cat.columns
    inside = detail(flat.hr()).mean()
    assert inside > 0.95 * detail(photographs.coffee()).mean()


def test_a_window_is_aligned_in_every_layer(pair_set):
    (window,) = windows(pair_set.pictures[1:], area=6_000)
    whole = window.picture
    assert window.hr().shape == (window.height, window.width, 3)
    rows, columns = slice(window.top, None), slice(window.left, None)
    for qp in (31, None):
        expected = whole.lr(qp)[rows, columns][: window.rows, : window.columns]
        assert np.array_equal(window.lr(qp), expected)
    hr = whole.hr()[4 * window.top :, 4 * window.left :][: window.height, : window.width]
    assert np.array_equal(window.hr(), hr)


def test_the_area_is_a_bound_whatever_the_number_of_pictures(pair_set):
    many = pair_set.pictures * 40
    found = windows(many, area=50_000)
    assert sum(w.rows * w.columns for w in found) <= 50_000
    assert len(found) == 50_000 // 56**2
    assert {w.picture.name for w in found} == {p.name for p in pair_set.pictures}


def test_detail_is_what_a_quarter_of_the_size_loses():
    rng = np.random.default_rng(0)
    hr = rng.integers(0, 256, (24, 40, 3), dtype=np.uint8)
    hr[:, 20:] = 77
    luma = hr[:4, :4].astype(float) @ [0.299, 0.587, 0.114]
    found = detail(hr)
    assert found.shape == (6, 10)
    assert found[0, 0] == pytest.approx(luma.std(), abs=1e-3)
    assert (found[:, 5:] == 0).all()


def test_quality_is_measured_on_windows_as_on_pictures(pair_set):
    network = fuse(build(published["RepTCN"].architecture, seed=0))
    found = windows(pair_set.pictures[1:], area=2_000)
    quality = evaluate(network, found, pair_set.qps)
    assert set(quality.psnr_y_db) == {31, 63}
    assert -3 < quality.gain_db < 1
