"""Training a teacher on a prepared set, and measuring whether one is worth learning from."""

from __future__ import annotations

import hashlib
import json
import math
import time
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
from nas.data.windows import Window, windows, with_detail
from nas.measure.metrics import psnr_y
from nas.training.data.crops import Crops
from nas.training.engine import runtime
from nas.training.teacher.task import TeacherRun, TeacherTraining
from search_spaces.architecture import SCALE
from teachers.cache import teacher_outputs, upscale_pixels
from teachers.hat.network import HAT, PRESETS
from teachers.loading import Teacher, TeacherInput, load_teacher, save_teacher

CHECKPOINT_SECONDS = 60.0
LOOK_AREA = 50_000  # LR pixels that the progress note is measured on
PROGRESS_STEPS = 1000  # resolution of the progress of a run that is limited by time


@dataclass(frozen=True, slots=True)
class TrainedTeacher:
    """What a training left.

    Attributes:
        path: The weights, safetensors in half precision.
        steps: Optimiser steps done.
        seconds: Training time over all resumptions.
    """

    path: Path
    steps: int
    seconds: float


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


def train_teacher(
    pair_set: PairSet,
    out: Path,
    *,
    preset: str = "hat-tiny",
    start: str | Path | None = None,
    training: TeacherTraining | None = None,
    device: str | torch.device = "cpu",
    progress: Progress = silent,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> TrainedTeacher:
    """Train a teacher on a set's training pictures and write the average of its weights.

    A checkpoint beside ``out`` is replaced about every minute and when the training is interrupted,
    and removed at the end. The same call goes on from it, and a run limited by steps ends with the
    same weights as one that was never interrupted.

    Args:
        pair_set: Only its training pictures are learned from; a few held-out ones are looked at
            for the progress note, never to choose anything.
        out: The ``.safetensors`` file to write.
        preset: Which network (`teachers.hat.network.PRESETS`).
        start: A teacher to fine-tune instead, as for `load_teacher`; its shape is kept.
        training: How; None for the defaults.
        device: Where to train.
        progress: Called with steps (or thousandths of the time) done, and the latest gain.
        checkpoint_seconds: Time between checkpoints.

    Raises:
        InputError: Unknown preset, a set without pictures large enough, ``out`` there already or
            not writable, a checkpoint of another run, or a loss that is no number.
        KeyboardInterrupt: It was interrupted, after the checkpoint was written.
    """
    training = training or TeacherTraining()
    if out.suffix != ".safetensors":
        raise InputError(f"{out}: a teacher is written as .safetensors; give such a name")
    if out.exists():
        raise InputError(f"{out} is there already: choose another name, or remove it")
    qps: tuple[int | None, ...] = (None,) if training.input == "clean" else (None, *pair_set.qps)
    crops = Crops(pair_set.train, training.patch, qps)
    if not len(crops):
        side = SCALE * training.patch
        raise InputError(f"{pair_set.path} has no training picture of at least {side} x {side}")
    identity = f"{pair_set.digest} {preset} {start} {asdict(training)}"
    run = TeacherRun(_network(preset, start, training.seed), training, device)
    checkpoint = out.with_name(f"{out.stem}.checkpoint.pt")
    run.restore(checkpoint, identity)
    try:
        _train(run, crops, pair_set.validation, progress, checkpoint_seconds, checkpoint, identity)
        run.save(checkpoint, identity)
        save_teacher(run.average, out)
        checkpoint.unlink()
    except OSError as fault:
        raise InputError(f"{out.parent} cannot be written: {fault.strerror}") from fault
    return TrainedTeacher(out, run.step, run.seconds)


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


def _train(
    run: TeacherRun,
    crops: Crops,
    held_out: Sequence[Picture],
    progress: Progress,
    checkpoint_seconds: float,
    checkpoint: Path,
    identity: str,
) -> None:
    look = _Look(windows(held_out, LOOK_AREA) if held_out else ())
    total = run.training.steps if run.training.minutes is None else PROGRESS_STEPS
    note, saved = "", time.monotonic()
    with runtime.kept() as wish:
        while run.done < 1:
            loss = run.advance(crops)
            if not math.isfinite(loss):
                raise InputError(
                    f"the training diverged at step {run.step}: lower its learning rate "
                    f"({run.training.lr:g}) and remove {checkpoint}"
                )
            if wish.wanted:
                run.save(checkpoint, identity)
                raise KeyboardInterrupt
            if time.monotonic() - saved > checkpoint_seconds:
                run.save(checkpoint, identity)
                note = look.at(run.average, run.device)
                saved = time.monotonic()
            progress(int(run.done * total), total, note)


class _Look:
    """The gain on windows of held-out pictures: quick enough to be shown while training."""

    def __init__(self, pictures: Sequence[Window]) -> None:
        self.pairs = [(picture.lr(None), picture.hr()) for picture in pictures]
        self.base = [psnr_y(lanczos(lr), hr) for lr, hr in self.pairs]

    def at(self, network: HAT, device: str | torch.device) -> str:
        """Measure, in words."""
        if not self.pairs:
            return ""
        teacher = Teacher("training", network, "")
        outputs = [upscale_pixels(teacher, lr, device=device) for lr, _ in self.pairs]
        gains = [
            psnr_y(sr, hr) - base
            for sr, (_, hr), base in zip(outputs, self.pairs, self.base, strict=True)
        ]
        return f"{np.mean(gains):+.2f} dB over Lanczos"


def _network(preset: str, start: str | Path | None, seed: int) -> HAT:
    if start is not None:
        network = load_teacher(start).network
        if not isinstance(network, HAT):
            raise InputError(f"{start} is no HAT: give one as --start, hat-tiny for instance")
        return network
    by_name = {name.lower(): settings for name, settings in PRESETS.items()}
    if preset.lower() not in by_name:
        raise InputError(f"there is no teacher preset {preset!r}: choose from {', '.join(PRESETS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return HAT(by_name[preset.lower()])
