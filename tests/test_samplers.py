"""Which sampler a search gets, and the table of trainings that the choice rests on."""

from __future__ import annotations

import pytest

from nas.measure.counts import count
from nas.measure.latency_model import LatencyModel
from search_spaces.network import layout
from search_spaces.space import load_space
from studies.gain_model import Prior, fit_prior, read_table, shipped_prior, table_arrays
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
        counted = count(network)
        assert (counted.macs, counted.params) == (row.macs, row.params)


def test_the_shipped_prior_is_what_fitting_the_table_again_gives():
    inputs, gains_db = table_arrays(read_table())
    again = Prior.of(inputs, gains_db, fit_prior(inputs, gains_db))
    shipped = shipped_prior()
    assert shipped.process.amplitude == pytest.approx(again.process.amplitude, rel=0.01)
    assert shipped.process.lengths == pytest.approx(again.process.lengths, rel=0.01)
    assert shipped.predict(inputs) == pytest.approx(again.predict(inputs), abs=1e-4)
