"""Whatever a picture file is, what comes of it is 8-bit RGB, upright, sides multiples of 4."""

from __future__ import annotations

import subprocess
import zlib

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from nas.data.decode import UnusableImage, read_picture
from nas.data.encode import ffmpeg_binary

COFFEE = photographs.coffee()[:260, :320]


def save(path, picture, **options):
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    picture.save(path, **options)
    return path


def png_16_bit(path, samples):
    """Write 16-bit RGB(A) PNG, which Pillow cannot."""
    height, width, channels = samples.shape
    pixel_format = {3: "rgb48le", 4: "rgba64le"}[channels]
    command = [ffmpeg_binary(), "-loglevel", "error", "-f", "rawvideo", "-pixel_format"]
    command += [pixel_format, "-video_size", f"{width}x{height}", "-i", "-", path]
    subprocess.run(command, input=samples.astype("<u2").tobytes(), check=True)
    return path


def bomb(width, height):
    """A PNG of a few hundred bytes that claims any size."""

    def chunk(kind, content):
        size, check = len(content), zlib.crc32(kind + content)
        return size.to_bytes(4, "big") + kind + content + check.to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


@pytest.mark.parametrize("name", ["x.png", "x.webp", "x.tif", "x.bmp", "x.ppm"])
def test_lossless_formats_come_through_unchanged(tmp_path, name):
    options = {"lossless": True} if name.endswith("webp") else {}
    pixels, notes = read_picture(save(tmp_path / name, COFFEE, **options))
    assert np.array_equal(pixels, COFFEE)
    assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    assert notes == ()


@pytest.mark.parametrize("name", ["x.jpg", "x.avif"])
def test_lossy_formats_come_through_nearly(tmp_path, name):
    pixels, _ = read_picture(save(tmp_path / name, COFFEE, quality=95))
    assert np.abs(pixels.astype(int) - COFFEE).mean() < 3


def test_sides_are_cropped_to_multiples_of_four(tmp_path):
    pixels, _ = read_picture(save(tmp_path / "x.png", COFFEE[:259, :318]))
    assert np.array_equal(pixels, COFFEE[:256, :316])


def test_grey_becomes_equal_channels(tmp_path):
    grey = Image.fromarray(COFFEE).convert("L")
    pixels, notes = read_picture(save(tmp_path / "x.png", grey))
    assert all(np.array_equal(pixels[..., i], np.asarray(grey)) for i in range(3))
    assert notes == ("grey",)


def test_transparency_is_laid_over_white_and_reported(tmp_path):
    layered = Image.fromarray(COFFEE).convert("RGBA")
    layered.putalpha(Image.new("L", layered.size, 0))
    pixels, notes = read_picture(save(tmp_path / "clear.png", layered))
    assert (pixels == 255).all() and notes == ("transparency laid over white",)
    layered.putalpha(Image.new("L", layered.size, 255))
    pixels, notes = read_picture(save(tmp_path / "opaque.png", layered))
    assert np.array_equal(pixels, COFFEE) and notes == ()


def test_palettes_and_their_transparent_entry(tmp_path):
    indexed = Image.fromarray(COFFEE).quantize(8)
    pixels, _ = read_picture(save(tmp_path / "x.png", indexed))
    assert np.array_equal(pixels, np.asarray(indexed.convert("RGB")))
    pixels, notes = read_picture(save(tmp_path / "y.png", indexed, transparency=2))
    assert (pixels[np.asarray(indexed) == 2] == 255).all()
    assert notes == ("transparency laid over white",)


def test_cmyk_is_converted_and_reported(tmp_path):
    _, notes = read_picture(save(tmp_path / "x.jpg", Image.fromarray(COFFEE).convert("CMYK")))
    assert notes == ("CMYK converted without a profile",)


def test_sixteen_bits_are_rounded_not_cut(tmp_path):
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    rounded = np.round(ramp / 257).astype(np.uint8)
    colour = np.stack([ramp, ramp[::-1], ramp.T], -1)
    tiff, png = save(tmp_path / "x.tif", ramp), png_16_bit(tmp_path / "x.png", colour)
    pixels, notes = read_picture(tiff)
    assert np.array_equal(pixels[..., 0], rounded) and notes == ("grey", "16 bits rounded to 8")
    pixels, notes = read_picture(png)
    assert np.array_equal(pixels, np.stack([rounded, rounded[::-1], rounded.T], -1))
    assert notes == ("16 bits rounded to 8",)


def test_sixteen_bit_transparency(tmp_path):
    samples = np.zeros((256, 256, 4), np.uint16)
    samples[:128, :, 3] = 65535
    pixels, notes = read_picture(png_16_bit(tmp_path / "x.png", samples))
    assert (pixels[:128] == 0).all() and (pixels[128:] == 255).all()
    assert notes == ("16 bits rounded to 8", "transparency laid over white")


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(3, lambda a: a[::-1, ::-1]), (5, lambda a: a.swapaxes(0, 1)), (6, lambda a: np.rot90(a, -1))],
)
def test_orientation_is_applied(tmp_path, name, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, notes = read_picture(save(tmp_path / name, COFFEE, exif=exif))
    assert np.array_equal(pixels, upright(COFFEE))
    assert notes == ("turned upright",)


def test_orientation_of_sixteen_bits(tmp_path):
    ramp = np.arange(256 * 320, dtype=np.uint16).reshape(256, 320)
    path = save(tmp_path / "x.tif", Image.fromarray(ramp), tiffinfo={274: 6})
    pixels, _ = read_picture(path)
    assert np.array_equal(pixels[..., 0], np.rot90(np.round(ramp / 257).astype(np.uint8), -1))


def test_animations_give_their_first_frame(tmp_path):
    other = Image.fromarray(COFFEE[::-1].copy())
    path = save(tmp_path / "x.webp", COFFEE, save_all=True, append_images=[other], lossless=True)
    pixels, notes = read_picture(path)
    assert np.array_equal(pixels, COFFEE) and notes == ("first frame of several",)


def test_8k_is_read(tmp_path):
    path = save(tmp_path / "x.png", Image.new("RGB", (7680, 4320)), compress_level=1)
    assert read_picture(path).pixels.shape == (4320, 7680, 3)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(60_000, 60_000), (16_388, 8192)])
def test_decompression_bombs_are_refused_unopened(tmp_path, size):
    (tmp_path / "x.png").write_bytes(bomb(*size))
    with pytest.raises(UnusableImage, match="decompression bomb"):
        read_picture(tmp_path / "x.png")


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp", "x.avif", "x.tif"])
def test_cut_files_are_damaged(tmp_path, name):
    path = save(tmp_path / name, COFFEE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnusableImage):
        read_picture(path)


def test_a_changed_byte_in_a_png_is_damage(tmp_path):
    """Pillow reads EXIF of a PNG through its pixels and forgets that they failed to decode."""
    path = save(tmp_path / "x.png", COFFEE)
    content = bytearray(path.read_bytes())
    content[5000] ^= 255
    path.write_bytes(content)
    with pytest.raises(UnusableImage, match="damaged"):
        read_picture(path)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff" + b"x" * 99]
)
def test_what_is_no_picture_is_said_to_be_none(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(UnusableImage):
        read_picture(tmp_path / "x.png")


def test_small_pictures_and_odd_samples_are_refused_with_the_reason(tmp_path):
    with pytest.raises(UnusableImage, match=r"too small \(320x255, at least 256x256\)"):
        read_picture(save(tmp_path / "x.png", COFFEE[:255]))
    with pytest.raises(UnusableImage, match="32-bit"):
        read_picture(save(tmp_path / "x.tif", Image.new("F", (300, 300))))
