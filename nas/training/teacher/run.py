"""Training a teacher on a prepared set, and measuring whether one is worth learning from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nas.common.errors import InputError
from nas.common.text import Progress, silent
from nas.data.store import PairSet, lanczos
from nas.data.windows import Window, windows
from nas.measure.quality import psnr_y
from nas.training.data.crops import Crops
from nas.training.engine.events import Saved, Stepped
from nas.training.teacher.task import TeacherTrainer, TeacherTraining
from search_spaces.architecture import SCALE
from teachers.cache import upscale_pixels
from teachers.hat.network import HAT, PRESETS
from teachers.loading import Teacher, load_teacher, save_teacher

CHECKPOINT_SECONDS = 60.0
NOTE_AREA = 50_000  # LR pixels that the gain in the progress note is measured on
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
    network = _network(preset, start, training.seed).to(device)
    checkpoint = out.with_name(f"{out.stem}.checkpoint.pt")
    trainer = TeacherTrainer(network, training, crops, checkpoint, identity, device)
    held_out = windows(pair_set.validation, NOTE_AREA) if pair_set.validation else ()
    total = training.steps if training.minutes is None else PROGRESS_STEPS
    done, note = 0, ""
    with closing(trainer.run(checkpoint_seconds)) as events:
        for event in events:
            if isinstance(event, Saved):
                note = _gain_note(trainer.current.ema.network, held_out, device)
            if isinstance(event, Saved | Stepped):
                done = int(trainer.current.progress * total)
                progress(done, total, note)
    if done < total:
        progress(total, total, note)
    try:
        save_teacher(trainer.current.ema.network, out)
        checkpoint.unlink()
    except OSError as fault:
        raise InputError(f"{out.parent} cannot be written: {fault.strerror}") from fault
    return TrainedTeacher(out, trainer.step, trainer.current.seconds)


def _gain_note(network: nn.Module, held_out: Sequence[Window], device: str | torch.device) -> str:
    """The gain on clean windows of held-out images, which is quick to measure."""
    if not held_out:
        return ""
    teacher = Teacher("training", network, "")
    gains = []
    for window in held_out:
        lr, hr = window.lr(None), window.hr()
        sr = upscale_pixels(teacher, lr, device=device)
        gains.append(psnr_y(sr, hr) - psnr_y(lanczos(lr), hr))
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
