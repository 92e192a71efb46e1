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
from nas.measure.quality import psnr_y
from teachers.cache import teacher_outputs
from teachers.loading import Teacher, TeacherInput


@dataclass(frozen=True, slots=True)
class TeacherQuality:
    """How a teacher does on held-out pictures: PSNR-Y in dB, 8-bit outputs, no crop.

    Attributes:
        input: What it was given: ``clean`` LR, or ``compressed`` at each of the set's QPs.
        psnr_y_db: Mean over pictures (and QPs).
        lanczos_psnr_y_db: The same of Lanczos.
        gain_db_by_picture: Gain over Lanczos of each picture (mean over QPs).
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
    """Measure a teacher against Lanczos on held-out pictures, once: figures are kept in the cache.

    Args:
        teacher: Whom to measure.
        pair_set: The set; the teacher is given the clean LR, or one at every QP, as it sees.
        pictures: What to measure on; None for the set's validation pictures, whole, without
            those of one colour.
        folder: Where outputs are cached; None for ``teacher`` in the set's folder.
        device: Where the teacher runs.
        progress: Called after every picture.

    Raises:
        InputError: The set holds out no picture, or none of more than one colour.
    """
    pictures = with_detail(pair_set.validation) if pictures is None else pictures
    if not pictures:
        raise InputError(f"{pair_set.path} holds out no picture to measure a teacher on")
    told = [pair_set.digest, teacher.digest, [picture.name for picture in pictures]]
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]
    place = cache_root() / "teacher-quality" / f"{digest}.json"
    with suppress(OSError, ValueError, TypeError):  # not there, or damaged
        return TeacherQuality(**(read_json(place) or {}))
    quality = _measured(teacher, pair_set, pictures, folder, device, progress)
    with suppress(OSError):  # figures stand without their cache
        write_json(place, asdict(quality))
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
    """Refuse a teacher that does not beat Lanczos: its students would learn to be worse.

    Raises:
        InputError: Its gain is zero or less; names the number.
    """
    if not quality.gain_db > 0:
        raise InputError(
            f"the teacher {teacher.name} gains {quality.gain_db:+.2f} dB over Lanczos on "
            f"{quality.input} LR of the held-out pictures: "
            "give one that gains, or --teacher none"
        )
