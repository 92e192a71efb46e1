"""Quality metrics against scikit-image and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage import data
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from nas.measure.quality import (
    psnr,
    psnr_y,
    psnr_y_organiser,
    ssim,
    ssim_y,
    to_input,
    to_uint8,
)


@pytest.fixture(scope="module")
def pair():
    """A photograph of an odd size and a noisy copy of it."""
    clean = data.astronaut()[:201, :317]
    noise = np.random.default_rng(0).normal(0, 9, clean.shape)
    return clean, np.clip(clean + noise, 0, 255).round().astype(np.uint8)


def test_psnr_is_scikit_images_to_the_last_bit(pair):
    assert psnr(*pair) == peak_signal_noise_ratio(*pair, data_range=255)


def test_luma_psnr_is_bt601_studio_range_without_rounding(pair):
    a, b = (rgb2ycbcr(picture)[..., 0] for picture in pair)
    assert psnr_y(*pair) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-9)


def test_the_organisers_luma_swaps_red_and_blue(pair):
    swapped = [picture[..., ::-1] for picture in pair]
    assert psnr_y_organiser(*pair) == pytest.approx(psnr_y(*swapped), abs=1e-12)
    assert psnr_y_organiser(*pair) != pytest.approx(psnr_y(*pair), abs=1e-3)


def reference_ssim(a, b):
    """scikit-image's map (its Gaussian of 11 taps is truncate 3.5), cut to the valid region."""
    _, quality = structural_similarity(
        a,
        b,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        full=True,
    )
    return quality[5:-5, 5:-5].mean()


def test_ssim_is_scikit_images_on_the_valid_region(pair):
    a, b = pair
    channels = [reference_ssim(a[..., c].astype(float), b[..., c].astype(float)) for c in range(3)]
    assert ssim(a, b) == pytest.approx(np.mean(channels), abs=1e-9)
    assert ssim_y(a, b) == pytest.approx(
        reference_ssim(rgb2ycbcr(a)[..., 0], rgb2ycbcr(b)[..., 0]), abs=1e-9
    )


@pytest.mark.parametrize("size", [(11, 11), (43, 42), (44, 75), (75, 43)])
def test_ssim_of_sizes_around_its_strips_and_blocks(pair, size):
    a, b = (picture[: size[0], : size[1]] for picture in pair)
    channels = [reference_ssim(a[..., c].astype(float), b[..., c].astype(float)) for c in range(3)]
    assert ssim(a, b) == pytest.approx(np.mean(channels), abs=1e-9)


def test_equal_pictures_are_perfect(pair):
    assert psnr(pair[0], pair[0]) == math.inf == psnr_y(pair[0], pair[0])
    assert ssim(pair[0], pair[0]) == pytest.approx(1, abs=1e-12)


def test_tensors_arrays_and_read_only_maps_give_the_same(pair, tmp_path):
    np.save(tmp_path / "a.npy", pair[0])
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    tensors = [torch.from_numpy(picture.copy()) for picture in pair]
    assert psnr(mapped, pair[1]) == psnr(*pair) == psnr(*tensors)
    assert ssim(mapped, pair[1]) == ssim(*pair) == ssim(*tensors)


def test_eight_bits_are_clamped_and_rounded_to_even():
    values = torch.tensor([-0.2, 0.5 / 255, 1.5 / 255, 0.5, 1.3]).expand(3, 1, 5)
    assert to_uint8(values)[0, :, 0].tolist() == [0, 0, 2, 128, 255]


def test_pixels_survive_the_way_into_a_network_and_back(pair):
    assert np.array_equal(to_uint8(to_input(pair[0])[0]).numpy(), pair[0])


def test_what_cannot_be_compared_is_refused(pair):
    with pytest.raises(ValueError, match="both"):
        psnr(pair[0], pair[1][:-1])
    with pytest.raises(ValueError, match="11x11"):
        ssim(pair[0][:10], pair[1][:10])
