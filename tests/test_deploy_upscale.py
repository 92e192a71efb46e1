"""``nas upscale``: people's picture files, whatever they are, four times as large."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from refusals import refused
from skimage import data as photographs

from nas.deploy.images import Picture
from nas.deploy.paths import Job, plan
from nas.deploy.uint8_network import Uint8Network
from nas.deploy.upscale import Settings, spread, upscale, upscale_files
from nas.measure.tiling import upscale_picture
from search_spaces import Architecture, InputError, build, fuse, load_model, published
from search_spaces.model_file import model_bytes

COFFEE = photographs.coffee()[100:148, 150:214]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def nas(nas, monkeypatch, tmp_path):
    """Run ``nas upscale`` with a model, in its own folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    network = build(published["RepTCN"].architecture, seed=0)
    (tmp_path / "m.safetensors").write_bytes(model_bytes(network, "m"))

    def run(*arguments, model="m.safetensors"):
        return nas("upscale", *arguments, "--model", model)

    return run


def save(path, picture, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    picture.save(path, **options)
    return path


def logo(hidden):
    """A red disc on nothing; ``hidden`` is the colour that stands where nothing is seen."""
    rows, columns = np.mgrid[:48, :64]
    inside = (rows - 24) ** 2 + (columns - 32) ** 2 < 300
    pixels = np.where(inside[:, :, None], [230, 30, 30, 255], [*hidden, 0])
    return Image.fromarray(pixels.astype(np.uint8))


def made(nas, picture, tmp_path, name="in.png", out="out.png", **options):
    """The upscaled form of a picture, and what was said of it."""
    code, _, err = nas(save(tmp_path / name, picture, **options), "-o", out)
    assert code == 0, err
    return Image.open(tmp_path / out), err


def networks_own(tmp_path, pixels):
    return upscale_picture(load_model(tmp_path / "m.safetensors").network, pixels).numpy()


@pytest.mark.parametrize("name", ["x.avif", "x.jpg", "x.webp", "x.png", "x.tif", "x.bmp", "x.gif"])
def test_the_network_sees_the_decoded_pixels_of_every_format(nas, tmp_path, name):
    path = save(tmp_path / name, COFFEE)
    code, out, err = nas(path, "-o", "out.png")
    assert code == 0 and "256x192" in out, err
    with Image.open(path) as decoded:
        wanted = networks_own(tmp_path, np.asarray(decoded.convert("RGB")))
    assert np.abs(np.asarray(Image.open("out.png")).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize(
    ("out", "near"), [("o.avif", 4), ("o.jpg", 3), ("o.webp", 4), ("o.png", 1e-3)]
)
def test_every_format_is_written(nas, tmp_path, out, near):
    picture, _ = made(nas, COFFEE, tmp_path, out=out)
    wanted = networks_own(tmp_path, COFFEE).astype(int)
    assert np.abs(np.asarray(picture) - wanted).mean() <= near


@pytest.mark.parametrize("out", ["o.avif", "o.jpg", "o.webp", "o.png"])
def test_a_turned_picture_comes_out_upright_with_its_data_and_profile(nas, tmp_path, out):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x8298] = 6, "Maker", "the owner"
    exif.get_ifd(0x8769)[0xA002] = 64
    exif.get_ifd(0x8825)[1] = "N"
    picture, err = made(nas, COFFEE, tmp_path, "in.jpg", out, exif=exif, icc_profile=SRGB)
    assert picture.size == (192, 256) and "turned upright" in err
    kept = picture.getexif()
    assert kept.get(0x0112, 1) == 1 and kept[0x010F] == "Maker" and kept[0x8298] == "the owner"
    assert kept.get_ifd(0x8769)[0xA002] == 192 and kept.get_ifd(0x8825)[1] == "N"
    assert picture.info["icc_profile"] == SRGB
    with Image.open(tmp_path / "in.jpg") as stored:
        wanted = networks_own(tmp_path, np.rot90(np.asarray(stored), -1))
    assert np.abs(np.asarray(picture).astype(int) - wanted).mean() < 5


def test_grey_stays_grey(nas, tmp_path):
    grey = Image.fromarray(COFFEE).convert("L")
    picture, _ = made(nas, grey, tmp_path)
    assert picture.mode == "L" and picture.size == (256, 192)
    assert np.abs(np.asarray(picture.resize(grey.size, 4)).astype(int) - grey).mean() < 8
    assert made(nas, grey.convert("1"), tmp_path, out="bits.png")[0].mode == "L"


def test_transparency_is_kept_and_what_it_hides_does_not_show(nas, tmp_path):
    pictures = []
    for name, hidden in (("a.png", (0, 0, 0)), ("b.png", (0, 255, 0))):
        picture, _ = made(nas, logo(hidden), tmp_path, name, f"out-{name}")
        assert picture.mode == "RGBA"
        pictures.append(np.asarray(picture))
    assert np.array_equal(*pictures)
    seen = pictures[0][pictures[0][..., 3] > 64]
    assert (np.abs(seen[:, :3].astype(int) - [230, 30, 30]).max(1) < 40).mean() > 0.99
    assert pictures[0][0, 0, 3] == 0 and pictures[0][96, 128, 3] == 255
    assert made(nas, logo((0, 0, 0)).convert("LA"), tmp_path, "la.png", "la-4x.png")[0].mode == "LA"
    indexed, _ = made(nas, logo((0, 0, 0)).quantize(8), tmp_path, "p.png", "p.webp")
    assert indexed.mode == "RGBA"
    flat, err = made(nas, logo((0, 0, 0)), tmp_path, "c.png", "c.jpg")
    assert "over white" in err and np.asarray(flat)[0, 0].min() > 250


def test_spreading_changes_hidden_pixels_only():
    colour = np.zeros((5, 7, 3), np.uint8)
    alpha = np.zeros((5, 7), np.uint8)
    colour[1, 2], alpha[1, 2] = (200, 100, 50), 9
    assert (spread(colour, alpha) == (200, 100, 50)).all()
    colour[4, 6], alpha[4, 6] = (0, 0, 90), 255
    filled = spread(colour, alpha)
    assert tuple(filled[1, 2]) == (200, 100, 50) and tuple(filled[4, 6]) == (0, 0, 90)
    assert (filled[0, 0] == filled[1, 2]).all()
    assert spread(colour, np.full_like(alpha, 1)) is colour
    assert spread(colour, np.zeros_like(alpha)) is colour


def test_cmyk_becomes_rgb_without_its_profile(nas, tmp_path):
    cmyk = Image.fromarray(COFFEE).convert("CMYK")
    picture, err = made(nas, cmyk, tmp_path, "in.jpg", icc_profile=b"not a profile")
    assert picture.mode == "RGB" and "icc_profile" not in picture.info and "CMYK" in err
    assert np.abs(np.asarray(picture.resize((64, 48), 4)).astype(int) - COFFEE).mean() < 12


def test_a_profile_of_another_kind_of_picture_is_not_kept(nas, tmp_path):
    grey = Image.fromarray(COFFEE).convert("L")
    picture, err = made(nas, grey, tmp_path, icc_profile=SRGB)
    assert "icc_profile" not in picture.info and "profile" in err


def test_sixteen_bits_become_eight_and_that_is_said(nas, tmp_path):
    ramp = np.linspace(0, 65535, 48 * 64).astype(np.uint16).reshape(48, 64)
    picture, err = made(nas, ramp, tmp_path)
    assert picture.mode == "L" and "16 bits rounded to 8" in err
    assert np.asarray(picture)[100, 128] == pytest.approx(ramp[25, 32] / 257, abs=4)


@pytest.mark.parametrize("name", ["x.gif", "x.webp", "x.avif", "x.png"])
def test_of_an_animation_the_first_frame_is_taken_and_that_is_said(nas, tmp_path, name):
    others = [Image.fromarray(COFFEE[::-1].copy())]
    picture, err = made(nas, COFFEE, tmp_path, name, save_all=True, append_images=others)
    assert "first frame of several" in err
    assert np.abs(np.asarray(picture.convert("RGB").resize((64, 48), 4)) - 1.0 * COFFEE).mean() < 14


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (13, 2)])
def test_the_smallest_and_oddest_sizes(nas, tmp_path, size):
    picture, _ = made(nas, COFFEE[: size[0], : size[1]].copy(), tmp_path)
    assert picture.size == (4 * size[1], 4 * size[0])


