"""Losses agree with independent computations, and their gradients lead towards the target."""

from __future__ import annotations

import math

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch.nn import functional as F

from nas.data.encode import CLEAN, degrade
from nas.training.data.batches import Batch
from nas.training.engine.objective import Prediction, objective
from nas.training.engine.student import HALF, Student, enter_stage
from nas.training.losses.distillation import affinity, contrastive, lanczos_up
from nas.training.losses.losses import downscale, losses
from nas.training.recipe.stage import Stage
from search_spaces import Architecture, build


def pictures(seed: int = 0, side: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    target = torch.rand(2, 3, side, side)
    return target + 0.1 * torch.randn(2, 3, side, side), target


def value(name: str, *given: torch.Tensor) -> float:
    return float(losses[name].function(*(tensor.double() for tensor in given)))


def luma(pixels: np.ndarray) -> np.ndarray:
    weights = np.array([65.481, 128.553, 24.966])
    return np.tensordot(weights / weights.sum(), pixels, (0, 1))


def gradients(pixels: np.ndarray) -> np.ndarray:
    down, across = np.gradient(pixels, axis=(2, 3))
    return np.sqrt(4 * down**2 + 4 * across**2 + 1e-6)[:, :, 1:-1, 1:-1]


def blurred(pixels: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(pixels, (0, 0, 1, 1), mode="nearest", truncate=2)


def focal(sr: np.ndarray, hr: np.ndarray) -> float:
    distance = np.abs(np.fft.fft2(sr, norm="ortho") - np.fft.fft2(hr, norm="ortho"))
    return float((distance / distance.max((2, 3), keepdims=True) * distance**2).mean())


INDEPENDENT = {
    "l1": lambda sr, hr: np.abs(sr - hr).mean(),
    "mse": lambda sr, hr: ((sr - hr) ** 2).mean(),
    "charbonnier": lambda sr, hr: np.sqrt((sr - hr) ** 2 + 1e-6).mean(),
    "psnr": lambda sr, hr: np.mean(
        [10 * np.log10(((a - b) ** 2).mean() + 1e-8) for a, b in zip(sr, hr, strict=True)]
    ),
    "luma_mse": lambda sr, hr: 0.8 * (luma(sr - hr) ** 2).mean() + 0.2 * ((sr - hr) ** 2).mean(),
    "fft_l1": lambda sr, hr: (
        (np.abs((d := np.fft.fft2(sr - hr, norm="ortho")).real).mean() + np.abs(d.imag).mean()) / 2
    ),
    "focal_frequency": focal,
    "gradient": lambda sr, hr: np.abs(gradients(sr) - gradients(hr)).mean(),
    "high_frequency": lambda sr, hr: np.abs((d := sr - hr) - blurred(d)).mean(),
}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_a_loss_is_what_its_formula_says(name):
    sr, target = pictures()
    expected = INDEPENDENT[name](sr.double().numpy(), target.double().numpy())
    assert value(name, sr, target) == pytest.approx(float(expected), rel=1e-6)


def test_luma_mse_knows_its_gradient():
    sr, target = (picture.double() for picture in pictures())
    found, plain = (sr.clone().requires_grad_(True) for _ in range(2))
    losses["luma_mse"].function(found, target).backward()
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64)
    brightness = ((plain - target) * (weights / weights.sum())[:, None, None]).sum(1)
    (0.8 * brightness.square().mean() + 0.2 * F.mse_loss(plain, target)).backward()
    assert torch.allclose(found.grad, plain.grad, rtol=1e-6)


def test_every_loss_is_tested():
    assert set(losses) == {*INDEPENDENT, "lanczos_consistency", "uncertainty_mse"}


def test_the_likelihood_is_that_of_a_normal_distribution():
    sr, target = pictures()
    log_variance = torch.randn(2, 1, 24, 24)
    normal = torch.distributions.Normal(sr.double(), (log_variance.double() / 2).exp())
    expected = -2 * normal.log_prob(target.double()).mean() - math.log(2 * math.pi)
    assert value("uncertainty_mse", sr, target, log_variance) == pytest.approx(float(expected))


def test_downscaling_is_the_surveys(tmp_path):
    """Against the real ffmpeg command, at more than a few pixels from the border."""
    hr = skimage.data.coffee()[:320, :480]
    degrade(hr, {CLEAN: tmp_path / "clean.png"})
    expected = np.asarray(Image.open(tmp_path / "clean.png")).astype(np.float32)
    ours = downscale(torch.from_numpy(hr.copy()).permute(2, 0, 1)[None].double(), 4)[0]
    difference = np.abs(ours.permute(1, 2, 0).numpy() - expected)[8:-8, 8:-8]
    assert difference.mean() < 0.6  # rounding alone is a quarter of a level; ffmpeg goes by YUV
    smaller = Image.fromarray(hr).resize((120, 80), Image.Resampling.LANCZOS)  # three lobes
    assert difference.mean() < np.abs(np.asarray(smaller) - expected)[8:-8, 8:-8].mean()


def test_consistency_minds_only_what_downscaling_keeps():
    _, hr = pictures(side=48)
    checkered = hr.clone()
    checkered[..., ::2, ::2] += 0.1
    checkered[..., 1::2, 1::2] += 0.1
    checkered[..., ::2, 1::2] -= 0.1
    checkered[..., 1::2, ::2] -= 0.1
    assert value("lanczos_consistency", checkered, hr) < 0.005
    assert value("lanczos_consistency", hr + 0.1, hr) == pytest.approx(0.1)


@pytest.mark.parametrize("name", list(losses))
def test_following_the_gradient_improves_the_picture(name):
    sr, target = pictures()
    sr.requires_grad_(True)
    given = (torch.full((2, 1, 24, 24), -3.0),) if losses[name].uncertain else ()
    before = losses[name].function(sr, target, *given)
    (slope,) = torch.autograd.grad(before, sr)
    assert bool(slope.isfinite().all()) and float(slope.norm()) > 0
    after = losses[name].function(sr - 1e-3 * slope / slope.norm(), target, *given)
    assert after < before


@pytest.mark.parametrize("name", list(losses))
def test_a_perfect_picture_has_the_least_loss_and_a_finite_gradient(name):
    _, target = pictures()
    perfect = target.clone().requires_grad_(True)
    given = (torch.zeros(2, 1, 24, 24),) if losses[name].uncertain else ()
    least = losses[name].function(perfect, target, *given)
    (slope,) = torch.autograd.grad(least, perfect)
    assert bool(slope.isfinite().all())
    assert least < losses[name].function(target + 0.01 * torch.randn(2, 3, 24, 24), target, *given)


@pytest.mark.parametrize("name", [name for name in losses if losses[name].pixelwise])
def test_pixelwise_losses_do_not_mind_the_order_of_pixels(name):
    sr, target = pictures()
    phases = [F.pixel_unshuffle(picture, 4).unflatten(1, (3, 16)) for picture in (sr, target)]
    assert value(name, *phases) == pytest.approx(value(name, sr, target))


def batch(teacher: torch.Tensor | None = None) -> Batch:
    torch.manual_seed(1)
    lr = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    return Batch(lr, torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8), teacher)


