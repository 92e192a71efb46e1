"""Opening sets: pictures as arrays decoded once, and faults named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from pillow_avif.AvifImagePlugin import AvifImageFile
from skimage import data as photographs

from nas.common.errors import InputError
from nas.common.files import cache_root
from nas.data import store
from nas.data.manifest import MANIFEST
from nas.data.prepare import prepare
from nas.data.store import open_set
from nas.measure.evaluation.dataset import describe


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hr")
    Image.fromarray(photographs.coffee()).save(folder / "coffee.png")
    Image.fromarray(photographs.chelsea()).save(folder / "cat.png")
    out = tmp_path_factory.mktemp("sets") / "set"
    prepare(folder, out, qps=(31, 63), validation=0.5)
    return out


@pytest.fixture
def copied(prepared, tmp_path):
    """A set of one's own to damage."""
    import shutil

    return shutil.copytree(prepared, tmp_path / "set")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))


def test_the_cache_is_where_the_user_says(monkeypatch, tmp_path):
    assert cache_root() == tmp_path / "cache"
    monkeypatch.delenv("NAS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert str(cache_root()) == "/x/nas-workbench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert str(cache_root()) == "/home/me/.cache/nas-workbench"


def test_pictures_are_decoded_once_and_mapped(prepared, monkeypatch):
    picture = open_set(prepared).validation[0]
    first = {qp: picture.lr(qp) for qp in (None, 31, 63)} | {"hr": picture.hr()}
    monkeypatch.setattr(store, "_decode", lambda *_: pytest.fail("decoded twice"))
    again = open_set(prepared).validation[0]
    assert np.array_equal(again.lr(31), first[31])
    for array in first.values():
        assert isinstance(array, np.memmap) and not array.flags.writeable
        assert array.dtype == np.uint8


def test_avif_is_decoded_by_the_plugin_named(prepared):
    picture = open_set(prepared).pictures[0]
    path = prepared / "qp63" / f"{picture.name}.avif"
    with AvifImageFile(path) as decoded:
        assert np.array_equal(picture.lr(63), np.asarray(decoded.convert("RGB")))
    assert picture.bits(63) == 8 * path.stat().st_size


def test_a_damaged_cache_is_mended(prepared):
    picture = open_set(prepared).pictures[0]
    good = np.array(picture.lr(31))
    for place in (cache_root() / "decoded").iterdir():
        place.write_bytes(place.read_bytes()[:-5])
    assert np.array_equal(picture.lr(31), good)


def test_a_damaged_or_missing_file_is_named(copied):
    picture = open_set(copied).pictures[0]
    path = copied / "qp31" / f"{picture.name}.avif"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"{path.name} is not the file that was prepared"):
        picture.lr(31)
    path.unlink()
    with pytest.raises(InputError, match=r"No such file.*prepare the set again"):
        picture.lr(31)


def test_a_qp_that_was_not_prepared(prepared):
    with pytest.raises(InputError, match="no QP 47: prepared are 31, 63"):
        open_set(prepared).pictures[0].lr(47)


def test_a_cache_that_cannot_be_written(prepared, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="set NAS_CACHE to another folder"):
        open_set(prepared).pictures[0].hr()


def test_what_is_no_set_is_said_to_be_none(tmp_path, copied):
    with pytest.raises(InputError, match=r"no prepared set .*nas data prepare"):
        open_set(tmp_path / "nowhere")
    manifest = copied / MANIFEST
    content = json.loads(manifest.read_bytes())
    manifest.write_text(json.dumps({**content, "version": 99}))
    with pytest.raises(InputError, match="layout version 99"):
        open_set(copied)
    for damage in ("{", "[]", "{}", json.dumps({**content, "pictures": [{}]}), "[" * 100_000):
        manifest.write_text(damage)
        with pytest.raises(InputError, match="damaged"):
            open_set(copied)


def test_a_set_is_described(prepared):
    facts = describe(open_set(prepared))
    assert json.loads(json.dumps(facts)) == facts
    assert facts["train"]["pictures"] == facts["validation"]["pictures"] == 1
    assert facts["encoders"][0].startswith("ffmpeg")
    light, heavy, clean = (facts["per_qp"][key] for key in ("31", "63", "clean"))
    assert light["bits_per_lr_pixel"] > 3 * heavy["bits_per_lr_pixel"]
    assert clean["lanczos_psnr_y_db"] > light["lanczos_psnr_y_db"] > heavy["lanczos_psnr_y_db"]
    assert {each["source"] for each in facts["pictures"]} == {"cat.png", "coffee.png"}


def test_moving_a_set_changes_nothing_of_it(prepared, copied):
    assert open_set(copied).digest == open_set(prepared).digest
    assert np.array_equal(open_set(copied).pictures[0].hr(), open_set(prepared).pictures[0].hr())
