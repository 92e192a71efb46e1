"""The step of a proxy run: one result, whether it runs from Python, from tables or as a graph."""

from __future__ import annotations

import copy
import multiprocessing
import re
import subprocess
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest
import torch

from nas.data.sample import sample_set
from nas.data.store import open_set
from nas.data.windows import Window
from nas.training.core.precision import Precision
from nas.training.data.patches import Gatherer, PatchBank, choose, cut
from nas.training.losses.phases import PhaseLoss
from nas.training.proxy import cuda_graph
from nas.training.proxy.cuda_graph import Tabled, Way, fastest
from nas.training.proxy.proxy import (
    ProxyData,
    ProxySettings,
    proxy_data,
    run_proxy,
    starting_network,
)
from nas.training.proxy.step import WINDOW, Learner, Stepwise
from search_spaces import Architecture, Stage, published

SETTINGS = ProxySettings(batch=3, patch=24)
PLAIN = Architecture("conv", 12, (Stage("conv", 12, 2),), activation="relu")
UNSHUFFLED = Architecture("unshuffle2", 16, (Stage("conv", 16, 1),), residual="learned")
ARCHITECTURES = pytest.mark.parametrize(
    "architecture", [PLAIN, UNSHUFFLED], ids=["plain", "unshuffled"]
)
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(scope="module")
def bank() -> PatchBank:
    generator = torch.Generator().manual_seed(0)
    lr = torch.randint(0, 256, (6, 2, 3, 32, 32), dtype=torch.uint8, generator=generator)
    hr = torch.randint(0, 256, (6, 3, 128, 128), dtype=torch.uint8, generator=generator)
    return PatchBank(lr, hr, teacher=(255 - hr)[:, None])


def learner_of(architecture: Architecture, bank: PatchBank, **options) -> Learner:
    network = starting_network(architecture, bank, SETTINGS)
    loss = PhaseLoss(network.shuffle, SETTINGS.luma_weight, SETTINGS.distil_weight)
    return Learner(network, loss, clip=1.0, decay=0.98, **options)


def tabled(architecture: Architecture, bank: PatchBank) -> Tabled:
    return Tabled(learner_of(architecture, bank), bank, SETTINGS.patch, SETTINGS.batch)


def window(bank: PatchBank, steps: int = WINDOW, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    choices = [choose(bank, SETTINGS.batch, SETTINGS.patch, generator) for _ in range(steps)]
    return choices, [(0.02, 1e-3, 0.5 / (step + 1)) for step in range(steps)]


def trained(steps, bank: PatchBank, count: int = 6) -> list[torch.Tensor]:
    """Losses, weights and averages after some steps."""
    steps.plan(*window(bank))
    for _ in range(count):
        steps.step()
    learner = steps.learner
    weights = [*learner.network.parameters(), *learner.ema.network.parameters()]
    return [tensor.detach().cpu().clone() for tensor in (steps.losses[:count], *weights)]


def test_a_choice_shows_the_same_pixels_by_slices_and_by_indices(bank):
    gather = Gatherer(bank, 24)
    choice = choose(bank, 4, 24, torch.Generator().manual_seed(1))
    for turn in range(8):
        turned = replace(choice, turn=turn)
        sliced, gathered = cut(bank, turned, 24), gather(turned.numbers())
        assert torch.equal(sliced.lr, gathered.lr)
        assert torch.equal(torch.cat(sliced.hr), torch.cat(gathered.hr))
        assert torch.equal(torch.cat(sliced.teacher), torch.cat(gathered.teacher))


def test_the_first_patches_lose_their_colours_however_the_batch_is_cut(bank):
    choice = choose(bank, 4, 24, torch.Generator().manual_seed(1))
    pieces, whole = cut(bank, choice, 24), Gatherer(bank, 24)(choice.numbers())
    for batch in (pieces, whole):
        grey = batch.greyed(3)
        assert grey.lr.shape == batch.lr.shape and grey.lr.dtype == torch.uint8
        colours = torch.cat(grey.hr)
        assert (colours[:3].amax(1) == colours[:3].amin(1)).all()
        assert torch.equal(colours[3:], torch.cat(batch.hr)[3:])
        weights = torch.tensor([0.299, 0.587, 0.114])
        luma = torch.einsum("nchw,c->nhw", torch.cat(batch.hr)[:3].double(), weights.double())
        assert (colours[:3, 0] - luma).abs().max() <= 0.501
    assert torch.equal(torch.cat(pieces.greyed(3).hr), torch.cat(whole.greyed(3).hr))
    assert torch.equal(torch.cat(pieces.greyed(3).teacher), torch.cat(whole.greyed(3).teacher))
    assert pieces.greyed(0) is pieces


@pytest.mark.parametrize("shuffle", [4, 8])
def test_the_gradient_is_the_one_that_autograd_finds(shuffle):
    generator = torch.Generator().manual_seed(0)
    hr, taught = (
        torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8, generator=generator)
        for _ in range(2)
    )
    side = 16 // shuffle
    phases = torch.rand(2, 3 * shuffle**2, side, side, generator=generator, requires_grad=True)
    target = 0.9 * hr.float() / 255 + 0.1 * taught.float() / 255
    error = torch.nn.functional.pixel_shuffle(phases, shuffle) - target
    luma = torch.einsum("nchw,c->nhw", error, torch.tensor([65.481, 128.553, 24.966]) / 219)
    expected = 0.8 * luma.square().mean() + 0.2 * error.square().mean()
    expected.backward()
    loss, gradient = PhaseLoss(shuffle, 0.8, 0.1)(phases.detach(), hr.split(1), taught.split(1))
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(gradient, phases.grad)


