"""A teacher learns, goes on after an interruption, and is measured on pictures it has not seen."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from nas.common.errors import InputError
from nas.data.encode import CLEAN, degrade
from nas.data.prepare import prepare
from nas.data.store import PairSet, lanczos, open_set
from nas.measure.quality import psnr_y
from nas.training.data.crops import Crops
from nas.training.data.teacher_quality import evaluate_teacher, require_gain
from nas.training.teacher.run import train_teacher
from nas.training.teacher.task import TeacherTraining
from teachers.cache import upscale_pixels
from teachers.hat import network
from teachers.hat.network import HATSettings
from teachers.loading import load_teacher, save_teacher

QUICK = TeacherTraining(steps=6, batch=2, patch=8)


@pytest.fixture(scope="module")
def pair_set(tmp_path_factory) -> PairSet:
    """Three pictures of sharp shapes."""
    folder = tmp_path_factory.mktemp("teacher")
    rng = np.random.default_rng(0)
    (folder / "hr").mkdir()
    for i in range(3):
        blocks = rng.integers(0, 256, (44, 46, 3), dtype=np.uint8).repeat(6, 0).repeat(6, 1)
        Image.fromarray(blocks).save(folder / "hr" / f"{i}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(folder / "cache"))
        prepare(folder / "hr", folder / "set", qps=(31,), validation=0.34)
        yield open_set(folder / "set")


@pytest.fixture(autouse=True)
def small_preset(monkeypatch):
    small = HATSettings(8, (1,), (1,), window=4, compress=1, squeeze=2, features=4, image_skip=True)
    monkeypatch.setattr("nas.training.teacher.run.PRESETS", {**network.PRESETS, "small": small})


def weights(path) -> torch.Tensor:
    return torch.cat(
        [t.flatten().float() for t in load_teacher(path).network.state_dict().values()]
    )


def test_training_writes_a_teacher_and_clears_its_checkpoint(pair_set, tmp_path):
    told = []
    done = train_teacher(
        pair_set, tmp_path / "t.safetensors", preset="small", training=QUICK,
        progress=lambda *args: told.append(args), checkpoint_seconds=0,
    )  # fmt: skip
    assert done.steps == 6
    assert told[-1][:2] == (6, 6)
    assert "dB over Lanczos" in told[-1][2]
    assert [p.name for p in tmp_path.iterdir()] == ["t.safetensors"]


def test_an_interrupted_training_ends_with_the_same_weights(pair_set, tmp_path):
    def stop(done: int, total: int, note: str) -> None:
        if done == 4:
            raise KeyboardInterrupt

    def train(name, **options):
        train_teacher(
            pair_set, tmp_path / name, preset="small", training=QUICK, checkpoint_seconds=0,
            **options,
        )  # fmt: skip

    train("whole.safetensors")
    with pytest.raises(KeyboardInterrupt):
        train("cut.safetensors", progress=stop)
    assert (tmp_path / "cut.checkpoint.pt").exists()
    steps = []
    train("cut.safetensors", progress=lambda done, *_: steps.append(done))
    assert sorted(set(steps)) == [5, 6]
    assert torch.equal(
        weights(tmp_path / "cut.safetensors"), weights(tmp_path / "whole.safetensors")
    )


def test_a_checkpoint_of_other_settings_is_refused(pair_set, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_teacher(
            pair_set, tmp_path / "t.safetensors", preset="small", training=QUICK, progress=stop,
            checkpoint_seconds=0,
        )  # fmt: skip
    with pytest.raises(InputError, match="other settings"):
        train_teacher(
            pair_set, tmp_path / "t.safetensors", preset="small",
            training=TeacherTraining(steps=7, batch=2, patch=8),
        )  # fmt: skip


def test_fine_tuning_starts_from_the_given_weights(pair_set, tmp_path):
    training = TeacherTraining(steps=1, batch=1, patch=8, lr=0.0)
    train_teacher(pair_set, tmp_path / "a.safetensors", preset="small", training=QUICK)
    train_teacher(
        pair_set, tmp_path / "b.safetensors", start=tmp_path / "a.safetensors", training=training
    )
    assert torch.equal(weights(tmp_path / "a.safetensors"), weights(tmp_path / "b.safetensors"))


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("t.pth", {}, "written as .safetensors"),
        ("t.safetensors", {"preset": "HAT-XL"}, "choose from HAT-S, HAT, "),
        ("t.safetensors", {"training": TeacherTraining(patch=72)}, "at least 288 x 288"),
    ],
)
def test_what_cannot_be_trained_is_said(pair_set, tmp_path, name, options, told):
    with pytest.raises(InputError, match=told):
        train_teacher(pair_set, tmp_path / name, **{"training": QUICK, **options})


def test_a_finished_teacher_is_not_overwritten(pair_set, tmp_path):
    (tmp_path / "t.safetensors").touch()
    with pytest.raises(InputError, match="is there already"):
        train_teacher(pair_set, tmp_path / "t.safetensors", training=QUICK)


def test_crops_are_aligned(pair_set):
    crops = Crops(pair_set.train, 8)
    lr, hr = crops.draw(32, np.random.default_rng(0))
    assert lr.shape == (32, 3, 8, 8)
    assert hr.shape == (32, 3, 32, 32)
    means = hr.float().unflatten(-1, (8, 4)).unflatten(-3, (8, 4)).mean((-1, -3))
    assert (means - lr.float()).abs().mean() < 15  # a pixel off it is 56


def test_crops_prefer_detail():
    class HalfFlat:
        height, width = 128, 512

        def hr(self):
            hr = np.full((128, 512, 3), 90, np.uint8)
            hr[:, 256:] = np.random.default_rng(0).integers(0, 256, (128, 256, 3))
            return hr

        def lr(self, qp):
            return self.hr()[::4, ::4]

    _, hr = Crops([HalfFlat()], 8).draw(64, np.random.default_rng(0))
    flat = hr.flatten(1).float().std(dim=1) == 0
    assert flat.sum() <= 2


@pytest.mark.parametrize("given", ["clean", "compressed"])
def test_an_upscaler_like_lanczos_gains_nothing(pair_set, tmp_path, given):
    settings = HATSettings(8, (1,), (1,), window=4, compress=1, squeeze=2, features=4,
                           image_skip=True)  # fmt: skip
    save_teacher(network.HAT(settings), tmp_path / "fresh.safetensors")
    suffix = "" if given == "clean" else ":compressed"
    teacher = load_teacher(f"{tmp_path / 'fresh.safetensors'}{suffix}")
    quality = evaluate_teacher(teacher, pair_set, folder=tmp_path / "outputs")
    assert quality.input == given
    assert quality.gain_db == pytest.approx(0, abs=0.15)  # its borders differ from Pillow's
    assert set(quality.gain_db_by_picture) == {p.name for p in pair_set.validation}


def test_the_shipped_teacher_beats_lanczos_on_a_photograph_it_never_saw(tmp_path):
    hr = skimage.data.coffee()
    degrade(hr, {CLEAN: tmp_path / "lr.png"})
    lr = np.asarray(Image.open(tmp_path / "lr.png"))
    sr = upscale_pixels(load_teacher("hat-tiny"), lr)
    assert psnr_y(sr, hr) - psnr_y(lanczos(lr), hr) > 0.5


def test_a_teacher_below_lanczos_is_refused_with_the_number(pair_set, tmp_path):
    settings = HATSettings(8, (1,), (1,), window=4, compress=1, squeeze=2, features=4)
    save_teacher(network.HAT(settings), tmp_path / "random.safetensors")
    teacher = load_teacher(tmp_path / "random.safetensors")
    quality = evaluate_teacher(teacher, pair_set, folder=tmp_path / "outputs")
    with pytest.raises(InputError, match=r"random gains -\d+\.\d\d dB over Lanczos on clean LR"):
        require_gain(teacher, quality)