def made(shuffle: int) -> Prediction:
    torch.manual_seed(2)
    side = 32 // shuffle
    return Prediction(torch.rand(2, 3 * shuffle**2, side, side), shuffle, torch.rand(2, 8, 8, 8))


def student_of(stage: Stage) -> Student:
    return enter_stage(Student(build(Architecture(width=8), seed=0)), stage, 0)


@pytest.mark.parametrize("shuffle", [4, 8])
def test_phases_and_picture_meet_the_same_target(shuffle):
    stage = Stage(steps=1, losses={"mse": 1})
    prediction, given = made(shuffle), batch()
    told = float(objective(stage, student_of(stage), prediction, given, 0.0))
    assert told == pytest.approx(float(F.mse_loss(prediction.picture, given.hr / 255)), rel=1e-5)


def test_losses_and_what_is_learned_from_the_teacher_add_up():
    taught = {"output": {"weight": [0.4, 0.0], "loss": "l1"}, "mix": [0.0, 0.5]}
    stage = Stage.model_validate(
        {"steps": 1, "losses": {"mse": 2, "gradient": 0.5}, "distillation": taught}
    )
    given = batch(teacher=255 - batch().hr)
    prediction, hr, teacher = made(4), given.hr / 255, given.teacher / 255
    sr = prediction.picture
    for progress in (0.0, 0.5, 1.0):
        target = torch.lerp(hr, teacher, 0.5 * progress)
        expected = 2 * F.mse_loss(sr, target) + 0.5 * losses["gradient"].function(sr, target)
        expected = expected + 0.4 * (1 - progress) * F.l1_loss(sr, teacher)
        told = objective(stage, student_of(stage), prediction, given, progress)
        assert float(told) == pytest.approx(float(expected), rel=1e-5)


