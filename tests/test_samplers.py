"""Which sampler a search gets, and the table of trainings that the choice rests on."""

from __future__ import annotations

import pytest

from nas.measure.cost.counts import count
from search_spaces.networks.factory import layout
from studies.sampling.gain_model import Prior, fit_prior, read_table, shipped_prior, table_arrays
from studies.sampling.samplers import chosen


def test_auto_is_the_sampler_that_knows_what_networks_cost():
    assert chosen("auto") == "ehvi"
    assert chosen("nsga2") == "nsga2"


def test_the_table_of_trainings_is_of_different_networks_good_and_useless():
    rows = read_table()
    assert len(rows) >= 250
    assert len({layout(row.architecture).key for row in rows}) == len(rows)
    assert min(row.gain_db for row in rows) < 0.0 < max(row.gain_db for row in rows)
    for row in rows[::30]:
        counted = count(row.architecture)
        assert (counted.macs, counted.params) == (row.macs, row.params)


def test_the_shipped_prior_is_what_fitting_the_table_again_gives():
    inputs, gains_db = table_arrays(read_table())
    again = Prior.of(inputs, gains_db, fit_prior(inputs, gains_db))
    shipped = shipped_prior()
    assert shipped.process.amplitude == pytest.approx(again.process.amplitude, rel=0.01)
    assert shipped.process.lengths == pytest.approx(again.process.lengths, rel=0.01)
    assert shipped.predict(inputs) == pytest.approx(again.predict(inputs), abs=1e-4)
