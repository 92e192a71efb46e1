"""The layer table: nothing is lost in it, and a repeated block is reported once."""

from __future__ import annotations

import pytest

from nas.measure.cost.breakdown import breakdown
from nas.measure.cost.cost import cost
from nas.measure.cost.trace import trace
from nas.measure.latency.predict import LatencyModel
from search_spaces import published, references

MODEL = LatencyModel.load()


@pytest.mark.parametrize("name", ["RVSR", "ANUNet", "Megastudy", "VPEG-S", "CASR", "SPAN"])
def test_rows_add_up_to_the_network(name):
    architecture = {**references, **published}[name].architecture
    rows, layers = breakdown(architecture, MODEL.predict_ms), trace(architecture)
    assert sum(row.macs for row in rows) == cost(architecture).macs
    assert sum(row.bytes for row in rows) == sum(layer.bytes for layer in layers)
    assert sum(row.runtime_ms for row in rows) == pytest.approx(MODEL.predict_ms(layers))


def test_a_plain_network_reads_as_it_is_described():
    rows = breakdown(published["IVP"].architecture, MODEL.predict_ms)
    assert [(r.name, r.operator, r.kernel, r.channels_in, r.channels, r.repeats) for r in rows] == [
        ("stem.0", "conv", "3x3", 3, 14, 1),
        ("stem.1", "gelu", "", 14, 14, 1),
        ("body.0", "conv", "3x3", 14, 14, 3),
        ("body.1", "gelu", "", 14, 14, 3),
        ("tail", "conv", "3x3", 14, 48, 1),
        ("network", "pixel_shuffle", "", 48, 3, 1),
    ]
    assert (rows[-1].height, rows[-1].width) == (2160, 3840)


def test_eight_equal_blocks_are_one_group():
    rows = breakdown(published["RVSR"].architecture, MODEL.predict_ms)
    block = [row for row in rows if row.name.startswith("body")]
    assert {row.repeats for row in block} == {8}
    assert len(rows) < 22
