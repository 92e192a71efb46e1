"""``nas evaluate``: figures by hand, nothing computed twice, pictures that show what is said."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
from photos import evaluation_set
from PIL import Image
from refusals import refused
from skimage import data as photographs
from skimage.metrics import peak_signal_noise_ratio
from torch import nn

from nas.common.errors import InputError
from nas.data.prepare import prepare
from nas.data.store import lanczos, open_set
from nas.measure.cost.memory import compute_memory
from nas.measure.evaluation.evaluate import LANCZOS, Upscaler, evaluate_all, upscaler_of
from nas.measure.evaluation.images import (
    CROP,
    CropBox,
    Panel,
    draw,
    extremes,
    most_different,
    side_by_side,
)
from nas.measure.evaluation.report import score
from nas.measure.metrics import psnr_cb, psnr_cr, psnr_y, ssim_y
from nas.measure.tiling import upscale_picture
from search_spaces import Architecture, build, fuse, published
from search_spaces.model_file import Model, load_model, save_model
from teachers.loading import Teacher

pytestmark = pytest.mark.usefixtures("own_place")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return evaluation_set(tmp_path_factory.mktemp("sets")).path


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "mine.safetensors"
    network = fuse(build(published["RepTCN"].architecture, seed=1))
    save_model(Model("mine", network, {"licence": "MIT"}), path)
    return path


def test_the_report_has_the_figures_that_one_computes_by_hand(nas, prepared, model_file, tmp_path):
    code, out, err = nas("evaluate", model_file, "--data", prepared, "--json")
    assert code == 0, err
    found = json.loads(out)
    (got,) = found["models"]
    network = load_model(model_file).network
    pictures = open_set(prepared).validation
    assert found["data"]["pictures"] == len(pictures) == 2
    for qp, row in zip((31, 63), got["per_qp"], strict=True):
        ours = [upscale_picture(network, p.lr(qp)).numpy() for p in pictures]
        base = [lanczos(p.lr(qp)) for p in pictures]
        by_hand = np.mean([psnr_y(a, p.hr()) for a, p in zip(ours, pictures, strict=True)])
        lanczos_db = np.mean([psnr_y(b, p.hr()) for b, p in zip(base, pictures, strict=True)])
        rgb = [
            peak_signal_noise_ratio(p.hr(), a, data_range=255)
            for a, p in zip(ours, pictures, strict=True)
        ]
        luma = [ssim_y(a, p.hr()) for a, p in zip(ours, pictures, strict=True)]
        assert row["qp"] == qp
        assert row["psnr_y_db"] == pytest.approx(by_hand, abs=1e-9)
        assert row["gain_db"] == pytest.approx(by_hand - lanczos_db, abs=1e-9)
        assert row["psnr_rgb_db"] == pytest.approx(np.mean(rgb), abs=1e-6)
        assert row["ssim_y"] == pytest.approx(np.mean(luma), abs=1e-9)
        for plane, chroma in (("cb", psnr_cb), ("cr", psnr_cr)):
            ours_db, base_db = (
                np.mean([chroma(a, p.hr()) for a, p in zip(made, pictures, strict=True)])
                for made in (ours, base)
            )
            assert row[f"psnr_{plane}_db"] == pytest.approx(ours_db, abs=1e-9)
            assert row[f"gain_{plane}_db"] == pytest.approx(ours_db - base_db, abs=1e-9)
    gains = [row["gain_db"] for row in got["per_qp"]]
    assert got["gain_db"] == pytest.approx(sum(gains) / 2)
    assert got["gain_cr_db"] == pytest.approx(got["mean"]["gain_cr_db"])
    table1 = got["table1"]
    assert table1["gain_db"] == got["gain_db"]  # the set has just the survey's QPs
    assert table1["psnr_y_qp63"] == got["per_qp"][1]["psnr_y_db"]
    assert got["runtime_kind"] == "predicted" and table1["runtime_ms"] == got["runtime_ms"]
    assert got["macs_organiser_g"] == pytest.approx(published["RepTCN"].table1.macs_g, abs=0.005)
    assert got["params"] == sum(p.numel() for p in network.parameters())
    assert got["memory_kind"] == "computed" and table1["memory_mb"] == got["memory_mb"]
    assert got["memory_mb"] == compute_memory(network, 540, 960, "float16").mb
    assert got["facts"] == {"licence": "MIT"}
    assert [row["name"] for row in found["survey"]] == [*published, "Lanczos"]
    assert any("has the layers of RepTCN" in note for note in found["notes"])


def test_the_files_hold_what_the_command_prints(nas, prepared, model_file, tmp_path):
    code, out, err = nas("evaluate", model_file, "--data", prepared, "--json")
    assert code == 0, err
    folder = tmp_path / "evaluations" / "mine"
    found = json.loads((folder / "evaluation.json").read_text())
    assert found == json.loads(out)
    with (folder / "pictures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 2  # the model and Lanczos, two pictures, two QPs
    gains = [float(row["gain_db"]) for row in rows if row["model"] == "mine"]
    assert np.mean(gains) == pytest.approx(found["models"][0]["gain_db"], abs=1e-6)
    gains = [float(row["gain_cb_db"]) for row in rows if row["model"] == "mine"]
    assert np.mean(gains) == pytest.approx(found["models"][0]["gain_cb_db"], abs=1e-6)
    with (folder / "table1.csv").open() as file:
        table1 = list(csv.DictReader(file))
    assert [row["source"] for row in table1] == ["photos"] * 2 + ["survey"] * 18
    assert float(table1[0]["gain_cr_db"]) and table1[1]["gain_cr_db"] == ""  # Lanczos itself
    assert table1[0]["runtime_kind"] == "predicted" and table1[2]["runtime_kind"] == "published"
    page = (folder / "evaluation.md").read_text()
    assert page.index("## In the form of Table 1") < page.index("Rows of the survey, on other")
    assert f"{found['models'][0]['gain_db']:+.3f} dB" in page
    assert f"Cr {found['models'][0]['gain_cr_db']:+.3f} dB" in page
    assert "| gain dB | Cb dB | Cr dB | PSNR-Y |" in page
    for which in ("best", "worst"):
        file = found["models"][0]["side_by_side"][which]["file"]
        assert f"({file})" in page
        with Image.open(folder / file) as image:
            assert image.width > 3 * CROP and image.getbbox() is not None


def test_several_models_get_a_row_each_and_people_a_table(nas, prepared, model_file, tmp_path):
    other = tmp_path / "other.safetensors"
    save_model(Model("mine", fuse(build(Architecture(width=4), seed=0))), other)
    code, out, err = nas("evaluate", model_file, other, model_file, "--data", prepared, "--quick")
    assert code == 0, err
    renamed = f"mine {load_model(other).digest[:6]}"  # two models of one name are distinguished
    rows = [line for line in out.splitlines() if line.startswith("mine") and "layers" not in line]
    assert len(rows) == 4 and sum(line.startswith(renamed) for line in rows) == 2
    assert "predicted" in out and "110 test images" in out and "VPEG-S" in out
    assert "evaluation.md" in err


def test_the_score_is_the_challenges():
    """All 16 scored rows of Table 1 follow from their gain and runtime."""
    for network in published.values():
        row = network.table1
        found = score(row.gain_db, row.runtime_ms)
        if row.score is None:
            assert found is None
        else:
            assert found == pytest.approx(row.score, abs=0.03)  # the table's gains are rounded


class Counted:
    """An upscaler that notes what it is asked, and can be stopped."""

    def __init__(self, stop_after=99):
        self.asked = 0
        self.stop_after = stop_after

    def upscaler(self):
        return Upscaler("counted", "counted-1", self.upscale)

    def upscale(self, small):
        if self.asked == self.stop_after:
            raise KeyboardInterrupt
        self.asked += 1
        return lanczos(small)


def test_a_killed_evaluation_goes_on_and_computes_nothing_twice(prepared, tmp_path):
    pictures = open_set(prepared).validation
    first, second, third = Counted(stop_after=3), Counted(), Counted()
    with pytest.raises(KeyboardInterrupt):
        evaluate_all([first.upscaler()], pictures, (31, 63))
    heard = []
    (whole,) = evaluate_all(
        [second.upscaler()], pictures, (31, 63), progress=lambda *got: heard.append(got)
    )
    assert second.asked == 1
    assert whole.gain_db() == 0
    assert [(done, total) for done, total, _ in heard] == [(n, 4) for n in (1, 2, 3, 4)]
    assert "+0.000 dB so far" in heard[-1][2]
    for entry in (tmp_path / "cache" / "evaluation").iterdir():
        entry.write_text('{"torn')
    assert evaluate_all([third.upscaler()], pictures, (31, 63)) == (whole,)
    assert third.asked == 4


def test_quick_figures_become_full_ones_and_the_other_way_round(prepared):
    pictures = open_set(prepared).validation[:1]
    counted = Counted()
    (quick,) = evaluate_all([counted.upscaler()], pictures, (31,), with_ssim=False)
    assert quick.over()[0].ssim_rgb is None
    (full,) = evaluate_all([counted.upscaler()], pictures, (31,))
    assert 0 < full.over()[0].ssim_y_organiser < 1 and counted.asked == 2
    assert evaluate_all([counted.upscaler()], pictures, (31,), with_ssim=False) == (quick,)
    assert counted.asked == 2


class Flat:
    name = "sky"

    def hr(self):
        return np.full((48, 64, 3), 90, np.uint8)

    def lr(self, qp):
        return np.full((12, 16, 3), 90, np.uint8)


def test_pictures_without_any_error_are_left_out_of_means(prepared):
    picture = open_set(prepared).validation[0]
    (alone,) = evaluate_all([LANCZOS], [picture], (31,))
    (both,) = evaluate_all([LANCZOS], [Flat(), picture], (31,))
    assert both.exact == ("sky",)
    assert both.over() == alone.over() and math.isfinite(both.gain_db())
    with pytest.raises(InputError, match="flat"):
        evaluate_all([LANCZOS], [Flat()], (31,))


def test_extremes_are_by_mean_gain_and_each_at_its_own_qp(prepared, model_file):
    upscaler = upscaler_of(load_model(model_file))
    (evaluation,) = evaluate_all([upscaler], open_set(prepared).validation, (31, 63))
    found = extremes(evaluation)
    gains = {f.picture: evaluation.gain_db_of(f.picture) for f in evaluation.figures}
    assert gains[found["best"].picture] == max(gains.values())
    assert gains[found["worst"].picture] == min(gains.values())
    same = [f.gain_db for f in evaluation.figures if f.picture == found["worst"].picture]
    assert found["worst"].gain_db == min(same)


class Cup:
    """A photograph that notes which LR of it is asked for."""

    name = "cup"

    def __init__(self) -> None:
        self.asked: list[int | None] = []

    def hr(self):
        return photographs.coffee()[:192, :192]

    def lr(self, qp):
        self.asked.append(qp)
        return self.hr()[::4, ::4]


class Nearest(nn.Module):
    def forward(self, x):
        return nn.functional.interpolate(x, scale_factor=4)


@pytest.mark.parametrize(("sees", "asked"), [("clean", {31, None}), ("compressed", {31})])
def test_a_teacher_is_shown_by_what_it_makes_of_the_lr_that_it_sees(sees, asked):
    picture, teacher = Cup(), Teacher("t", Nearest(), "", input=sees)
    (evaluation,) = evaluate_all([LANCZOS], [picture], (31,))
    draw("best", evaluation.figures[0], picture, LANCZOS, teacher)
    assert set(picture.asked) == asked


def test_the_place_shown_is_where_one_picture_beats_the_other_most():
    original = np.full((400, 500, 3), 100, np.uint8)
    base, ours = original.copy(), original.copy()
    base[300:330, 420:460] += 40
    base[20:200, 10:300] += 1  # larger, and of no account
    ours[100:140, 40:80] += 30  # where ours is the worse one
    place = most_different(ours, base, original, side=64)
    assert place.top <= 300 and place.top + 64 >= 330
    assert place.left <= 420 and place.left + 64 >= 460
    assert (place.top % 4, place.left % 4) == (0, 0)
    lost = most_different(base, ours, original, side=64)
    assert lost.top <= 100 and lost.top + 64 >= 140
    assert lost.left <= 40 and lost.left + 64 >= 80
    small = (picture[:40, :80] for picture in (ours, base, original))
    assert most_different(*small, side=64) == CropBox(0, 16, 40, 64)


def test_panels_show_pixels_as_they_are_and_errors_by_colour():
    original = photographs.coffee()[:200, :200]
    darker = (original // 2).astype(np.uint8)
    place = CropBox(4, 4, CROP, CROP)
    panels = [Panel("Lanczos", place.of(darker)), Panel("ours", place.of(original))]
    image = np.asarray(side_by_side("t", "s", panels, original, place))
    shown = place.of(darker).repeat(2, 0).repeat(2, 1)
    windows = [image[116:500, left : left + 384] for left in (14, 412, 810)]
    assert np.array_equal(windows[0], shown)
    assert np.array_equal(windows[1], windows[2])  # ours is the original here
    error = image[564:948, 14:398].astype(int)
    assert error[..., 2].mean() > error[..., 0].mean() + 20  # darker than the original is blue
    assert (image[564:948, 412:796] == 255).all()  # no error is white


def test_an_error_of_colour_is_seen_though_luma_is_right():
    original = np.full((CROP, CROP, 3), 120, np.uint8)
    reddish = original + np.array([8, -4, 0], np.int8).astype(np.uint8)
    place = CropBox(0, 0, CROP, CROP)
    panels = [Panel("Lanczos", original), Panel("ours", reddish)]
    image = np.asarray(side_by_side("t", "s", panels, original, place)).astype(int)
    rows = slice(1012, 1396)
    assert (image[564:948, 412:796] >= 245).all()  # luma: next to white
    assert (image[rows, 14:398] == 128).all()  # no error of colour is grey
    red, green, blue = image[rows, 412:796].reshape(-1, 3).mean(0)
    assert red > 180 and green < 100 and abs(blue - 128) < 3


def test_bad_input_is_reported_in_one_sentence(nas, prepared, model_file, tmp_path):
    (tmp_path / "note.safetensors").write_text("no weights")
    given = ("--data", prepared, "--quick")
    refused(nas("evaluate", "note.safetensors", *given), "note.safetensors", "is not a model")
    refused(nas("evaluate", "absent.safetensors", *given), "absent.safetensors")
    refused(nas("evaluate", model_file, "--data", tmp_path), str(tmp_path))
    refused(nas("evaluate", model_file, *given, "--device", "abacus"), "--device abacus")
    refused(nas("evaluate", model_file, *given, "--target", "moon"), "'moon'")
    refused(nas("evaluate", model_file, *given, "--teacher", "absent"), "absent")
    (tmp_path / "file").write_text("")
    refused(nas("evaluate", model_file, *given, "--out", "file"), "--out file")


def test_sets_that_cannot_be_evaluated_on_are_named(nas, model_file, tmp_path):
    (tmp_path / "hr").mkdir()
    tiny = photographs.coffee()[:8, :40]
    Image.fromarray(tiny).save(tmp_path / "hr" / "tiny.png")

    class Small(Flat):
        def hr(self):
            return tiny

        def lr(self, qp):
            return tiny[::4, ::4]

    with pytest.raises(InputError, match="sky has 8x40 pixels and SSIM needs 11x11"):
        evaluate_all([LANCZOS], [Small()], (31,))
    (found,) = evaluate_all([LANCZOS], [Small()], (31,), with_ssim=False)
    assert found.gain_db() == 0
    Image.fromarray(photographs.coffee()[:256, :256]).save(tmp_path / "hr" / "tiny.png")
    prepare(tmp_path / "hr", tmp_path / "set", qps=(47,), validation=0.0)
    refused(nas("evaluate", model_file, "--data", "set"), "set", "holds out no images")


def test_a_set_without_the_surveys_qps_has_no_row_and_no_score(nas, model_file, tmp_path):
    (tmp_path / "hr").mkdir()
    for name, picture in (("a", photographs.coffee()), ("b", photographs.chelsea())):
        Image.fromarray(picture[:256, :256]).save(tmp_path / "hr" / f"{name}.png")
    prepare(tmp_path / "hr", tmp_path / "set", qps=(47,), validation=0.5)
    code, out, err = nas("evaluate", model_file, "--data", "set", "--quick", "--json")
    assert code == 0, err
    (got,) = json.loads(out)["models"]
    assert got["table1"] is None and got["score"] is None
    assert set(got["side_by_side"]) == {"best"}
    code, out, err = nas("evaluate", model_file, "--data", "set", "--quick")
    assert "Table 1 needs QP 31 and 63" in out and "In the form" not in out