def test_without_a_teacher_its_parts_are_left_out():
    taught = {"output": {"weight": 1}, "mix": 0.5, "contrastive": 1, "affinity": 1}
    alone = Stage(steps=1, losses={"l1": 1})
    stage = Stage.model_validate({"steps": 1, "losses": {"l1": 1}, "distillation": taught})
    told = [objective(s, student_of(s), made(4), batch(), 0.5) for s in (alone, stage)]
    assert told[0] == told[1]


def test_the_second_output_is_compared_at_twice_the_lr():
    stage = Stage(steps=1, losses={"l1": 1}, auxiliary_x2=0.5)
    student, prediction, given = student_of(stage), made(4), batch()
    half = student.heads[HALF](prediction.features)
    expected = F.l1_loss(prediction.picture, given.hr / 255)
    expected = expected + 0.5 * F.l1_loss(half, downscale(given.hr / 255, 2))
    told = objective(stage, student, prediction, given, 0.0)
    assert float(told.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


class TestAffinity:
    def test_equal_similarities_cost_nothing_whatever_the_channels(self):
        theirs = torch.randn(1, 6, 4, 4)
        turned = torch.linalg.qr(torch.randn(6, 6))[0]
        ours = torch.einsum("oc,nchw->nohw", turned, theirs)
        wider = torch.cat([ours, torch.zeros(1, 5, 4, 4)], 1)
        assert float(affinity([wider], [theirs])) == pytest.approx(0, abs=1e-5)

    def test_it_is_the_mean_difference_of_cosines(self):
        ours, theirs = torch.randn(1, 3, 2, 2), torch.randn(1, 5, 2, 2)

        def cosines(maps: torch.Tensor) -> np.ndarray:
            rows = maps[0].flatten(1).numpy().T
            rows = rows - rows.mean(0)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            return rows @ rows.T

        expected = np.abs(cosines(ours) - cosines(theirs)).mean()
        assert float(affinity([ours], [theirs])) == pytest.approx(float(expected), rel=1e-4)

    def test_finer_maps_are_averaged_over_the_teachers_places(self):
        theirs = torch.randn(2, 4, 3, 3)
        ours = theirs.repeat_interleave(4, 2).repeat_interleave(4, 3)
        assert float(affinity([ours], [theirs])) == pytest.approx(0, abs=1e-5)


class TestContrast:
    def test_nearer_to_the_teacher_is_better(self):
        torch.manual_seed(0)
        lr = torch.randint(0, 256, (1, 3, 12, 12), dtype=torch.uint8)
        negative = lanczos_up(lr)
        positive = negative + 0.1 * torch.randn_like(negative)
        told = [
            float(contrastive(torch.lerp(negative, positive, share), positive, negative))
            for share in (0.1, 0.5, 0.9)
        ]
        assert told == sorted(told, reverse=True)
        assert told[1] == pytest.approx(1, abs=0.01)

    def test_a_constant_offset_is_no_difference(self):
        lr = torch.randint(0, 256, (1, 3, 12, 12), dtype=torch.uint8)
        up = lanczos_up(lr)
        assert float(contrastive(up + 0.2, up, up)) == pytest.approx(1, abs=1e-3)

    def test_the_negative_is_lanczos(self):
        picture = skimage.data.chelsea()[:32, :40].copy()
        lr = torch.from_numpy(picture).permute(2, 0, 1)[None]
        larger = Image.fromarray(picture).resize((160, 128), Image.Resampling.LANCZOS)
        ours = lanczos_up(lr)[0].permute(1, 2, 0).mul(255).clamp(0, 255).round().numpy()
        inner = np.abs(ours - np.asarray(larger))[12:-12, 12:-12]
        assert inner.max() <= 1