def test_a_folder_keeps_its_places_and_goes_on_where_it_was(nas, tmp_path):
    save(tmp_path / "in" / "a.png", COFFEE)
    save(tmp_path / "in" / "a.jpg", COFFEE)
    save(tmp_path / "in" / "deep" / "b.v2.webp", COFFEE)
    torn = save(tmp_path / "in" / "torn.png", COFFEE)
    torn.write_bytes(torn.read_bytes()[:2000])
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    code, out, err = nas("in", "-o", "out", "--json")
    assert code == 2 and "torn.png" in err and "1 of 4 images" in err
    got = next(p for p in json.loads(out)["pictures"] if p["source"] == "in/torn.png")
    assert got["status"] == "failed" and "damaged" in got["notes"][0]
    wanted = {"out/a.png.png", "out/a.jpg.png", "out/deep/b.v2.png"}
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.glob("out/**/*.*")} == wanted
    (tmp_path / "out" / "a.png.png").unlink()
    kept = (tmp_path / "out" / "a.jpg.png").stat().st_mtime_ns
    code, out, err = nas("in", "-o", "out")
    assert code == 2 and "1 images upscaled, 2 already there, 1 skipped" in out, err
    assert (tmp_path / "out" / "a.jpg.png").stat().st_mtime_ns == kept
    assert nas("in/a.png", "-o", "out/a.png.png", "--force")[0] == 0


