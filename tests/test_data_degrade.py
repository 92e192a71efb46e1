"""The LR pictures are those of the survey's command, byte for byte."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from nas.common.errors import InputError
from nas.data.encode import CLEAN, QPS, encode_lr, encoder, ffmpeg_binary
from nas.data.store import lanczos

SURVEY = (
    "scale=ceil(iw/4):ceil(ih/4):flags=lanczos+accurate_rnd+full_chroma_int"
    ":sws_dither=none:param0=5"
)


def surveys_command(hr_png, out, qp=None):
    """The command of section 2.2, as a shell would run it once a picture and QP."""
    command = [ffmpeg_binary(), "-hide_banner", "-y", "-loglevel", "error", "-i", hr_png]
    command += ["-vf", SURVEY]
    command += [] if qp is None else ["-c:v", "libsvtav1", "-qp", str(qp), "-preset", "5"]
    subprocess.run([*command, out], check=True, capture_output=True)
    return out.read_bytes()


@pytest.mark.parametrize(("height", "width"), [(400, 600), (396, 268)], ids=["even LR", "odd LR"])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_one_call_for_all_qps_writes_the_very_files_of_one_call_each(
    tmp_path, height, width, threads
):
    hr = photographs.coffee()[:height, :width]
    Image.fromarray(hr).save(tmp_path / "hr.png")
    qps = QPS if threads == 1 else (31, 63)
    outputs = {CLEAN: tmp_path / "clean.png", **{qp: tmp_path / f"{qp}.avif" for qp in qps}}

    encode_lr(hr, outputs, threads=threads)

    for qp in qps:
        survey = surveys_command(tmp_path / "hr.png", tmp_path / "survey.avif", qp)
        assert outputs[qp].read_bytes() == survey, f"QP {qp}"
    surveys_command(tmp_path / "hr.png", tmp_path / "survey.png")
    ours, theirs = (Image.open(tmp_path / name) for name in ("clean.png", "survey.png"))
    assert np.array_equal(np.asarray(ours.convert("RGB")), np.asarray(theirs.convert("RGB")))
    assert ours.size == (width // 4, height // 4)


def test_a_subset_of_qps_can_be_made_alone(tmp_path):
    hr = photographs.coffee()[:256, :256]
    encode_lr(hr, {63: tmp_path / "alone.avif"})
    encode_lr(hr, {47: tmp_path / "47.avif", 63: tmp_path / "with others.avif"})
    encode_lr(hr, {CLEAN: tmp_path / "clean.png"})
    alone, with_others = (tmp_path / name for name in ("alone.avif", "with others.avif"))
    assert alone.read_bytes() == with_others.read_bytes()
    assert (tmp_path / "47.avif").stat().st_size > alone.stat().st_size
    assert Image.open(tmp_path / "clean.png").size == (64, 64)


def test_file_names_are_no_options_or_protocols_to_ffmpeg(tmp_path):
    place = tmp_path / "a:b %03d" / "-x.avif"
    place.parent.mkdir()
    encode_lr(photographs.coffee()[:256, :256], {63: place})
    assert place.stat().st_size > 0


def test_the_encoder_tells_its_versions():
    assert encoder().ffmpeg
    assert encoder().svt_av1[0].isdigit()
    assert str(encoder()).startswith("ffmpeg ")


def test_a_refusal_carries_ffmpegs_reason(tmp_path):
    with pytest.raises(RuntimeError, match="No such file or directory"):
        encode_lr(photographs.coffee()[:256, :256], {63: tmp_path / "missing" / "x.avif"})


def test_an_ffmpeg_without_the_encoder_is_named(tmp_path, monkeypatch):
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho 'Unknown encoder' >&2; exit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
    encoder.cache_clear()
    with pytest.raises(InputError, match="cannot encode with libsvtav1"):
        encoder()
    encoder.cache_clear()


def test_the_baseline_is_pillows_lanczos():
    lr = photographs.coffee()[:20, :30]
    hr = lanczos(lr)
    assert hr.shape == (80, 120, 3) and hr.dtype == np.uint8
    assert np.array_equal(hr, np.asarray(Image.fromarray(lr).resize((120, 80), Image.LANCZOS)))
