"""Gain of a teacher over Lanczos on held-out images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from nas.common.checked_files import read_json, write_json
from nas.common.errors import InputError
from nas.common.files import cache_root
from nas.common.text import Progress, silent
from nas.data.store import PairSet, Picture, lanczos
from nas.data.windows import Window, with_detail
from nas.measure.metrics import psnr_y
from teachers.cache import teacher_outputs
from teachers.loading import Teacher, TeacherInput


@dataclass(frozen=True, slots=True)
class TeacherQuality:
    """PSNR-Y of a teacher on held-out images, in dB: 8-bit outputs, no border crop.

    Attributes:
        input: ``clean`` LR, or ``compressed`` at each QP of the dataset.
        psnr_y_db: mean over images and QPs.
        lanczos_psnr_y_db: of Lanczos on the same input.
        gain_db_by_picture: gain over Lanczos of each image, mean over QPs.
    """

    input: TeacherInput
    psnr_y_db: float
    lanczos_psnr_y_db: float
    gain_db_by_picture: dict[str, float] = field(default_factory=dict)

    @property
    def gain_db(self) -> float:
        """Mean gain over Lanczos."""
        return self.psnr_y_db - self.lanczos_psnr_y_db


def evaluate_teacher(
    teacher: Teacher,
    pair_set: PairSet,
    *,
    pictures: Sequence[Picture | Window] | None = None,
    folder: Path | None = None,
    device: str | torch.device = "cpu",
    progress: Progress = silent,
) -> TeacherQuality:
    """Measure a teacher against Lanczos on held-out images; figures are cached.

    Args:
        teacher: its input decides whether LR is clean or compressed.
        pair_set: the dataset.
        pictures: images to measure on; None for the whole held-out ones of more than one colour.
        folder: of cached outputs; None for ``teacher`` in the dataset's folder.
        device: where the teacher runs.
        progress: called after every image.

    Raises:
        InputError: the dataset holds out no image, or none of more than one colour.
    """
    pictures = with_detail(pair_set.validation) if pictures is None else pictures
    if not pictures:
        raise InputError(f"{pair_set.path} holds out no image to measure a teacher on")
    content = [pair_set.digest, teacher.digest, [picture.name for picture in pictures]]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
    path = cache_root() / "teacher-quality" / f"{digest}.json"
    with suppress(OSError, ValueError, TypeError):  # missing or damaged
        return TeacherQuality(**(read_json(path) or {}))
    quality = _measured(teacher, pair_set, pictures, folder, device, progress)
    with suppress(OSError):  # the cache is best-effort
        write_json(path, asdict(quality))
    return quality


def _measured(
    teacher: Teacher,
    pair_set: PairSet,
    pictures: Sequence[Picture | Window],
    folder: Path | None,
    device: str | torch.device,
    progress: Progress,
) -> TeacherQuality:
    qps = teacher.levels(pair_set.qps)
    images = [picture.lr(qp) for picture in pictures for qp in qps]
    originals = [picture.hr() for picture in pictures for _ in qps]
    names = [picture.name for picture in pictures for _ in qps]
    folder = folder or pair_set.teacher_folder
    outputs = teacher_outputs(teacher, images, folder, progress, device=device)
    ours = [psnr_y(sr, hr) for sr, hr in zip(outputs, originals, strict=True)]
    base = [psnr_y(lanczos(lr), hr) for lr, hr in zip(images, originals, strict=True)]
    gains: dict[str, list[float]] = {}
    for name, high, low in zip(names, ours, base, strict=True):
        gains.setdefault(name, []).append(high - low)
    return TeacherQuality(
        teacher.input,
        float(np.mean(ours)),
        float(np.mean(base)),
        {name: float(np.mean(values)) for name, values in gains.items()},
    )


def require_gain(teacher: Teacher, quality: TeacherQuality) -> None:
    """Raise an InputError with the gain if a teacher does not beat Lanczos."""
    if not quality.gain_db > 0:
        raise InputError(
            f"the teacher {teacher.name} gains {quality.gain_db:+.2f} dB over Lanczos on "
            f"{quality.input} LR of the held-out images: "
            "give one that gains, or --teacher none"
        )
