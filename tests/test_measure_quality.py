"""Quality metrics against scikit-image and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.signal import convolve2d
from skimage import data
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from nas.data.store import lanczos
from nas.measure.metrics import (
    CHROMA_FLOOR,
    fidelity,
    psnr,
    psnr_cb,
    psnr_cr,
    psnr_y,
    psnr_y_organiser,
    ssim,
    ssim_y,
    ssim_y_organiser,
)
from nas.measure.quality import Quality, evaluate
from nas.measure.tiling import receptive_field, to_input, to_uint8, upscale_picture
from search_spaces import Architecture, Stage, Tail, build, fuse


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


def chroma(picture):
    """Cb and Cr of JPEG (BT.601, full range), in NumPy by their definition: scaled B-Y and R-Y."""
    red, green, blue = np.moveaxis(picture.astype(float), 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return (blue - luma) / 1.772, (red - luma) / 1.402


def test_chroma_psnr_is_that_of_cb_and_cr_in_full_range(pair):
    planes = zip(*(chroma(picture) for picture in pair), strict=True)
    by_hand = [10 * math.log10(255**2 / np.mean((a - b) ** 2)) for a, b in planes]
    assert [psnr_cb(*pair), psnr_cr(*pair)] == pytest.approx(by_hand, abs=1e-4)
    assert psnr_cb(pair[0], pair[0]) == math.inf == psnr_cr(pair[0], pair[0])


def test_the_figures_of_a_picture_are_those_of_each_function(pair):
    found = fidelity(*pair)
    assert found.psnr_rgb_db == psnr(*pair) and found.psnr_y_db == psnr_y(*pair)
    assert found.psnr_y_organiser_db == psnr_y_organiser(*pair)
    assert (found.psnr_cb_db, found.psnr_cr_db) == (psnr_cb(*pair), psnr_cr(*pair))
    assert (found.ssim_y, fidelity(*pair, with_ssim=False).ssim_y) == (ssim_y(*pair), None)


def test_a_picture_is_gone_over_once_for_all_its_psnr(pair, monkeypatch):
    seen = []
    monkeypatch.setattr("nas.measure.metrics._check", lambda a, b: seen.append(a.shape))
    fidelity(*pair, with_ssim=False)
    assert len(seen) == 1


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


def organisers_figures(a, b):
    """PSNR-Y and SSIM by the organisers' formulas, written out: their luma, their window.

    They filter the whole picture with the outer product of a normalised 11-tap Gaussian and cut 5
    pixels off each side, which leaves where the window fits.
    """
    taps = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / np.outer(taps, taps).sum()

    def luma(picture):  # written for B, G, R and given R, G, B
        return picture.astype(float) @ np.array([24.966, 128.553, 65.481]) / 255 + 16

    def blurred(channel):
        return convolve2d(channel, window, mode="valid")

    def ssim_of(x, y):
        mx, my = blurred(x), blurred(y)
        vx, vy = blurred(x * x) - mx**2, blurred(y * y) - my**2
        cov = blurred(x * y) - mx * my
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        top, bottom = (2 * mx * my + c1) * (2 * cov + c2), (mx**2 + my**2 + c1) * (vx + vy + c2)
        return (top / bottom).mean()

    x, y = luma(a), luma(b)
    psnr_luma = 20 * math.log10(255 / math.sqrt(((x - y) ** 2).mean()))
    channels = [ssim_of(a[..., c].astype(float), b[..., c].astype(float)) for c in range(3)]
    return psnr_luma, ssim_of(x, y), float(np.mean(channels))


def test_luma_and_ssim_are_the_organisers(pair):
    psnr_luma, ssim_luma, ssim_channels = organisers_figures(*pair)
    assert psnr_y_organiser(*pair) == pytest.approx(psnr_luma, abs=1e-6)
    assert ssim_y_organiser(*pair) == pytest.approx(ssim_luma, abs=1e-6)
    assert ssim(*pair) == pytest.approx(ssim_channels, abs=1e-6)


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


class Photograph:
    """A crop as a set would give it: its LR made by Pillow, noisier at higher QPs."""

    def __init__(self, top):
        self.pixels = data.astronaut()[top : top + 96, 40:168]

    def hr(self):
        return self.pixels

    def lr(self, qp):
        small = Image.fromarray(self.pixels).resize((32, 24), Image.Resampling.LANCZOS)
        noise = np.random.default_rng(0).normal(0, (qp or 0) / 8, (24, 32, 3))
        return np.clip(np.asarray(small) + noise, 0, 255).round().astype(np.uint8)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    return tmp_path / "baseline"


def test_a_network_is_evaluated_against_lanczos_per_qp(cache):
    pictures = [Photograph(0), Photograph(100)]
    network = fuse(build(Architecture(width=8, residual="lanczos"), seed=1))
    quality = evaluate(network, pictures, (31, 63))
    for qp in (31, 63):
        by_hand = [psnr_y(lanczos(p.lr(qp)), p.hr()) for p in pictures]
        assert quality.lanczos_psnr_y_db[qp] == pytest.approx(np.mean(by_hand), abs=1e-12)
        ours = [
            psnr_y(to_uint8(network(to_input(p.lr(qp)))[0]), torch.tensor(p.hr())) for p in pictures
        ]
        assert quality.psnr_y_db[qp] == pytest.approx(np.mean(ours), abs=1e-12)
    gains = quality.gain_db_per_qp
    assert quality.gain_db == pytest.approx((gains[31] + gains[63]) / 2)


def test_lanczos_figures_are_kept_by_content(cache, monkeypatch):
    network = build(Architecture(width=4))
    first = evaluate(network, [Photograph(0)], (31, None))
    assert len(list(cache.iterdir())) == 2
    monkeypatch.setattr("nas.measure.quality.lanczos", None)  # not called again
    assert evaluate(network, [Photograph(0)], (31, None)) == first
    for content in ("{ torn", '{"psnr_y_db": 30.0}'):  # damaged, or of an earlier version
        next(cache.iterdir()).write_text(content)
        with pytest.raises(TypeError):  # it is computed again
            evaluate(network, [Photograph(0)], (31, None))


class Grey(Photograph):
    """The same without colour."""

    def __init__(self, top):
        super().__init__(top)
        self.pixels = self.pixels[..., 1:2].repeat(3, 2)

    def lr(self, qp):
        return super().lr(qp)[..., 1:2].repeat(3, 2)


class Shifted(torch.nn.Module):
    """Nearest neighbour, with so many levels added to red, green and blue."""

    def __init__(self, *levels):
        super().__init__()
        self.levels = torch.tensor(levels).view(1, 3, 1, 1) / 255

    def forward(self, x):
        return torch.nn.functional.interpolate(x, scale_factor=4) + self.levels


def test_a_network_that_tints_grey_loses_colour_alone(cache):
    plain = evaluate(Shifted(0, 0, 0), [Grey(0)], (31, 63))
    assert plain.gain_cb_db == plain.gain_cr_db == plain.colour_gain_db == 0
    # Red up and green down by as much as leaves luma and Cb where they are.
    tinted = evaluate(Shifted(8, -4, 0), [Grey(0)], (31, 63))
    assert tinted.gain_db == pytest.approx(plain.gain_db, abs=0.02)
    cap = 10 * math.log10(255**2 / CHROMA_FLOOR)
    assert all(base.cb == base.cr == pytest.approx(cap) for base in tinted.lanczos.values())
    assert -30 < tinted.gain_cr_db < -15 and tinted.gain_cb_db == 0
    assert tinted.colour_gain_db == tinted.gain_cr_db


def test_qualities_of_pictures_have_the_mean_that_all_of_them_have(cache):
    network, pictures = Shifted(3, 0, 1), [Photograph(0), Photograph(100)]
    parts = [evaluate(network, [picture], (31, 63)) for picture in pictures]
    whole, mean = evaluate(network, pictures, (31, 63)), Quality.mean(parts)
    for one, other in ((whole.ours, mean.ours), (whole.lanczos, mean.lanczos)):
        assert one[31] == pytest.approx(other[31]) and one[63] == pytest.approx(other[63])


STRIPPED = [
    Architecture(width=6, stages=(Stage("ecb", 6, 2),), residual="lanczos", skip="long"),
    Architecture(stem="unshuffle3", width=6, tail=Tail(cascade=3), residual="lr"),
    Architecture(stem="strided2x4", width=6, stages=(Stage("conv", 8, 2),), residual="bicubic"),
    Architecture(stem="unshuffle4", width=6, inputs="gradient", skip="concat", tail=Tail(kernel=1)),
]


@pytest.mark.parametrize("architecture", STRIPPED, ids=lambda a: a.label)
def test_strips_give_the_picture_that_the_whole_gives(architecture):
    # Double precision, so that the sums of differently sized convolutions round alike.
    network = fuse(build(architecture, seed=3)).double()
    picture = np.random.default_rng(5).integers(0, 256, (149, 37, 3), dtype=np.uint8)
    whole = upscale_picture(network, picture)
    strips = upscale_picture(network, picture, strip_pixels=37 * 40)
    assert torch.equal(strips, whole)


def test_a_network_that_pools_over_the_picture_is_never_cut():
    class Global(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.interpolate(x * x.mean((2, 3), keepdim=True), scale_factor=4)

    assert receptive_field(Global()) is None
    picture = data.astronaut()[:64, :64]
    assert torch.equal(
        upscale_picture(Global(), picture), upscale_picture(Global(), picture, strip_pixels=64)
    )
