"""Which sampler a search gets, and the table of trainings that the choice rests on."""

from __future__ import annotations

import pytest

from nas.measure.latency_model import LatencyModel
from search_spaces.network import layout
from search_spaces.space import load_space
from studies.gain_model import read_table
from studies.samplers import chosen


def test_auto_is_the_sampler_that_knows_what_networks_cost():
    assert chosen("auto") == "ehvi"
    assert chosen("nsga2") == "nsga2"


def test_the_table_of_trainings_is_of_different_networks_with_todays_runtimes():
    space, model = load_space("lightweight"), LatencyModel.load()
    rows = read_table()
    networks = [space.architecture(row.choices) for row in rows]
    assert len(rows) >= 150
    assert len({layout(network).key for network in networks}) == len(rows)
    for row, network in list(zip(rows, networks, strict=True))[::30]:
        assert model.predict(network).ms == pytest.approx(row.runtime_ms, rel=1e-4)