@ARCHITECTURES
def test_steps_from_tables_learn_what_steps_from_python_learn(architecture, bank):
    stepwise = Stepwise(learner_of(architecture, bank), bank, SETTINGS.patch)
    torch.testing.assert_close(
        trained(tabled(architecture, bank), bank),
        trained(stepwise, bank),
        rtol=1e-4,
        atol=1e-6,
    )


@ARCHITECTURES
def test_warming_up_leaves_nothing_behind(architecture, bank):
    fresh, warm = (tabled(architecture, bank) for _ in range(2))
    for _ in range(3):
        warm.idle()
    warm.begin()
    pairs = zip(trained(fresh, bank), trained(warm, bank), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_a_second_window_goes_on_where_the_first_ended(bank):
    """The counter on the device begins again, the optimisers do not."""
    steps = tabled(PLAIN, bank)
    whole = trained(steps, bank, WINDOW)
    assert float(whole[0][-1]) < float(whole[0][0])
    steps.plan(*window(bank, seed=1))
    steps.step()
    assert float(steps.losses[0]) < float(whole[0][0])


def test_a_batch_that_outgrows_the_cache_is_learned_from_in_parts(bank, monkeypatch):
    whole = trained(Stepwise(learner_of(PLAIN, bank), bank, SETTINGS.patch), bank)
    monkeypatch.setattr("nas.training.proxy.step._CPU_PIXELS", 2 * SETTINGS.patch**2)
    parts = trained(Stepwise(learner_of(PLAIN, bank), bank, SETTINGS.patch), bank)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)


def test_features_in_bf16_learn_nearly_the_same(bank):
    half = Precision("bf16")
    full = trained(Stepwise(learner_of(PLAIN, bank), bank, SETTINGS.patch), bank)[0]
    low = Stepwise(learner_of(PLAIN, bank, precision=half), bank, SETTINGS.patch)
    torch.testing.assert_close(trained(low, bank)[0], full, rtol=0.02, atol=0)


def test_where_nothing_can_be_captured_steps_run_kernel_by_kernel_and_say_why(bank, monkeypatch):
    def fails(self: Tabled) -> None:
        try:
            raise RuntimeError("operation not permitted when capturing\nand more")
        finally:  # as torch closes a capture
            raise RuntimeError("capture was invalidated")

    monkeypatch.setattr(Tabled, "capture", fails)
    with pytest.warns(UserWarning, match="a proxy step cannot run as") as told:
        steps = fastest(make_from(bank), steps=10**6)
    assert str(told[0].message).endswith("channels_last': operation not permitted when capturing")
    assert all("and more" not in str(warning.message) for warning in told)
    assert steps.way == "eager, fp32, channels_last"
    assert trained(steps, bank)[0].isfinite().all()


@pytest.mark.parametrize("first", [subprocess.CalledProcessError(1, ["cc"]), KeyError("no entry")])
def test_compilers_may_fail_in_any_way(bank, monkeypatch, first):
    """Triton calls that of the system, and raises while it handles what a cache did not hold."""

    def fails(self: Tabled) -> None:
        try:
            raise first
        except Exception:
            raise RuntimeError("no kernel") from None

    monkeypatch.setattr(Tabled, "capture", fails)
    with pytest.warns(UserWarning, match=f"a proxy step cannot run as .*: {re.escape(str(first))}"):
        assert fastest(make_from(bank), steps=10**6).way == "eager, fp32, channels_last"


