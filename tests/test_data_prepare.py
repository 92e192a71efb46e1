"""Preparing a set: what is made, what is reused, what is refused, and how it survives faults."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from nas.common.errors import InputError
from nas.data import pairs
from nas.data.manifest import MANIFEST, read_manifest
from nas.data.prepare import prepare
from nas.data.store import open_set

QPS = (31, 63)
ROOT = Path(__file__).parents[1]


def picture(number: int) -> Image.Image:
    """One of many pictures that do not look alike: parts of a photograph, turned."""
    top, left, turns = 11 * number % 140, 53 * number % 330, number % 4
    return Image.fromarray(
        np.rot90(photographs.coffee()[top : top + 260, left : left + 264], turns)
    )


@pytest.fixture
def folder(tmp_path):
    """Five good pictures, two of them of one name."""
    folder = tmp_path / "hr"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(["a.png", "a.webp", "sub/a.png", "b.png", "c d é.png"]):
        picture(number).save(folder / name, **({"lossless": True} if ".webp" in name else {}))
    (folder / "notes.txt").write_text("no picture")
    return folder


def state(out: Path) -> dict[Path, int]:
    """Every file of a set with the time of its last change."""
    return {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file() and p.name != ".lock"}


def test_a_folder_becomes_a_set(folder, tmp_path):
    got = []
    report = prepare(folder, tmp_path / "set", qps=QPS, progress=lambda *args: got.append(args))

    assert (report.made, report.reused, report.skipped, report.duplicates) == (5, 0, (), ())
    assert [each[:2] for each in got[1:]] == [(done, 5) for done in range(1, 6)]
    pair_set = open_set(tmp_path / "set")
    assert pair_set.qps == QPS and not pair_set.is_sample
    assert len(pair_set.validation) == 1 and len(pair_set.train) == 4
    assert {each.entry.source for each in pair_set.pictures} == {
        "a.png", "a.webp", "b.png", "c d é.png", "sub/a.png"
    }  # fmt: skip
    assert len({each.name for each in pair_set.pictures}) == 5
    for each in pair_set.pictures:
        source = np.asarray(Image.open(folder / each.entry.source))
        assert np.array_equal(each.hr(), source[: each.height, : each.width])
        assert (each.height % 4, each.width % 4) == (0, 0)
        for qp in (None, *QPS):
            assert each.lr(qp).shape == (each.height // 4, each.width // 4, 3)
        assert each.bits(31) > each.bits(63) > 0
    assert not list((tmp_path / "set").rglob(".work"))


def test_preparing_again_changes_nothing(folder, tmp_path):
    prepare(folder, tmp_path / "set", qps=QPS)
    before, digest = state(tmp_path / "set"), open_set(tmp_path / "set").digest
    report = prepare(folder, tmp_path / "set", qps=QPS)
    assert (report.made, report.reused) == (0, 5)
    assert open_set(tmp_path / "set").digest == digest
    after = state(tmp_path / "set")
    assert [p.name for p in after if after[p] != before.get(p)] == [MANIFEST]


def test_the_set_does_not_depend_on_workers_or_place(folder, tmp_path):
    prepare(folder, tmp_path / "one", qps=(63,), workers=1)
    shutil.copytree(folder, tmp_path / "elsewhere")
    prepare(tmp_path / "elsewhere", tmp_path / "two", qps=(63,), workers=4)
    assert open_set(tmp_path / "one").digest == open_set(tmp_path / "two").digest


def test_qps_asked_for_later_are_added_and_the_old_ones_kept(folder, tmp_path):
    prepare(folder, tmp_path / "set", qps=(63,))
    before = state(tmp_path / "set")
    report = prepare(folder, tmp_path / "set", qps=(47,))
    assert report.made == 5
    after = state(tmp_path / "set")
    kept = [p for p in before if p.suffix in (".png", ".avif")]
    assert kept and all(after[p] == before[p] for p in kept)
    pair_set = open_set(tmp_path / "set")
    assert pair_set.qps == (47, 63)
    prepare(folder, tmp_path / "both", qps=(47, 63))
    assert open_set(tmp_path / "both").digest == pair_set.digest


def test_changed_added_and_removed_pictures(folder, tmp_path):
    prepare(folder, tmp_path / "set", qps=(63,))
    picture(7).save(folder / "b.png")
    picture(8).save(folder / "new.png")
    (folder / "a.webp").rename(tmp_path / "a.webp")
    report = prepare(folder, tmp_path / "set", qps=(63,))
    assert (report.made, report.reused) == (2, 3)
    now = {each.entry.source: each for each in open_set(tmp_path / "set").pictures}
    assert sorted(now) == ["a.png", "b.png", "c d é.png", "new.png", "sub/a.png"]
    assert np.array_equal(now["b.png"].hr(), np.asarray(picture(7))[: now["b.png"].height])
    (tmp_path / "a.webp").rename(folder / "a.webp")
    assert prepare(folder, tmp_path / "set", qps=(63,)).made == 0


def test_copies_are_used_once_and_named(folder, tmp_path):
    shutil.copy(folder / "b.png", folder / "copy.png")
    (folder / "link.png").symlink_to(folder / "b.png")
    picture(3).save(folder / "same pixels.tif")
    report = prepare(folder, tmp_path / "set", qps=(63,))
    assert report.duplicates == (
        ("copy.png", "b.png"), ("link.png", "b.png"), ("same pixels.tif", "b.png")
    )  # fmt: skip
    assert len(open_set(tmp_path / "set").pictures) == 5


def test_unusable_pictures_are_named_and_passed_over(folder, tmp_path):
    (folder / "cut.png").write_bytes((folder / "b.png").read_bytes()[:9999])
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    Image.new("RGB", (400, 255)).save(folder / "tiny.png")
    os.mkfifo(folder / "pipe.png")  # reading it would never end
    (folder / "sub" / "loop").symlink_to(folder)
    report = prepare(folder, tmp_path / "set", qps=(63,))
    assert report.made == 5
    names, reasons = zip(*report.skipped, strict=True)
    assert names == ("cut.png", "gone.png", "tiny.png")
    assert "damaged" in reasons[0] and "cannot be read" in reasons[1] and "400x255" in reasons[2]

    with pytest.raises(InputError, match=r"3 of 8 pictures cannot be used, .* cut.png: damaged"):
        prepare(folder, tmp_path / "strict", qps=(63,), strict=True)


def test_a_set_inside_its_source_folder_is_no_source(folder):
    prepare(folder, folder / "set", qps=(63,))
    assert prepare(folder, folder / "set", qps=(63,)).reused == 5


def test_damaged_files_of_a_set_are_made_again_alone(folder, tmp_path):
    out = tmp_path / "set"
    prepare(folder, out, qps=QPS)
    digest, before = open_set(out).digest, state(out)
    damaged = next((out / "qp63").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    next((out / "hr").iterdir()).unlink()
    report = prepare(folder, out, qps=QPS)
    assert (report.made, report.reused) in ((2, 3), (1, 4))
    after = state(out)
    assert open_set(out).digest == digest
    assert sum(after[p] == before[p] for p in before if p.suffix == ".png") >= 8


START = """
import sys
from pathlib import Path
from nas.data.prepare import prepare
qps = tuple(int(qp) for qp in sys.argv[3].split(","))
report = prepare(Path(sys.argv[1]), Path(sys.argv[2]), qps=qps, workers=1)
print(report.made, report.reused)
"""


def start(folder: Path, out: Path, qps: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", START, str(folder), str(out), qps]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_killed_at_any_moment_it_goes_on_where_it_was(tmp_path):
    folder, out = tmp_path / "hr", tmp_path / "set"
    folder.mkdir()
    for number in range(8):
        picture(number).save(folder / f"{number}.png")
    for wanted in (1, 3):
        process = start(folder, out, "31,47,63")
        until = time.monotonic() + 60
        while len(list(out.glob("records/*.json"))) < wanted and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (out / MANIFEST).exists()
    with pytest.raises(InputError, match="not finished preparing"):
        open_set(out)
    done = {p.stem for p in out.glob("records/*.json")}
    assert len(done) >= 3
    before = state(out)

    report = prepare(folder, out, qps=(31, 47, 63))

    assert report.reused == len(done) and report.made == 8 - len(done)
    after = state(out)
    for entry in read_manifest(out).entries:
        if entry.record.source_sha256 in done:
            for file in entry.record.files.values():
                assert after[out / file.path] == before[out / file.path]
    prepare(folder, tmp_path / "unbroken", qps=(31, 47, 63))
    assert open_set(out).digest == open_set(tmp_path / "unbroken").digest


def test_two_at_once_share_the_work(folder, tmp_path):
    out = tmp_path / "set"
    processes = [start(folder, out, qps) for qps in ("31", "63", "31")]
    got = sorted(process.communicate(timeout=120)[0].strip() for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert got == ["0 5", "5 0", "5 0"]
    prepare(folder, tmp_path / "alone", qps=QPS)
    assert open_set(out).qps == QPS
    assert open_set(out).digest == open_set(tmp_path / "alone").digest


@pytest.mark.parametrize(
    ("number", "sentence"),
    [(errno.ENOSPC, "no space left"), (errno.EACCES, "cannot be written.*Permission denied")],
)
def test_a_disk_that_refuses_is_one_sentence_and_nothing_is_lost(
    folder, tmp_path, monkeypatch, number, sentence
):
    made = []

    def refuse(pixels, outputs, **options):
        if len(made) == 2:
            raise OSError(number, os.strerror(number))
        made.append(pixels)
        real(pixels, outputs, **options)

    real = pairs.encode_lr
    monkeypatch.setattr(pairs, "encode_lr", refuse)
    with pytest.raises(InputError, match=sentence):
        prepare(folder, tmp_path / "set", qps=(63,), workers=1)
    monkeypatch.undo()
    report = prepare(folder, tmp_path / "set", qps=(63,))
    assert (report.made, report.reused) == (3, 2)


def test_a_folder_that_cannot_be_looked_into_is_named(folder, tmp_path, monkeypatch):
    scandir = os.scandir

    def refusing(path):
        if path == str(folder / "sub"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # root minds no permissions
    report = prepare(folder, tmp_path / "set", qps=(63,))
    assert report.made == 4 and [name for name, _ in report.skipped] == ["sub"]
    assert "cannot be read" in report.skipped[0][1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(folder, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match="Permission denied"):
        prepare(folder, tmp_path / "locked" / "set", qps=(63,))


def test_what_cannot_be_prepared_is_said_in_one_sentence(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.jpg").write_text("hello")
    (tmp_path / "one").mkdir()
    picture(0).save(tmp_path / "one" / "x.png")
    out = tmp_path / "set"
    for arguments, sentence in [
        (((tmp_path / "none"), out), "none is not a folder"),
        (((folder / "b.png"), out), "b.png is not a folder"),
        (((tmp_path / "empty"), out), "empty holds no picture: files named .*png"),
        (((tmp_path / "bad"), out), "1 of 1 pictures cannot be used, .*x.jpg: not a picture"),
        (((tmp_path / "one"), tmp_path / "one set"), "holds one usable picture"),
        ((folder, folder), "holds the pictures: name another folder"),
        ((folder, folder / "b.png"), "b.png is a file"),
        ((folder, tmp_path / "full"), "full holds other files"),
    ]:
        with pytest.raises(InputError, match=sentence):
            prepare(*arguments, qps=(63,))
    for options, sentence in [
        ({"qps": (31, 64)}, "whole numbers from 1 to 63"),
        ({"qps": ()}, "whole numbers from 1 to 63"),
        ({"validation": 1.5}, "give one from 0 to 1"),
        ({"workers": 0}, "at least 1"),
    ]:
        with pytest.raises(InputError, match=sentence):
            prepare(folder, out, **options)


def test_one_picture_is_enough_to_validate_on_alone(tmp_path):
    (tmp_path / "one").mkdir()
    picture(0).save(tmp_path / "one" / "x.png")
    prepare(tmp_path / "one", tmp_path / "set", qps=(63,), validation=1.0)
    assert len(open_set(tmp_path / "set").validation) == 1


def test_hr_files_hold_the_pixels_that_were_read_and_nothing_else(tmp_path):
    from PIL import ImageCms, PngImagePlugin

    from nas.data.decode import read_picture

    folder, out = tmp_path / "hr", tmp_path / "set"
    folder.mkdir()
    plain = picture(0)
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "holiday")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain.save(folder / "plain.png", compress_level=9)
    picture(1).save(folder / "reported.png", pnginfo=text, icc_profile=profile, compress_level=9)
    turned = Image.Exif()
    turned[0x0112] = 3  # upside down: of the same size once upright
    picture(2).save(folder / "turned.png", exif=turned)
    clear = picture(3).convert("RGBA")
    clear.putalpha(128)
    clear.save(folder / "clear.png")
    picture(4).convert("L").save(folder / "grey.png")
    picture(5).quantize(64).save(folder / "palette.png")
    picture(6).save(folder / "entry.png", transparency=picture(6).getpixel((0, 0)))
    picture(7).resize((265, 263)).save(folder / "odd.png")
    prepare(folder, out, qps=(63,), validation=0)
    for entry in read_manifest(out).entries:
        with Image.open(out / entry.record.files["hr"].path) as made:
            assert made.mode == "RGB" and not made.info and not made.getexif(), entry.source
            expected = read_picture(folder / entry.source).pixels
            assert np.array_equal(np.asarray(made), expected), entry.source
    # What is packed already is not packed again: as small as it came.
    sizes = {e.source: e.record.files["hr"].bytes for e in read_manifest(out).entries}
    assert sizes["plain.png"] == (folder / "plain.png").stat().st_size
    assert sizes["reported.png"] < (folder / "reported.png").stat().st_size


def test_a_png_with_a_wrong_checksum_is_packed_anew(tmp_path):
    from nas.data.pairs import strip_png

    picture(0).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    assert strip_png(tmp_path / "a.png", *picture(0).size[::-1]) == whole
    for damaged in (whole[:-20], whole[:60] + b"\x00\x01" + whole[62:], whole[8:], b"", whole[:10]):
        (tmp_path / "a.png").write_bytes(damaged)
        assert strip_png(tmp_path / "a.png", *picture(0).size[::-1]) is None
    assert strip_png(tmp_path / "gone.png", 4, 4) is None