def test_without_an_output_the_result_stands_beside_the_input(nas, tmp_path):
    save(tmp_path / "photos" / "me.avif", COFFEE)
    assert nas("photos/me.avif")[0] == 0
    assert (tmp_path / "photos" / "me-4x.png").exists()
    assert nas("photos", "--format", "avif")[0] == 0
    made = {path.name for path in (tmp_path / "photos-4x").iterdir()}
    assert made == {"me.avif", "me-4x.avif"}


def test_inputs_are_never_overwritten(nas, tmp_path):
    path = save(tmp_path / "a.png", COFFEE)
    before = path.read_bytes()
    refused(nas(path, "-o", path, "--force"), "a.png", "never overwritten")
    refused(nas(path, "-o", tmp_path, "--force"), "a.png", "never overwritten")
    save(tmp_path / "in" / "b.png", COFFEE)
    refused(nas("in", "-o", "in", "--force"), "in")
    (tmp_path / "link.png").symlink_to(path)
    refused(nas(path, "-o", "link.png", "--force"), "never overwritten")
    assert path.read_bytes() == before


def test_a_picture_larger_than_the_limit_is_refused_by_its_header(nas, tmp_path):
    save(tmp_path / "a.png", Image.new("L", (1500, 1000)))
    refused(nas("a.png", "--max-megapixels", "1"), "a.png", "more than 1 megapixels")
    assert list(tmp_path.glob("*-4x*")) == []


def test_what_cannot_be_done_is_said_in_a_sentence(nas, tmp_path):
    save(tmp_path / "a.png", COFFEE)
    save(tmp_path / "b.png", COFFEE)
    refused(nas("absent.png"), "absent.png")
    refused(nas("a.png", "b.png", "-o", "c.png"), "c.png", "folder")
    refused(nas("a.png", "-o", "c.gif"), "c.gif", "png, avif, jpeg, webp")
    refused(nas("a.png", "-o", "c.png", "--format", "avif"), "--format")
    refused(nas("a.png", "--format", "bmp"), "'bmp'")
    refused(nas("a.png", "--quality", 50), "lossless")
    refused(nas("a.png", "--format", "avif", "--quality", 101), "--quality 101")
    refused(nas("a.png", "--tile", 8), "--tile 8")
    refused(nas("a.png", model="absent.safetensors"), "absent.safetensors")
    if not torch.cuda.is_available():
        refused(nas("a.png", "--half"), "--half", "CUDA")
        refused(nas("a.png", "--device", "cuda"), "cuda")


def test_webp_says_what_it_cannot_hold(nas, tmp_path):
    save(tmp_path / "wide.png", Image.new("RGB", (4200, 1)))
    refused(nas("wide.png", "-o", "wide.webp"), "wide.png", "16800x4", "webp")


def test_tiles_give_the_same_picture(nas, tmp_path):
    path = save(tmp_path / "a.png", photographs.coffee()[:130, :200])
    assert nas(path, "-o", "whole.png")[0] == nas(path, "-o", "tiled.png", "--tile", "64")[0] == 0
    whole, tiled = (np.asarray(Image.open(name)).astype(int) for name in ("whole.png", "tiled.png"))
    assert np.abs(whole - tiled).max() <= 1


class Hungry(Uint8Network):
    """A network on a machine that has memory for few rows only."""

    def __init__(self, rows):
        super().__init__(fuse(build(Architecture(), seed=0)))
        self.rows = rows

    def forward(self, pixels):
        if len(pixels) > self.rows:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return super().forward(pixels)


def test_when_memory_is_short_strips_become_smaller():
    picture = Picture(photographs.coffee()[:300, :400])
    wanted = upscale(Hungry(9999), picture)
    assert np.array_equal(upscale(Hungry(90), picture).colour, wanted.colour)


def test_one_picture_too_large_for_the_memory_does_not_stop_the_others(tmp_path):
    jobs = []
    for name, side in (("large", 300), ("small", 4)):
        source = save(tmp_path / f"{name}.png", photographs.coffee()[:side, :side])
        jobs.append(Job(source, tmp_path / "out" / f"{name}.png"))
    results = list(upscale_files(jobs, Hungry(4), Settings()))
    assert [result.status for result in results] == ["failed", "made"]
    assert "not enough memory" in results[0].notes[0]


def test_a_full_disk_stops_the_work_and_leaves_nothing_half(tmp_path, monkeypatch):
    source = save(tmp_path / "a.png", COFFEE)
    target = tmp_path / "out" / "a.png"

    def full(self, file, *arguments, **options):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space"):
        list(upscale_files([Job(source, target)], Hungry(99), Settings()))
    assert list(target.parent.iterdir()) == []


def test_two_inputs_that_would_become_one_file_are_refused(tmp_path):
    for folder in ("one", "two"):
        save(tmp_path / folder / "a.png", COFFEE)
    with pytest.raises(InputError, match=r"several pictures would become .*a\.png"):
        plan([tmp_path / "one" / "a.png", tmp_path / "two" / "a.png"], tmp_path / "out", "avif")


def test_a_pipe_is_no_picture(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match=r"no picture or folder .*pipe\.png"):
        plan([tmp_path / "pipe.png"], None, "png")
