"""``nas proxy-check``: coefficients by hand, runs kept and never repeated, workers that end."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from refusals import refused
from scipy.stats import kendalltau, spearmanr
from skimage import data as photographs

from benchmarks.processes import family, gone
from nas.common.errors import InputError
from nas.data.prepare import prepare
from nas.measure.latency.target import resolve_target
from nas.measure.rank_metrics import Field, Pairs, judge
from nas.training.proxy import proxy, runs
from nas.training.proxy.check import REFERENCE_SEED, Plan, check, read_reference
from nas.training.proxy.proxy import ProxySettings
from nas.training.proxy.runs import ProxyDataSpec, ProxyJob, run_all
from search_spaces import Architecture, published

pytestmark = pytest.mark.usefixtures("own_place")

TRUTH = (0.5, 0.4, 0.3, 0.1, -0.1)
FIELD = Field(TRUTH, (1.0, 1.1, 2.0, 2.1, 9.0), (1, 2, 2, 1, 1))
SMALL = {
    f"net{width}": Architecture(width=width, residual="bicubic", activation="prelu")
    for width in (2, 4, 6)
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """One photograph to train on and one held out."""
    folder = tmp_path_factory.mktemp("hr")
    Image.fromarray(photographs.coffee()[:256, 100:356]).save(folder / "coffee.png")
    Image.fromarray(photographs.chelsea()[:256, :256]).save(folder / "cat.png")
    out = tmp_path_factory.mktemp("sets") / "photos"
    prepare(folder, out, qps=(47,), validation=0.5)
    return out


def test_coefficients_are_those_of_scipy_over_single_seeds():
    rng = np.random.default_rng(3)
    seeds = np.array(TRUTH) + rng.normal(0, 0.2, (4, 5))
    verdict = judge(seeds.tolist(), FIELD)
    each = [kendalltau(row, TRUTH).statistic for row in seeds]
    assert verdict.kendall == pytest.approx(np.mean(each))
    assert (verdict.kendall_low, verdict.kendall_high) == pytest.approx((min(each), max(each)))
    assert verdict.kendall_of_means == pytest.approx(kendalltau(seeds.mean(0), TRUTH).statistic)
    ranks = [spearmanr(row, TRUTH).statistic for row in seeds]
    assert verdict.spearman == pytest.approx(np.mean(ranks))
    assert verdict.seed_sd == pytest.approx(np.sqrt(seeds.var(0, ddof=1).mean()))


def test_pairs_are_counted_by_runtime_by_resolution_and_by_noise():
    right = judge([TRUTH], FIELD)
    assert right.similar == Pairs(2, 2, 0)  # 1.0 with 1.1 ms, 2.0 with 2.1 ms
    assert right.across == Pairs(6, 6, 0)  # two at half of the resolution, three at all of it
    assert right.within == Pairs(4, 4, 0)
    assert right.kendall == 1 and right.similar.kendall == 1
    assert right.seed_sd is None and right.resolved is None
    swapped = judge([(0.4, 0.5, 0.3, 0.1, -0.1)], FIELD)
    assert swapped.similar == Pairs(2, 1, 1) and swapped.similar.kendall == 0


def test_noise_is_reported_from_what_moves_all_networks_alike():
    shifted = judge([TRUTH, [value + 0.2 for value in TRUTH]], FIELD)
    assert shifted.seed_sd == pytest.approx(0.2 / math.sqrt(2))
    assert shifted.order_sd == pytest.approx(0, abs=1e-12)
    assert shifted.resolved == Pairs(10, 10, 0)
    # Noise of known size between networks: two sd are 0.24, and five pairs lie further apart.
    noise = np.array([1, -1, 1, -1, 0]) * 0.12 / math.sqrt(2)
    noisy = judge([(TRUTH + noise).tolist(), (TRUTH - noise).tolist()], FIELD)
    assert noisy.order_sd == pytest.approx(0.12)
    assert noisy.resolved == Pairs(5, 5, 0)


def test_a_guess_that_tells_nothing_apart_is_worth_nothing():
    blind = judge([(1.0,) * 5], FIELD)
    assert blind.kendall == 0 and blind.across == Pairs(6, 0, 0)
    tied = Field((0.3, 0.3, 0.3), (1, 1, 1), (1, 1, 1))
    assert judge([(1, 2, 3)], tied).similar.kendall is None


def test_luck_moves_kendalls_coefficient_as_far_as_is_said():
    rng = np.random.default_rng(0)
    lucky = [kendalltau(rng.permutation(5), TRUTH).statistic for _ in range(2000)]
    assert np.std(lucky) == pytest.approx(FIELD.chance_kendall_sd, rel=0.05)


def test_finished_runs_are_kept_and_never_repeated(prepared, tmp_path, monkeypatch):
    settings = ProxySettings(steps=3, batch=2, patch=24)
    jobs = [ProxyJob("net2", SMALL["net2"], replace(settings, seed=seed)) for seed in (0, 1)]
    heard = []

    def record(*call):
        heard.append(call)

    first = run_all(
        jobs, ProxyDataSpec(prepared), workers=1, progress=lambda *got: heard.append(got)
    )
    assert first[0].gain_db != first[1].gain_db and first[0].seconds > 0
    assert first[0].loss_sum == pytest.approx(3 * first[0].loss_end, rel=0.9)
    assert heard[0][0] == 0 and heard[-1][0] == heard[-1][1]
    assert "net2, 3 steps, seed 1: " in heard[-1][2] + heard[-2][2]
    monkeypatch.setattr(runs, "_Pool", None)  # nothing may be run again
    assert run_all(jobs, ProxyDataSpec(prepared), workers=1) == first
    renamed = [replace(job, name="other") for job in jobs]
    assert run_all(renamed, ProxyDataSpec(prepared), workers=1) == first
    changed = [replace(jobs[0], settings=replace(settings, lr=0.01))]
    with pytest.raises(TypeError):
        run_all(changed, ProxyDataSpec(prepared), workers=1)
    monkeypatch.setattr(proxy, "VERSION", -1)
    with pytest.raises(TypeError):
        run_all(jobs, ProxyDataSpec(prepared), workers=1)


def test_a_check_holds_every_guess_against_a_long_training(prepared):
    settings = ProxySettings(batch=2, patch=24)
    plan = Plan(SMALL, (2, 4), 2, None, long_steps=9, settings=settings)
    target = resolve_target("rtx4090")
    found = check(plan, ProxyDataSpec(prepared), target, workers=1)
    assert [g.steps for g in found.guesses] == [2, 2, 2, 4, 4, 4, 0, 0, 0, 0]
    references = [subject.reference_db for subject in found.subjects]
    assert references == sorted(references, reverse=True)
    for subject in found.subjects:
        long = replace(settings, steps=9, seed=REFERENCE_SEED)
        (alone,) = run_all(
            [ProxyJob("x", subject.architecture, long)], ProxyDataSpec(prepared), workers=1
        )
        assert subject.reference_db == alone.gain_db
        assert set(subject.runs) == {0, 2, 4} and len(subject.runs[4]) == 2
        assert subject.runs[0][0].loss_end is None
    by_hand = judge(
        [
            [run.gain_db for run in row]
            for row in zip(*(subject.runs[4] for subject in found.subjects), strict=True)
        ],
        Field(tuple(references), tuple(s.runtime_ms for s in found.subjects), (1, 1, 1)),
    )
    assert found.guesses[3].verdict == by_hand


def test_networks_that_diverge_are_left_out_by_name(prepared):
    settings = ProxySettings(batch=2, patch=24, lr=1e30, clip=1e30)
    plan = Plan(SMALL, (30,), 1, dict.fromkeys(SMALL, 0.1), settings=settings)
    with pytest.raises(InputError, match="diverged: net2 after 30 steps"):
        check(plan, ProxyDataSpec(prepared), resolve_target("rtx4090"), workers=1)


def test_the_command_prints_a_table_and_writes_document_and_picture(nas, prepared, tmp_path):
    given = ("--networks", "URPNet,VPEG-R,CASR", "--steps", "2", "--seeds", "2", "--workers", "1")
    given = (*given, "--data", prepared, "--teacher", "none")
    code, out, err = nas("proxy-check", *given, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found == json.loads((tmp_path / "proxy-checks" / "proxy-check.json").read_text())
    assert [n["name"] for n in found["networks"]] == ["CASR", "VPEG-R", "URPNet"]
    assert [n["reference_gain_db"] for n in found["networks"]] == [
        published[name].table1.gain_db for name in ("CASR", "VPEG-R", "URPNet")
    ]
    assert [run["seed"] for run in found["networks"][0]["runs"]["2"]] == [0, 1]
    assert found["guesses"][0]["resolved"].keys() == {"pairs", "right", "wrong", "kendall"}
    with Image.open(tmp_path / "proxy-checks" / "proxy-check.png") as image:
        assert image.width > 900
    code, out, err = nas("proxy-check", *given)  # all of it kept
    assert code == 0, err
    for words in ("gain after 2 steps", "more MACs", "By chance", "seed sd", "1/3", "±"):
        assert words in out


def test_random_networks_of_a_space_against_a_long_training(nas, prepared, tmp_path):
    (tmp_path / "mine.yaml").write_text("dimensions: {width: [2, 3, 4, 5], depth: [0]}")
    given = ("--space", "mine.yaml", "--samples", "3", "--steps", "1", "--seeds", "1")
    given = (*given, "--data", prepared, "--teacher", "none", "--workers", "1")
    code, out, err = nas("proxy-check", *given, "--reference", "long:2", "--json")
    assert code == 0, err
    networks = json.loads(out)["networks"]
    assert len({n["architecture"]["width"] for n in networks}) == 3
    refused(nas("proxy-check", *given), "no gain of")


def test_references_from_files(tmp_path):
    (tmp_path / "gains.json").write_text('{"a": 0.25, "b": -1}')
    assert read_reference(tmp_path / "gains.json") == {"a": 0.25, "b": -1.0}
    (tmp_path / "e.json").write_text('{"models": [{"name": "a", "gain_db": 0.5, "score": 3}]}')
    assert read_reference(tmp_path / "e.json") == {"a": 0.5}
    for wrong in ("[1]", '{"a": "much"}', "not json", '{"a": NaN}', '{"models": 3}'):
        (tmp_path / "wrong.json").write_text(wrong)
        with pytest.raises(InputError, match=r"wrong\.json"):
            read_reference(tmp_path / "wrong.json")


def test_bad_input_is_reported_in_one_sentence(nas, tmp_path):
    few = ("--networks", "URPNet,CASR")
    refused(nas("proxy-check", *few), "2 networks", "at least 3")
    refused(nas("proxy-check", "--networks", "URPNet,URPNet"), "two networks 'URPNet'")
    refused(nas("proxy-check", "--networks", "Moon"), "'Moon'")
    refused(nas("proxy-check", "--steps", "many"), "--steps 'many'")
    refused(nas("proxy-check", "--steps", "0"), "--steps '0'")
    refused(nas("proxy-check", "--reference", "long:100"), "long:100", "long:6000")
    refused(nas("proxy-check", "--reference", "absent.json"), "absent.json")
    refused(nas("proxy-check", *few, "--space", "lightweight"), "not both")
    refused(nas("proxy-check", "--networks", "URPNet,CASR,SAFMN"), "no gain of SAFMN")
    (tmp_path / "file").write_text("")
    refused(nas("proxy-check", "--out", "file"), "--out file")


LONG = """
import signal
import sys
from nas.training.proxy.proxy import ProxySettings
from nas.training.proxy.runs import ProxyJob, ProxyDataSpec, run_all
from search_spaces import Architecture
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    jobs = [ProxyJob("x", Architecture(width=2), ProxySettings(steps=s, batch=2, patch=24))
            for s in (1, 10_000_000)]
    data = ProxyDataSpec(sys.argv[1])
    run_all(jobs, data, workers=2, progress=lambda *reported: print(*reported, flush=True))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl+C"])
def test_workers_end_with_the_command_and_finished_runs_stay(prepared, tmp_path, how):
    (tmp_path / "long.py").write_text(LONG)
    command = [sys.executable, "long.py", str(prepared)]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, **quiet) as p:
        for line in p.stdout:
            if "1 steps, seed 0" in line:
                break
        workers = family(p.pid) - {p.pid}
        os.kill(p.pid, how)
        try:
            p.wait(10)
        finally:
            p.kill()
    assert workers
    assert gone(workers, within_s=10)
    assert len(list((tmp_path / "cache" / "proxy-runs").iterdir())) == 1
