"""Events of a training: immutable, and enough to draw or log everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np


@dataclass(frozen=True, slots=True)
class Started:
    """A training starts or resumes.

    Attributes:
        settings: what it depends on: network, recipe, data, teacher, seed...
        steps: of all stages.
        step: steps that are done already.
        notes: sentences for the user.
    """

    settings: Mapping[str, str]
    steps: int
    step: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage starts or resumes.

    Attributes:
        index: from 0.
        step: steps of the training that are done.
        note: what it does.
    """

    index: int
    step: int
    note: str


@dataclass(frozen=True, slots=True)
class Stepped:
    """Steps were done; sent about every second.

    Attributes:
        step: done in all.
        steps: to do in all.
        stage: index of the stage.
        loss: of the last step.
        rate: share of the peak learning rate.
        steps_per_second: since the last event.
    """

    step: int
    steps: int
    stage: int
    loss: float
    rate: float
    steps_per_second: float


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A crop of a held-out image in three versions, uint8 (H, W, 3) each.

    Attributes:
        name: of the image.
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
    """The averaged weights were measured on windows of held-out images.

    Attributes:
        step: steps done.
        stage: index of the stage.
        loss: mean training loss since the last validation, None at the start.
        gain_db: PSNR-Y above Lanczos, mean over QPs and windows.
        gain_db_per_qp: the same for each QP.
        psnr_y_db: PSNR-Y for each QP.
        best: whether it is the best so far.
        samples: a few crops.
        seconds: training time, over all resumptions.
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
    """The checkpoint was written: a killed training resumes from here."""

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
    """Progress of the final evaluation on whole held-out images."""

    done: int
    pictures: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The training is complete; also sent by a later call.

    Attributes:
        out: its folder.
        best: file of the best model.
        last: file of the last one.
        best_step: step of the best model.
        gain_db: of the best: PSNR-Y above Lanczos, mean over QPs and whole held-out images.
        gain_db_per_qp: the same for each QP.
        psnr_y_db: PSNR-Y for each QP.
        last_gain_db: as ``gain_db``, of the last.
        steps: of the training.
        seconds: training time, over all resumptions.
        already: whether it was complete before.
        gain_cb_db: PSNR of Cb above Lanczos, as ``gain_db``; None in results of
            versions that did not measure chroma.
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
