"""Encoding an HR image to AVIF-compressed LR images, by the survey's command.

Section 2.2 of the AIS 2024 survey gives one ffmpeg call per image and QP. The call here encodes
every QP, and the uncompressed LR, from one decoded image, with the same bytes as separate calls
(tested). QP is that of libsvtav1 driven by ffmpeg: the scale of other AVIF encoders differs by 3 to
4 times the bits at the same number.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.common.errors import InputError

QPS = (31, 39, 47, 55, 63)
"""The survey's QPs, from light to heavy compression."""

CLEAN = None
"""In place of a QP: the uncompressed LR image."""

LR_FILTER = (
    "scale=ceil(iw/4):ceil(ih/4)"
    ":flags=lanczos+accurate_rnd+full_chroma_int:sws_dither=none:param0=5"
)
"""The survey's filter: Lanczos with 5 lobes, a quarter of each side."""

PRESET = 5
_QUIET = {"SVT_LOG": "1"}


@dataclass(frozen=True, slots=True)
class Encoder:
    """Versions of the encoders of the LR images, which change file sizes by some per cent."""

    ffmpeg: str
    svt_av1: str

    def __str__(self) -> str:
        return f"ffmpeg {self.ffmpeg}, SVT-AV1 {self.svt_av1}"


def ffmpeg_binary() -> str:
    """Return the path of ffmpeg in the ``imageio-ffmpeg`` package."""
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as fault:
        raise InputError(
            "no ffmpeg to make AVIF pictures with: install the package imageio-ffmpeg, "
            "or point IMAGEIO_FFMPEG_EXE at an ffmpeg that has libsvtav1"
        ) from fault


@functools.cache
def encoder() -> Encoder:
    """Return the versions of ffmpeg and SVT-AV1, from encoding one small image."""
    command = [ffmpeg_binary(), "-hide_banner", "-f", "lavfi", "-i", "color=size=64x64:rate=1"]
    command += ["-frames:v", "1", "-c:v", "libsvtav1", "-qp", "63", "-f", "null", "-"]
    loud = {key: value for key, value in os.environ.items() if key not in _QUIET}
    output = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, env=loud, check=False
    )
    version = subprocess.run([command[0], "-version"], capture_output=True, check=False)
    ffmpeg = re.search(r"ffmpeg version (\S+)", version.stdout.decode(errors="replace"))
    svt = re.search(r"SVT-AV1 Encoder Lib v?(\S+)", output.stderr.decode(errors="replace"))
    if output.returncode or not ffmpeg:
        raise InputError(
            f"{command[0]} cannot encode with libsvtav1: "
            "use the ffmpeg of the package imageio-ffmpeg (unset IMAGEIO_FFMPEG_EXE)"
        )
    return Encoder(ffmpeg.group(1), svt.group(1) if svt else "unknown")


def encode_lr(hr: np.ndarray, outputs: Mapping[int | None, Path], *, threads: int = 2) -> None:
    """Write the LR images of one HR image in one pass over its pixels.

    Args:
        hr: uint8, H x W x 3, RGB; both sides multiples of 4.
        outputs: QP to the ``.avif`` file to write; `CLEAN` to a ``.png`` file.
        threads: SVT-AV1's level of parallelism, which does not change the bytes.

    Raises:
        OSError: the disk is full or a file cannot be written.
        RuntimeError: ffmpeg fails; the message is its last line.
    """
    height, width = hr.shape[:2]
    command = [ffmpeg_binary(), "-hide_banner", "-y", "-loglevel", "error"]
    command += ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{width}x{height}"]
    command += ["-i", "pipe:0", "-filter_complex", _graph(list(outputs))]
    for index, (qp, path) in enumerate(outputs.items()):
        command += ["-map", f"[o{index}]"]
        if qp is CLEAN:
            command += ["-frames:v", "1", "-update", "1"]
        else:
            command += ["-c:v", "libsvtav1", "-qp", str(qp), "-preset", str(PRESET)]
            command += ["-svtav1-params", f"lp={threads}"]
        command.append(f"file:{path}")
    run_ffmpeg(command, np.ascontiguousarray(hr))


def run_ffmpeg(command: list[str], pixels: np.ndarray | None = None) -> bytes:
    """Run one ffmpeg call and return its standard output.

    Args:
        command: the whole command line.
        pixels: what to feed to its standard input, if anything.

    Raises:
        OSError: the disk is full.
        RuntimeError: any other failure.
    """
    feed = b"" if pixels is None else pixels.data.cast("B")  # never the terminal's input
    done = subprocess.run(
        command, input=feed, capture_output=True, env={**os.environ, **_QUIET}, check=False
    )
    if done.returncode:
        output = done.stderr.decode(errors="replace").strip()
        if os.strerror(errno.ENOSPC) in output:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise RuntimeError(f"ffmpeg: {output.splitlines()[-1] if output else done.returncode}")
    return done.stdout


def _graph(qps: list[int | None]) -> str:
    """The filter graph with one labelled end per output: one scaling to YUV, one to RGB."""
    coded = [index for index, qp in enumerate(qps) if qp is not CLEAN]
    plain = [index for index, qp in enumerate(qps) if qp is CLEAN]
    branches = []
    for indices, pixel_format in ((coded, "yuv420p"), (plain, "rgb24")):
        if indices:
            ends = "".join(f"[o{index}]" for index in indices)
            branches.append(f"{LR_FILTER},format={pixel_format},split={len(indices)}{ends}")
    heads = [f"[s{index}]" for index in range(len(branches))]
    source = f"[0:v]split={len(heads)}{''.join(heads)}"
    return ";".join([source, *(f"{h}{b}" for h, b in zip(heads, branches, strict=True))])