@pytest.mark.parametrize("closing", [False, True])
def test_a_time_limit_that_strikes_during_a_capture_is_kept(bank, monkeypatch, closing):
    class TimeUp(BaseException):
        pass

    def interrupted(self: Tabled) -> None:
        try:
            raise TimeUp
        finally:
            if closing:
                raise RuntimeError("capture was invalidated")

    monkeypatch.setattr(Tabled, "capture", interrupted)
    with pytest.raises(TimeUp):
        fastest(make_from(bank), steps=10**6)


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({"graph, fp32, channels_last": 1.0, "graph, bf16, channels_last": 0.9}, "bf16"),
        ({"graph, fp32, channels_last": 1.0, "graph, bf16, channels_last": 0.97}, "fp32"),
        ({"graph, fp32, channels_last": 1.0, "eager, fp32, channels_last": 0.5}, "eager"),
        ({"graph, bf16, channels_last": 0.9, "graph, fp32": 0.5}, "graph, fp32"),
    ],
)
def test_the_fastest_way_is_chosen_and_lower_precision_must_gain(
    bank, monkeypatch, seconds, chosen
):
    monkeypatch.setattr(Tabled, "capture", lambda self: None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(cuda_graph, "_seconds", lambda steps: seconds.get(steps.way, 2.0))
    monkeypatch.setattr(cuda_graph, "_WORTH_COMPILING_S", float("inf"))
    assert chosen in fastest(make_from(bank), steps=10**6).way


def test_a_short_run_tries_one_way(bank, monkeypatch):
    made = []
    monkeypatch.setattr(Tabled, "capture", lambda self: made.append(self.way))
    fastest(make_from(bank), steps=1)
    assert made == ["graph, fp32, channels_last"]


def make_from(bank: PatchBank):
    def make(way: Way) -> Tabled:
        learner = learner_of(PLAIN, bank, precision=way.precision)
        return Tabled(learner, bank, SETTINGS.patch, SETTINGS.batch, str(way))

    return make


@pytest.mark.gpu
@GPU
@ARCHITECTURES
@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_a_graph_learns_what_its_kernels_learn_one_by_one(architecture, name, bank):
    there = bank.to("cuda")
    network = starting_network(architecture, there, SETTINGS)
    loss = PhaseLoss(network.shuffle, SETTINGS.luma_weight, SETTINGS.distil_weight)
    results = []
    for graphed in (False, True):
        learner = Learner(
            copy.deepcopy(network), loss, clip=1.0, decay=0.98, precision=Precision(name)
        )
        steps = Tabled(learner, there, SETTINGS.patch, SETTINGS.batch)
        if graphed:
            steps.capture()
        results.append(trained(steps, there, WINDOW))
    torch.testing.assert_close(*results, rtol=2e-2, atol=2e-3)


@pytest.mark.gpu
@GPU
def test_a_run_on_a_gpu_ends_where_one_on_a_cpu_ends(monkeypatch):
    monkeypatch.setattr(cuda_graph, "WAYS", cuda_graph.WAYS[:1])
    gains = [gain(PLAIN, device) for device in ("cpu", "cuda")]
    assert gains[0] == pytest.approx(gains[1], abs=0.02)


@pytest.mark.gpu
@GPU
def test_several_candidates_train_on_one_gpu_at_a_time():
    """In processes, as a search does it: each ends as it does alone."""
    alone = gain(PLAIN, "cuda")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, context) as pool:
        together = list(pool.map(gain, [PLAIN] * 3, ["cuda"] * 3))
    assert together == pytest.approx([alone] * 3, abs=0.02)


def gain(architecture: Architecture, device: str) -> float:
    """The gain in dB after a short run on the sample set."""
    *_, result = run_proxy(architecture, small_data(device), ProxySettings(steps=60))
    return result.gain_db


def small_data(device: str) -> ProxyData:
    data = proxy_data(open_set(sample_set()), device=device)
    held_out: tuple[Window, ...] = data.validation[:1]
    return replace(data, validation=held_out, qps=(63,))


def test_a_survey_network_trains_from_tables(bank):
    """ANUNet has depthwise kernels, biases and a residual: all kinds of parameters."""
    architecture = published["ANUNet"].architecture
    losses = trained(tabled(architecture, bank), bank, 4)[0]
    assert losses.isfinite().all()
