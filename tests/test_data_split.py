"""The split depends on the pictures alone, and never parts a picture from its copies."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data as photographs

from nas.data.manifest import Record
from nas.data.split import held_out, perceptual_hash


def record(number: int, looks: int | None = None) -> Record:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    seen = digest[:16] if looks is None else f"{looks:016x}"
    return Record(f"p{number}", digest, digest, seen, 256, 256, (), (), {})


@given(count=st.integers(2, 60), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=60)
def test_both_sides_get_pictures_close_to_the_fraction_whatever_the_order(count, fraction, seed):
    records = [record(number) for number in range(count)]
    chosen = held_out(records, fraction)
    assert 1 <= len(chosen) < count
    assert abs(len(chosen) - fraction * count) <= 1
    shuffled = np.random.default_rng(seed).permutation(count)
    assert held_out([records[index] for index in shuffled], fraction) == chosen


def test_all_or_none_can_be_held_out():
    records = [record(number) for number in range(5)]
    assert held_out(records, 0.0) == frozenset()
    assert held_out(records, 1.0) == {each.name for each in records}
    assert held_out(records[:1], 1.0) == {"p0"}


def test_adding_a_picture_moves_at_most_the_edge():
    records = [record(number) for number in range(50)]
    before = held_out(records, 0.2)
    for number in range(50, 80):
        after = held_out([*records, record(number)], 0.2) - {f"p{number}"}
        assert len(before ^ after) <= 1


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5])
def test_pictures_that_look_alike_stay_together(fraction):
    groups = [[record(10 * g + i, looks=(g * 0x9E3779B97F4A7C15) % 2**64 ^ i) for i in range(3)]
              for g in range(8)]  # fmt: skip
    chosen = held_out([each for group in groups for each in group], fraction)
    for group in groups:
        assert len({each.name in chosen for each in group}) == 1


def test_variants_of_one_picture_only_are_split_all_the_same():
    assert len(held_out([record(number, looks=7) for number in range(4)], 0.25)) == 1


def test_looks_survive_resizing_and_compression_and_tell_pictures_apart(tmp_path):
    coffee, cat = photographs.coffee(), photographs.chelsea()
    smaller = Image.fromarray(coffee).resize((317, 211))
    smaller.save(tmp_path / "x.jpg", quality=40)

    def apart(a, b):
        return (int(perceptual_hash(a), 16) ^ int(perceptual_hash(b), 16)).bit_count()

    assert apart(coffee, np.asarray(Image.open(tmp_path / "x.jpg"))) <= 3
    assert apart(coffee, cat) > 10
