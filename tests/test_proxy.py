"""The proxy run: short, repeatable, watched, and measured on pictures that it never saw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load
from torch.nn import functional as F

from nas.measure.quality import evaluate
from nas.training.core.calibration import calibrate
from nas.training.core.optim import Ema, Muon, orthogonalised
from nas.training.data.patches import PatchBank, draw
from nas.training.losses.phases import target_phases
from nas.training.proxy import proxy
from nas.training.proxy.proxy import (
    Diverged,
    ProxyData,
    ProxyResult,
    ProxySettings,
    ProxyTraining,
    Rung,
    run_proxy,
    starting_network,
)
from nas.training.recipe.schedules import warmed_cosine
from search_spaces import Architecture, Stage, build, fuse
from search_spaces.model_file import load_model

SETTINGS = ProxySettings(steps=20, batch=4, patch=24)
RESIDUAL_FREE = Architecture("conv", 12, (Stage("ecb", 12, 1),), activation="relu")
UNSHUFFLED = Architecture("unshuffle2", 16, (Stage("conv", 16, 1),), residual="nearest")


def scene(seed: int, side: int = 128) -> np.ndarray:
    """Discs and bars with sharp edges, uint8 (side, side, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    picture = np.full((side, side, 3), rng.integers(60, 200, 3), dtype=np.uint8)
    for _ in range(40):
        cy, cx, radius = rng.integers(side), rng.integers(side), rng.integers(3, 14)
        inside = (y - cy) ** 2 + (x - cx) ** 2 < radius**2
        picture[inside] = rng.integers(0, 255, 3)
    return picture


def small(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    return np.asarray(
        Image.fromarray(picture).resize((width // 4, height // 4), Image.Resampling.LANCZOS)
    )


@dataclass(frozen=True)
class Scene:
    """Stands in for a picture of a prepared set."""

    seed: int

    def hr(self) -> np.ndarray:
        return scene(self.seed)

    def lr(self, qp: int | None) -> np.ndarray:
        return small(self.hr())


@pytest.fixture(scope="module")
def bank() -> PatchBank:
    pictures = [scene(seed) for seed in range(8)]
    hr = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    lr = torch.from_numpy(np.stack([small(p) for p in pictures])).permute(0, 3, 1, 2)
    return PatchBank(lr[:, None].contiguous(), hr, teacher=(255 - hr)[:, None])


@pytest.fixture
def data(bank, tmp_path, monkeypatch) -> ProxyData:
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    return ProxyData(replace(bank, teacher=None), (Scene(100), Scene(101)), (31,), "cpu")


def result_of(run) -> ProxyResult:
    *_, last = run
    assert isinstance(last, ProxyResult)
    return last


@pytest.mark.parametrize("architecture", [RESIDUAL_FREE, UNSHUFFLED], ids=lambda a: a.label)
def test_a_short_run_beats_lanczos_from_any_working_resolution(architecture, data):
    result = result_of(run_proxy(architecture, data, replace(SETTINGS, steps=200)))
    assert result.gain_db > 0.1


def test_rungs_come_in_order_and_the_result_last(data):
    passed = list(run_proxy(UNSHUFFLED, data, SETTINGS, rungs=(5, 10)))
    assert [type(item) for item in passed] == [Rung, Rung, ProxyResult]
    result = passed[-1]
    assert [rung.step for rung in result.curve] == [5, 10, 20]
    assert result.curve[-1].gain_db == result.gain_db
    assert result.gain_db_per_qp.keys() == result.psnr_y_db.keys() == {31}
    assert result.steps == 20


def test_half_the_resolution_gets_twice_the_optimiser_steps(data, monkeypatch):
    done = []
    step = ProxyTraining.step
    monkeypatch.setattr(ProxyTraining, "step", lambda self: (step(self), done.append(self.done))[0])
    passed = list(run_proxy(UNSHUFFLED, data, replace(SETTINGS, steps=6), rungs=(2, 4)))
    assert done == list(range(1, 13))
    assert [rung.step for rung in passed[-1].curve] == [2, 4, 6]
    done.clear()
    result_of(run_proxy(RESIDUAL_FREE, data, replace(SETTINGS, steps=6)))
    assert done == list(range(1, 7))


def test_the_seed_decides_the_result(data):
    one, same, other = (
        result_of(run_proxy(RESIDUAL_FREE, data, replace(SETTINGS, seed=seed)))
        for seed in (3, 3, 4)
    )
    assert one.state == same.state
    assert one.gain_db == same.gain_db != other.gain_db


def test_equal_deploy_forms_get_equal_results_whatever_their_training_form(data):
    branched = result_of(run_proxy(RESIDUAL_FREE, data, SETTINGS))
    conv = replace(RESIDUAL_FREE, stages=(Stage("conv", 12, 1),))
    plain = result_of(run_proxy(conv, data, SETTINGS))
    assert plain.gain_db == branched.gain_db
    ours, theirs = load(plain.state), load(branched.state)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)


def test_the_weights_need_nothing_but_torch_and_the_architecture(data):
    result = result_of(run_proxy(UNSHUFFLED, data, SETTINGS))
    again = fuse(build(Architecture.from_json(UNSHUFFLED.to_json())))
    again.load_state_dict(load(result.state))
    quality = evaluate(again, data.validation, (31,))
    assert quality.gain_cb_db == pytest.approx(result.gain_cb_db, abs=1e-2)
    assert quality.gain_cr_db == pytest.approx(result.gain_cr_db, abs=1e-2)
    # Another memory layout sums otherwise.
    assert quality.gain_db == pytest.approx(result.gain_db, abs=1e-3)


def test_the_weights_say_themselves_which_network_they_are_of(data, tmp_path):
    result = result_of(run_proxy(UNSHUFFLED, data, SETTINGS))
    (tmp_path / "w.safetensors").write_bytes(result.state)
    model = load_model(tmp_path / "w.safetensors")
    assert model.architecture == UNSHUFFLED and model.name == UNSHUFFLED.label
    assert model.facts["kind"] == "proxy" and model.facts["steps"] == "20"
    assert float(model.facts["gain_db"]) == pytest.approx(result.gain_db, abs=1e-4)


def test_training_that_explodes_is_told_apart_from_training_that_ends(data):
    with pytest.raises(Diverged, match="loss"):
        list(run_proxy(RESIDUAL_FREE, data, replace(SETTINGS, steps=60, lr=1e3, clip=1e9)))


def test_the_teacher_changes_what_is_fitted_as_much_as_its_weight_says(bank, data):
    """This teacher shows the negative: following it must hurt, and ignoring it must not."""
    taught = replace(data, bank=bank)
    without = result_of(run_proxy(UNSHUFFLED, data, SETTINGS))
    ignored = result_of(run_proxy(UNSHUFFLED, taught, replace(SETTINGS, distil_weight=0.0)))
    followed = result_of(run_proxy(UNSHUFFLED, taught, replace(SETTINGS, distil_weight=0.5)))
    assert ignored.state == without.state
    assert followed.gain_db < without.gain_db - 1


def test_a_network_with_a_learned_residual_and_no_body_trains(data):
    architecture = Architecture("unshuffle2", 12, residual="learned", activation="prelu")
    result = result_of(run_proxy(architecture, data, SETTINGS))
    assert np.isfinite(result.gain_db)
    assert load(result.state)["residual.weight"].shape == (48, 1, 5, 5)


def test_the_start_is_already_at_the_baseline(data):
    network = starting_network(UNSHUFFLED, data.bank, SETTINGS).eval()
    assert evaluate(network, data.validation, (31,)).gain_db > -1.5


def test_patches_of_lr_and_hr_stay_aligned_through_crops_and_turns(bank):
    generator = torch.Generator().manual_seed(0)
    for _ in range(16):
        batch = draw(bank, 2, 24, generator)
        assert batch.lr.shape == (2, 3, 24, 24)
        hr = torch.cat(batch.hr)
        assert hr.shape == (2, 3, 96, 96)
        means = F.avg_pool2d(hr.float(), 4)
        assert float((means - batch.lr.float()).abs().mean()) < 6
        assert torch.equal(torch.cat(batch.teacher), 255 - hr)


@pytest.mark.parametrize("shuffle", [4, 8, 12])
def test_target_phases_undo_the_pixel_shuffle(shuffle):
    hr = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8)
    phases = target_phases(hr, shuffle).permute(0, 3, 1, 2)
    torch.testing.assert_close(F.pixel_shuffle(phases, shuffle) * 255, hr.float())


def test_calibration_finds_a_linear_upscaler_exactly():
    """Where the truth is a linear readout of the features, it is found, bias and all."""
    network = fuse(build(Architecture("unshuffle2", 12, activation="none"), 0)).double()
    truth = fuse(build(Architecture("unshuffle2", 12, activation="none"), 1)).double()
    truth.stem.load_state_dict(network.stem.state_dict())
    with torch.no_grad():
        truth.tail.weight.normal_(std=0.05)
        truth.tail.bias.fill_(0.3)
    lr = torch.rand(8, 3, 24, 24, dtype=torch.float64)
    assert calibrate(network, lr, truth(lr))
    assert float((network(lr) - truth(lr)).abs().max()) < 1e-2


def test_features_that_are_zero_everywhere_leave_the_tail_as_it_is():
    """Without biases three SPABs shrink their features to nothing."""
    network = fuse(
        build(
            Architecture(
                stem="strided2",
                width=32,
                stages=(Stage("spab", 32, 3),),
                bias=False,
                residual="bilinear",
            ),
            seed=0,
        )
    )
    with torch.no_grad():
        for part in network.body.parameters():
            part.zero_()
    before = {name: value.clone() for name, value in network.named_parameters()}
    calibrate(network, torch.rand(2, 3, 16, 16), torch.rand(2, 3, 64, 64))
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())


def test_orthogonalised_moves_have_equal_singular_values():
    matrices = torch.randn(3, 8, 30) * torch.logspace(-6, 3, 3)[:, None, None]
    for tile in (1, 64):
        for moves in orthogonalised([matrices, matrices.mT, matrices[:, :4]], tile=tile):
            values = torch.linalg.svdvals(moves)
            assert float(values.min()) > 0.6
            assert float(values.max()) < 1.3
    (still,) = orthogonalised([torch.zeros(1, 4, 9)])
    assert torch.equal(still, torch.zeros(1, 4, 9))


def test_muon_moves_a_kernel_by_its_rate():
    kernel = torch.zeros(8, 4, 3, 3, requires_grad=True)
    kernel.grad = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    Muon([kernel]).step(0.1)
    moved = torch.linalg.matrix_norm(kernel.detach().flatten(1), 2)
    assert float(moved) == pytest.approx(0.1 * (8 / 36) ** 0.5, rel=0.3)


def test_muon_lets_a_kernel_without_gradient_rest():
    """Behind dead ReLUs: no drift in the last direction, and no division by what underflows."""
    kernel = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    kernel.grad = torch.randn(kernel.shape, generator=torch.Generator().manual_seed(1)) * 1e-4
    muon = Muon([kernel])
    muon.step(0.1)
    kernel.grad.zero_()
    for _ in range(200):
        muon.step(0.1)
    resting = kernel.clone()
    for _ in range(700):
        muon.step(0.1)
    assert bool(kernel.isfinite().all())
    torch.testing.assert_close(kernel, resting, rtol=0, atol=1e-3)


def test_the_average_follows_and_lags():
    live = torch.nn.Linear(1, 1, bias=False)
    ema = Ema(live, decay=0.9)
    with torch.no_grad():
        live.weight.add_(1)
    start = ema.network.weight.item()
    ema.update()
    assert start < ema.network.weight.item() < live.weight.item()
    for _ in range(200):
        ema.update()
    assert ema.network.weight.item() == pytest.approx(live.weight.item(), abs=1e-3)


def test_the_schedule_warms_up_and_ends_near_zero():
    rates = [warmed_cosine(step / 100, 0.1) for step in range(100)]
    assert rates[0] < 0.1
    assert max(rates) == pytest.approx(1)
    assert rates[-1] < 0.01
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_network_whose_features_have_all_died_is_a_failed_training(data):
    """No gain of it says what its architecture can do."""
    architecture = Architecture(
        "unshuffle2", 8, (Stage("conv", 8),), bias=False, residual="bicubic"
    )
    with (
        mock.patch.object(proxy, "starting_network", wraps=dead),
        pytest.raises(Diverged, match="features died"),
    ):
        list(run_proxy(architecture, data, replace(SETTINGS, steps=2)))


def dead(architecture, bank, settings):
    """A network none of whose ReLUs lets anything pass."""
    network = starting_network(architecture, bank, settings)
    with torch.no_grad():
        network.body[0].weight.copy_(-network.body[0].weight.abs())
        network.stem[-2].weight.abs_()
    return network
