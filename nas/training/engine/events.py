"""What a training tells while it runs: plain, immutable, and enough to draw or log everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np


@dataclass(frozen=True, slots=True)
class Started:
    """A training begins or goes on.

    Attributes:
        settings: what it depends on, as strings: network, recipe, data, teacher, seed...
        steps: of all stages.
        step: those that are done already.
        notes: what a person should know, in sentences.
    """

    settings: Mapping[str, str]
    steps: int
    step: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage begins or goes on.

    Attributes:
        index: from 0.
        step: steps of the training that are done.
        note: what it does, in a few words.
    """

    index: int
    step: int
    note: str


@dataclass(frozen=True, slots=True)
class Stepped:
    """Some steps were done; comes about every second.

    Attributes:
        step: done in all.
        steps: to do in all.
        stage: index of the stage.
        loss: mean since the event before.
        rate: share of the peak learning rate.
        steps_per_second: since the event before.
    """

    step: int
    steps: int
    stage: int
    loss: float
    rate: float
    steps_per_second: float


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A piece of a held-out picture in three versions, uint8 (H, W, 3) each.

    Attributes:
        name: of the picture.
        qp: compression level of the LR.
        lanczos: the LR upscaled by Lanczos.
        ours: the LR upscaled by the averaged network.
        hr: the original.
    """

    name: str
    qp: int
    lanczos: np.ndarray
    ours: np.ndarray
    hr: np.ndarray


@dataclass(frozen=True, slots=True)
class Validated:
    """The averaged weights were measured on windows of held-out pictures.

    Attributes:
        step: steps done.
        stage: index of the stage.
        loss: mean of the training loss since the last look, None at the start.
        gain_db: PSNR-Y above Lanczos, mean over QPs and windows.
        gain_db_per_qp: the same for each QP.
        psnr_y_db: PSNR-Y for each QP.
        best: whether it is the best so far, and was kept as such.
        samples: a few pieces to look at.
        seconds: of training, over all resumptions.
        gain_cb_db: PSNR of Cb above Lanczos, mean over QPs and windows.
        gain_cr_db: the same of Cr.
    """

    step: int
    stage: int
    loss: float | None
    gain_db: float
    gain_db_per_qp: Mapping[int, float]
    psnr_y_db: Mapping[int, float]
    best: bool
    samples: tuple[Sample, ...]
    seconds: float
    gain_cb_db: float | None = None
    gain_cr_db: float | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """The checkpoint was replaced: a training that is killed now goes on from here."""

    step: int


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The training diverged and was rolled back.

    Attributes:
        step: where it failed.
        to: where it continues, with other crops.
        why: what is not finite.
    """

    step: int
    to: int
    why: str


@dataclass(frozen=True, slots=True)
class Measuring:
    """The models are being measured on whole held-out pictures: so many of so many are done."""

    done: int
    pictures: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The training is over; also told by a call that finds it over.

    Attributes:
        out: its folder.
        best: file of the best model.
        last: file of the last one.
        best_step: where the best was.
        gain_db: of the best: PSNR-Y above Lanczos, mean over QPs and whole held-out pictures.
        gain_db_per_qp: the same for each QP.
        psnr_y_db: PSNR-Y for each QP.
        last_gain_db: as ``gain_db``, of the last.
        steps: of the training.
        seconds: of training, over all resumptions.
        already: whether it was over before.
        gain_cb_db: PSNR of Cb above Lanczos, as ``gain_db``; None where it ended before chroma was
            measured.
        gain_cr_db: the same of Cr.
    """

    out: Path
    best: Path
    last: Path
    best_step: int
    gain_db: float
    gain_db_per_qp: Mapping[int, float]
    psnr_y_db: Mapping[int, float]
    last_gain_db: float
    steps: int
    seconds: float
    already: bool = False
    gain_cb_db: float | None = None
    gain_cr_db: float | None = None


Event: TypeAlias = (
    Started | StageStarted | Stepped | Validated | Saved | RolledBack | Measuring | Finished
)
