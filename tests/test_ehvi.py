"""The sampler that knows what networks cost: what it expects, what it asks for, what it avoids."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from quick_search import BUDGET, Quick, Tinting, figure, outcome, settings, small_space
from threadpoolctl import threadpool_info, threadpool_limits

from search_spaces.networks.factory import layout
from search_spaces.space import load_space
from studies.core.budget import Budget
from studies.core.outcome import Trained
from studies.core.study import open_study
from studies.results.front import reference_of, trained
from studies.sampling.ehvi import improvement, instructive
from studies.sampling.gain_model import (
    LOWEST_DB,
    Prior,
    features,
    fit_gains,
    fit_prior,
    shipped_prior,
)
from studies.sampling.pool import Costs, Pool, simplest
from studies.search import conduct

pytestmark = pytest.mark.usefixtures("own_database")


def costs_of(architecture) -> Costs:
    """As the quick search has them."""
    params = architecture.width**2 * 9 * (architecture.depth + 1)
    return Costs(figure(architecture), 500_000 * params, params, 1.0)


def search(folder, evaluate=None, **changes):
    return conduct(
        settings(folder, sampler="ehvi", costs_of=costs_of, **changes), evaluate or Quick()
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_expected_improvement_is_the_mean_over_draws(seed):
    random = np.random.default_rng(seed)
    front = [(float(t), float(g)) for t, g in random.uniform((0.5, -0.1), (9, 0.5), (6, 2))]
    mean, sd = random.uniform(-0.1, 0.6, 8), random.uniform(0.01, 0.3, 8)
    runtimes = random.uniform(0.3, 9.0, 8)
    draws = mean + sd * random.standard_normal((20_000, 8))

    def area(points):
        total, level = 0.0, 0.0
        for runtime, gain in sorted((max(t, 1.0), g) for t, g in points):
            if gain > level and runtime < 8.0:
                total += math.log2(8.0 / runtime) * (gain - level)
                level = gain
        return total

    before = area(front)
    for index in range(8):
        few = draws[:400, index]
        drawn = np.mean([area([*front, (runtimes[index], gain)]) - before for gain in few])
        found = improvement(
            np.full(400, few.mean()), np.full(400, few.std()), runtimes[[index] * 400], front, 1, 8
        )[0]
        assert found == pytest.approx(drawn, abs=0.06 + 0.1 * drawn)
    assert (improvement(mean, sd, np.full(8, 9.0), front, 1.0, 8.0) == 0).all()


def test_the_prior_ranks_networks_it_was_not_fitted_to():
    prior = shipped_prior()
    inputs = prior.process.inputs * prior.spread + prior.mean
    gains = prior.level_db + prior.process.targets
    order = np.random.default_rng(0).permutation(len(gains))
    seen, held = order[: len(order) // 2], order[len(order) // 2 :]
    halved = Prior.of(inputs[seen], gains[seen], fit_prior(inputs[seen], gains[seen]))
    predicted = halved.predict(inputs[held])
    assert np.corrcoef(predicted, gains[held])[0, 1] > 0.75
    assert gains.min() == pytest.approx(LOWEST_DB)


def test_a_model_follows_the_study_where_it_differs_from_the_table():
    prior = shipped_prior()
    inputs = (prior.process.inputs * prior.spread + prior.mean)[:60]
    gains = 1.8 * prior.predict(inputs) + 0.05
    model = fit_gains(prior, inputs[:30], gains[:30], [0.01] * 30)
    mean, sd = model.predict(inputs[30:])
    assert np.abs(mean - gains[30:]).mean() < 0.02 and (sd > 0).all()
    nothing = fit_gains(prior, np.zeros((0, inputs.shape[1])), np.zeros(0), [])
    assert np.allclose(nothing.predict(inputs)[0], prior.predict(inputs))
    before = model.predict(inputs[40:41])[1]
    assert model.believing(inputs[40:41]).predict(inputs[40:41])[1] < before


def test_it_finds_more_than_chance_does_and_asks_for_nothing_over_a_limit(tmp_path):
    found = search(tmp_path, name="ehvi", trials=14, seed=1)
    chance = conduct(settings(tmp_path, name="random", sampler="random", trials=14), Quick())
    assert found.hypervolume > chance.hypervolume
    own = [record for record in found.records if record.candidate.origin == "sampler"]
    assert not any(record.outcome.runtime.ms > BUDGET.runtime_ms for record in own)
    layouts = [layout(record.candidate.architecture).key for record in own]
    assert len(set(layouts)) == len(layouts), "what folds to the same network is asked for once"


def test_a_small_space_is_searched_to_its_end(tmp_path):
    space = small_space(width=[8, 12], depth=[0, 1], block=["conv", "ecb"], residual=["none"])
    summary = search(tmp_path, space=space, trials=50)
    assert summary.counts.trained == 4 and "been tried" in summary.ended


def test_it_keeps_near_the_limit_of_colour(tmp_path):
    """Here colour falls as luma gains: the best within the limit lie right at it."""
    limits = replace(BUDGET, colour_loss_db=0.3)
    summary = search(tmp_path, Tinting(), budget=limits, trials=20)
    gains = [member.gain_db for member in trained(summary.records)]
    assert np.median(gains[10:]) < 0.36 < max(gains[:10])
    assert max(member.gain_db for member in summary.front) >= 0.24


def test_runtimes_that_are_measured_correct_those_that_were_predicted(tmp_path):
    """The device takes three times as long as predicted: the budget still holds."""

    def optimistic(architecture) -> Costs:
        known = costs_of(architecture)
        return replace(known, runtime_ms=known.runtime_ms / 3)

    summary = conduct(
        settings(tmp_path, sampler="ehvi", costs_of=optimistic, trials=12, known={}), Quick()
    )
    late = summary.records[len(summary.records) // 2 :]
    over = [r for r in late if r.outcome.runtime and r.outcome.runtime.ms > BUDGET.runtime_ms]
    assert len(over) <= len(late) // 3


def test_the_pool_holds_each_deploy_form_once_within_the_limits():
    space = small_space(width=[8, 64], depth=[1], block=["conv", "ecb", "nrb"])
    pool = Pool(space, Budget(max(1.0, 2.0), params=20_000), costs_of, seed=0)
    pool.grow()
    (point,) = pool.points
    assert point.parameters["width"] == 8 and point.costs.params <= 20_000
    assert len(point.features) == len(features(space.architecture(point.parameters), 1.0, 1.0))


def test_blocks_that_fold_alike_are_asked_for_as_the_first_of_them():
    space = load_space("lightweight")
    drawn = {d.name: d.choices[-1] for d in space.dimensions}
    drawn |= {"inputs": "rgb", "output": "rgb", "residual": "none", "block": "ecb", "ends": "ecb"}
    found = simplest(space, drawn)
    assert (found["block"], found["ends"]) == ("conv", "plain")
    same = (space.architecture(each) for each in (drawn, found))
    assert len({layout(architecture).key for architecture in same}) == 1
    attention = simplest(space, {**drawn, "block": "spab", "ends": "plain"})
    assert attention["block"] == "spab"


def test_of_many_trainings_the_newest_and_those_near_the_front_are_learned_from(tmp_path):
    summary = conduct(settings(tmp_path, sampler="random", trials=24), Quick())
    few = instructive(summary.records, 10)
    done = [r for r in summary.records if isinstance(r.outcome, Trained) and not r.duplicate_of]
    assert len(few) == len({record.trial for record in few}) == 10
    assert {record.trial for record in done[-5:]} <= {record.trial for record in few}
    line = {member.trial for member in summary.front}
    assert len(line & {record.trial for record in few}) >= min(len(line), 5)
    assert instructive(summary.records, len(done)) == done


def test_however_long_it_searches_it_keeps_few_candidates_and_learns_from_few(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("studies.sampling.pool.POOL", 60)
    monkeypatch.setattr("studies.sampling.ehvi.POOL", 60)
    monkeypatch.setattr("studies.sampling.ehvi._MOST", 120)
    monkeypatch.setattr("studies.sampling.ehvi.LEARNED", 10)
    learned: list[int] = []

    def counted(prior, inputs, gains_db, noise_db):
        learned.append(len(gains_db))
        return fit_gains(prior, inputs, gains_db, noise_db)

    monkeypatch.setattr("studies.sampling.ehvi.fit_gains", counted)
    with open_study(settings(tmp_path, sampler="ehvi", costs_of=costs_of, trials=24)) as study:
        while (candidate := study.ask()) is not None:
            study.tell(candidate, outcome(candidate))
        asked = len(study.records)
        assert len(study._pool.points) <= 120 + asked
    assert learned[-1] == max(learned) == 10 < asked


def test_it_leaves_other_cores_to_candidates(tmp_path, monkeypatch):
    threads: set[int] = set()

    def counted(*arguments):
        threads.update(
            each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"
        )
        return fit_gains(*arguments)

    monkeypatch.setattr("studies.sampling.ehvi.fit_gains", counted)
    with threadpool_limits(2, user_api="blas"):
        search(tmp_path, trials=2)
    assert threads == {1}


def test_a_network_far_below_the_budget_counts_as_its_eighth():
    fast = improvement(np.array([0.2]), np.array([1e-6]), np.array([0.01]), [], 1.0, 8.0)
    assert fast[0] == pytest.approx(0.2 * 3)
    assert reference_of((), Budget(8.0)).octaves(0.01) == 3
