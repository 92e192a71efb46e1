"""Which sampler a search gets, and the table of trainings that the choice rests on."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from optuna.samplers import RandomSampler
from quick_search import TRIALS, Quick, settings, states
from sqlalchemy.exc import OperationalError

from nas.common.errors import InputError
from nas.measure.cost.counts import count
from search_spaces.networks.factory import layout
from studies.core.info import StudySettings
from studies.core.sampler import MakeSampler, SamplerError
from studies.core.study import open_study
from studies.sampling.gain_model import Prior, fit_prior, read_table, shipped_prior, table_arrays
from studies.sampling.samplers import resolve, sampler_factory
from studies.search import conduct


def test_auto_is_the_sampler_that_knows_what_networks_cost():
    assert resolve("auto") == "ehvi"
    assert resolve("nsga2") == "nsga2"
    with pytest.raises(InputError, match="--sampler 'best': choose one of auto, ehvi, tpe"):
        sampler_factory("best")


@dataclass(frozen=True)
class Failing:
    """A sampler that raises once it is asked for a candidate."""

    error: Exception
    name: str = "failing"
    reads_pruned: bool = True

    def open(self, settings: StudySettings) -> MakeSampler:
        error = self.error

        class Sampler(RandomSampler):
            def sample_relative(self, *_):
                raise error

        return lambda ledger, seed: Sampler(seed)


def test_an_error_of_a_sampler_is_reported_with_its_trial_and_not_as_the_databases(tmp_path):
    failing = settings(tmp_path, sampler=Failing(RuntimeError("matrix is singular\nat row 3")))
    with pytest.raises(SamplerError) as raised:
        conduct(failing, Quick())
    assert str(raised.value).startswith(
        "The sampler 'failing' failed for trial 0 (RuntimeError: matrix is singular): "
    )
    assert "database" not in str(raised.value) and "--sampler" in str(raised.value)
    assert states(tmp_path) == {"FAIL": 1}, "no trial stays running"
    assert conduct(settings(tmp_path), Quick()).counts.done == TRIALS


def test_an_error_of_the_database_within_a_sampler_is_the_databases(tmp_path):
    lost = OperationalError("SELECT 1", {}, Exception("database is locked"))
    with (
        open_study(settings(tmp_path, sampler=Failing(lost))) as study,
        pytest.raises(InputError, match=r"The study database .* is locked by another program"),
    ):
        study.ask()


@pytest.mark.parametrize("as_json", [False, True])
def test_a_search_whose_sampler_fails_ends_with_one_sentence(nas, tmp_path, monkeypatch, as_json):
    def search(settings_, **_):
        return conduct(settings(tmp_path, sampler=Failing(RuntimeError("singular"))), Quick())

    monkeypatch.setattr("studies.search.search", search)
    code, out, err = nas("search", "--trials", "1", *(["--json"] if as_json else []))
    assert (code, out) == (2, "")
    assert "The sampler 'failing' failed for trial 0 (RuntimeError: singular)" in " ".join(
        err.split()
    )


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
