"""What a teacher sees: the clean LR, or with `:compressed` the LR that its student sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from photos import QPS

from nas.common.errors import InputError
from nas.data.store import lanczos
from nas.training.core.runtime import DistContext
from nas.training.data.batches import BatchCutter, CropSource
from nas.training.data.crops import Crops
from nas.training.data.patches import Gatherer, PatchBank, choose, cut
from nas.training.proxy.proxy import proxy_data
from teachers.hat.network import HAT, HATSettings
from teachers.loading import load_teacher, save_teacher


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    """A HAT that has learned nothing yet: it upscales like Lanczos."""
    path = tmp_path_factory.mktemp("teacher") / "fresh.safetensors"
    torch.manual_seed(0)
    small = HATSettings(8, (1,), (1,), window=4, compress=1, squeeze=2, features=4, image_skip=True)
    save_teacher(HAT(small), path)
    return str(path)


def test_its_outputs_are_of_what_it_sees(pair_set, weights):
    clean = proxy_data(pair_set, load_teacher(weights)).bank
    compressed = proxy_data(pair_set, load_teacher(f"{weights}:compressed")).bank
    assert clean.teacher.shape[1] == 1 and compressed.teacher.shape[1] == len(QPS)
    for level in range(len(QPS)):
        for place in range(0, len(clean.lr), 7):
            made = compressed.teacher[place, level].permute(1, 2, 0)[32:-32, 32:-32].float()
            shown = compressed.lr[place, level].permute(1, 2, 0).contiguous().numpy()
            wanted = torch.from_numpy(lanczos(shown)[32:-32, 32:-32].copy()).float()
            assert (made - wanted).abs().mean() < 2
    light, heavy = (compressed.teacher[:, level].float() for level in (0, -1))
    error = [float((made - compressed.hr).abs().mean()) for made in (light, heavy)]
    assert error[0] < error[1]


def test_a_step_hears_what_the_teacher_says_of_the_level_that_is_shown():
    generator = torch.Generator().manual_seed(0)
    lr = torch.randint(0, 256, (6, 2, 3, 32, 32), dtype=torch.uint8, generator=generator)
    hr = torch.randint(0, 256, (6, 3, 128, 128), dtype=torch.uint8, generator=generator)
    bank = PatchBank(lr, hr, teacher=torch.stack([255 - hr, hr], 1))
    gather = Gatherer(bank, 24)
    levels = torch.tensor([0, 1, 0, 1, 1])
    for turn in range(8):
        choice = replace(choose(bank, 5, 24, generator), levels=levels, turn=turn)
        for batch in (cut(bank, choice, 24), gather(choice.numbers())):
            truth, taught = torch.cat(batch.hr), torch.cat(batch.teacher)
            first = (levels == 0)[:, None, None, None]
            assert torch.equal(taught, torch.where(first, 255 - truth, truth))


def test_full_training_hears_it_too(pair_set):
    crops = Crops(pair_set.train, 16, QPS)
    said = [{qp: p.hr() if qp > 31 else 255 - p.hr() for qp in QPS} for p in pair_set.train]
    batches = BatchCutter(CropSource(crops, said), 8, (0,), "cpu", DistContext())
    chosen = crops.choose(8, np.random.default_rng((0, 3)))
    batch = batches.cut(3)
    for crop, truth, taught in zip(chosen, batch.hr, batch.teacher, strict=True):
        assert torch.equal(taught, 255 - truth if crop.qp == 31 else truth)


def test_it_is_another_teacher_by_name_and_digest_and_is_missed_by_its_own_name(weights):
    clean, compressed = load_teacher(weights), load_teacher(f"{weights}:compressed")
    assert (clean.input, compressed.input) == ("clean", "compressed")
    assert compressed.name == f"{clean.name}:compressed"
    assert compressed.digest != clean.digest
    with pytest.raises(InputError, match="there is no teacher 'nothing'"):
        load_teacher("nothing:compressed")
