"""Teachers load from what people have, and files that are none are refused in one sentence."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from nas.common.errors import InputError
from search_spaces import Architecture, build, fuse
from search_spaces.model_file import Model, save_model
from teachers.features import Features
from teachers.hat.adapter import settings_of
from teachers.hat.network import HAT, PRESETS, HATSettings
from teachers.loading import load_teacher, save_teacher

OFFICIAL_LIKE = HATSettings(12, (2, 1), (2, 3), window=4, compress=3, squeeze=4, features=8)
OURS = dataclasses.replace(OFFICIAL_LIKE, conv_scale=0.5, image_skip=True, mlp_ratio=1.5)


def test_a_model_of_the_workbench_can_teach(tmp_path):
    network = build(Architecture(width=8), seed=0)
    path = tmp_path / "best.safetensors"
    saved = save_model(Model("mine", network, {}), path)
    teacher = load_teacher(path)
    lr = torch.rand(1, 3, 7, 9)
    with torch.inference_mode():
        assert torch.allclose(teacher.network(lr), fuse(network)(lr))
    assert (teacher.name, teacher.digest) == ("mine", saved.digest)


def test_networks_that_spandrel_knows_can_teach(tmp_path):
    pytest.importorskip("spandrel")
    compact = importlib.import_module("spandrel.architectures.Compact").Compact
    network = compact(num_feat=8, num_conv=2, upscale=4).eval()
    torch.save({"params": network.state_dict()}, tmp_path / "compact.pth")
    teacher = load_teacher(tmp_path / "compact.pth")
    lr = torch.rand(1, 3, 7, 9)
    with torch.inference_mode():
        assert torch.equal(teacher.network(lr), network(lr).clamp(0, 1))
    maps = Features(teacher).compute([np.zeros((9, 13, 3), np.uint8)], tmp_path / "maps")
    assert maps[0].shape == (2, 3, 16)
    torch.save(compact(num_feat=8, upscale=2).state_dict(), tmp_path / "x2.pth")
    with pytest.raises(InputError, match="3 channels by 2, not RGB by 4"):
        load_teacher(tmp_path / "x2.pth")


@pytest.mark.parametrize("preset", ["HAT-S", "HAT", "HAT-L", "hat-tiny"])
def test_settings_are_read_off_the_shapes(preset):
    settings = PRESETS[preset]
    with torch.device("meta"):
        state = HAT(settings).state_dict()
    if "conv_scale" in state:
        state["conv_scale"] = torch.tensor(settings.conv_scale)
    assert settings_of(state) == settings


@pytest.mark.parametrize("container", ["params_ema", "params", None])
@pytest.mark.parametrize("settings", [OFFICIAL_LIKE, OURS])
def test_checkpoints_load_strictly(tmp_path, settings, container):
    network = HAT(settings).eval()
    state = network.state_dict()
    path = tmp_path / "HAT_SRx4.pth"
    torch.save({container: state} if container else state, path)
    teacher = load_teacher(path)
    lr = torch.rand(1, 3, 9, 5)
    with torch.inference_mode():
        assert torch.equal(teacher.network(lr), network(lr))
    assert teacher.name == "HAT_SRx4"
    assert teacher.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not any(p.requires_grad for p in teacher.network.parameters())


def test_the_average_is_preferred_to_the_last_weights(tmp_path):
    average, last = HAT(OFFICIAL_LIKE), HAT(OFFICIAL_LIKE)
    torch.save(
        {"params": last.state_dict(), "params_ema": average.state_dict()}, tmp_path / "both.pth"
    )
    loaded = load_teacher(tmp_path / "both.pth").network.state_dict()
    assert torch.equal(loaded["conv_first.weight"], average.state_dict()["conv_first.weight"])


def test_weights_of_parallel_training_load(tmp_path):
    state = {f"module.{name}": t for name, t in HAT(OFFICIAL_LIKE).state_dict().items()}
    save_file(state, tmp_path / "parallel.safetensors")
    assert load_teacher(tmp_path / "parallel.safetensors").name == "parallel"


def test_half_precision_moves_the_output_less_than_rounding(tmp_path):
    torch.manual_seed(0)
    network = HAT(OURS).eval()
    save_teacher(network, tmp_path / "half.safetensors")
    save_teacher(network, tmp_path / "full.safetensors", half=False)
    lr = torch.rand(1, 3, 16, 16)
    half, full = (load_teacher(tmp_path / f"{n}.safetensors").network for n in ("half", "full"))
    with torch.inference_mode():
        assert torch.equal(full(lr), network(lr))
        assert (half(lr) - full(lr)).abs().max() < 0.5 / 255


def test_loading_leaves_the_random_numbers_alone(tmp_path):
    save_teacher(HAT(OURS), tmp_path / "t.safetensors")
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    load_teacher(tmp_path / "t.safetensors")
    assert torch.equal(torch.rand(3), expected)


def test_shipped_teacher_is_small_and_loads():
    teacher = load_teacher("hat-tiny")
    assert teacher.name == "hat-tiny"
    assert teacher.network.settings == PRESETS["hat-tiny"]
    weights = Path(load_teacher.__code__.co_filename).parent / "weights" / "hat-tiny.safetensors"
    assert weights.stat().st_size <= 4_000_000


class TestRefusals:
    def refused(self, path: Path | str) -> str:
        with pytest.raises(InputError) as caught:
            load_teacher(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_no_such_file(self, tmp_path):
        got = self.refused("hat-huge")
        assert "no teacher 'hat-huge'" in got
        assert "hat-tiny" in got

    def test_a_picture(self, tmp_path):
        path = tmp_path / "cat.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
        assert "cannot be read as weights" in self.refused(path)

    @pytest.mark.parametrize("name", ["empty.pth", "empty.safetensors"])
    def test_an_empty_file(self, tmp_path, name):
        (tmp_path / name).touch()
        assert "cannot be read as weights" in self.refused(tmp_path / name)

    def test_code_in_a_pickle_is_not_run(self, tmp_path):
        class Trap:
            def __reduce__(self):
                return (Path.touch, (tmp_path / "sprung",))

        (tmp_path / "trap.pth").write_bytes(pickle.dumps(Trap(), protocol=2))
        assert "cannot be read as weights" in self.refused(tmp_path / "trap.pth")
        assert not (tmp_path / "sprung").exists()

    def test_another_network_without_the_package_that_knows_more(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "spandrel", None)
        save_file({"body.0.weight": torch.rand(4, 3, 3, 3)}, tmp_path / "other.safetensors")
        got = self.refused(tmp_path / "other.safetensors")
        assert "pip install 'nas-workbench[spandrel]'" in got

    def test_a_hat_without_its_first_convolution(self, tmp_path):
        state = HAT(OFFICIAL_LIKE).state_dict()
        del state["conv_first.weight"]
        save_file(state, tmp_path / "headless.safetensors")
        assert "no usable tensor conv_first.weight" in self.refused(
            tmp_path / "headless.safetensors"
        )

    def test_not_even_a_dictionary(self, tmp_path):
        torch.save(torch.rand(3), tmp_path / "tensor.pth")
        assert "holds no named tensors" in self.refused(tmp_path / "tensor.pth")

    def test_a_2x_model(self, tmp_path):
        state = HAT(OFFICIAL_LIKE).state_dict()
        del state["upsample.2.weight"], state["upsample.2.bias"]
        torch.save({"params_ema": state}, tmp_path / "HAT_SRx2.pth")
        assert "does not upscale by 4" in self.refused(tmp_path / "HAT_SRx2.pth")

    def test_a_missing_tensor_is_named(self, tmp_path):
        state = HAT(OFFICIAL_LIKE).state_dict()
        del state["layers.1.conv.bias"]
        torch.save({"params_ema": state}, tmp_path / "torn.pth")
        assert "layers.1.conv.bias" in self.refused(tmp_path / "torn.pth")

    def test_a_shape_that_does_not_fit(self, tmp_path):
        state = HAT(OFFICIAL_LIKE).state_dict()
        state["norm.weight"] = torch.rand(5)
        torch.save({"params_ema": state}, tmp_path / "bent.pth")
        assert "norm.weight" in self.refused(tmp_path / "bent.pth")
