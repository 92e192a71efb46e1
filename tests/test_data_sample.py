"""The sample set: there without a download, the same everywhere, and honest about itself."""

from __future__ import annotations

import pytest

from nas.common.errors import InputError
from nas.data import sample
from nas.data.manifest import MANIFEST
from nas.data.sample import TRAINING_PICTURES, VALIDATION_PICTURES, sample_set
from nas.data.store import open_set


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield sample_set()


def test_it_is_made_of_photographs_that_packages_carry(folder):
    pair_set = open_set(folder)
    assert pair_set.is_sample
    assert {each.entry.source for each in pair_set.validation} == set(VALIDATION_PICTURES)
    assert {each.entry.source for each in pair_set.train} == set(TRAINING_PICTURES)
    assert pair_set.qps == (31, 39, 47, 55, 63)
    for each in pair_set.validation:
        assert "grey" not in each.entry.record.notes


def test_it_is_made_once(folder, monkeypatch):
    monkeypatch.setattr(sample, "prepare_sources", lambda *_, **__: pytest.fail("made twice"))
    assert sample_set() == folder


def test_damage_is_mended(folder):
    digest = open_set(folder).digest
    next((folder / "qp63").iterdir()).unlink()
    assert open_set(sample_set()).digest == digest
    (folder / MANIFEST).write_text("{")
    assert open_set(sample_set()).digest == digest


def test_without_the_packages_the_user_is_reported_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    monkeypatch.setattr(sample, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="install scikit-image and scikit-learn"):
        sample_set()


def test_a_cache_that_cannot_be_written_is_one_sentence(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="cannot be prepared: Not a directory"):
        sample_set()
