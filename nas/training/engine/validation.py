"""Validation: quick figures on windows of held-out images, and the final ones on whole images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import nn

from nas.common.errors import InputError
from nas.data.store import PairSet, lanczos
from nas.data.windows import Window, windows, with_detail
from nas.measure.quality import Quality, evaluate
from nas.measure.tiling import upscale_picture
from nas.training.engine.events import Event, Finished, Measuring, Sample
from nas.training.engine.folder import BEST, LAST, TrainingFolder
from search_spaces.architecture import SCALE

AREA = 100_000
"""LR pixels of all windows: at five QPs a validation takes a second or two of a core."""

SAMPLES = 3
SAMPLE_SIDE = 64  # LR pixels: 256 in the HR image


class Validator:
    """Measures networks on the most detailed windows of a dataset's held-out images.

    Raises:
        InputError: no held-out image has more than one colour.
    """

    def __init__(self, pair_set: PairSet) -> None:
        self.qps = pair_set.qps
        self.windows = windows(pair_set.validation, AREA)
        if not self.windows:
            raise InputError(
                f"{pair_set.path} holds out no image of more than one colour to validate on"
            )

    def quality(self, network: nn.Module, device: str) -> Quality:
        """Measure a network on all windows at all QPs."""
        return evaluate(network, self.windows, self.qps, device=device)

    def samples(self, network: nn.Module) -> tuple[Sample, ...]:
        """Upscale the centres of a few windows, at the heaviest compression."""
        count = min(SAMPLES, len(self.windows))
        chosen = [self.windows[i * len(self.windows) // count] for i in range(count)]
        return tuple(_sample(network, window, self.qps[-1]) for window in chosen)


def _sample(network: nn.Module, window: Window, qp: int) -> Sample:
    lr = window.lr(qp)
    starts = [max(0, (length - SAMPLE_SIDE) // 2) for length in lr.shape[:2]]
    rows, columns = (slice(SCALE * s, SCALE * (s + SAMPLE_SIDE)) for s in starts)
    images = (lanczos(lr), upscale_picture(network, lr).cpu().numpy(), window.hr())
    return Sample(window.picture.name, qp, *(np.array(image[rows, columns]) for image in images))


def evaluate_final(
    folder: TrainingFolder,
    pair_set: PairSet,
    settings: Mapping[str, str],
    *,
    best_step: int,
    steps: int,
    seconds: float,
    device: str,
) -> Iterator[Event]:
    """Measure the models of a finished training on whole held-out images and write the result.

    Raises:
        InputError: the folder cannot be written.
    """
    images, qps = with_detail(pair_set.validation), pair_set.qps
    files = [BEST] if best_step == steps else [BEST, LAST]
    measured: dict[str, Quality] = {}
    for file in files:
        model = folder.load(file)
        parts = []
        for image in images:
            parts.append(evaluate(model.network, (image,), qps, device=device))
            yield Measuring(len(parts) + len(measured) * len(images), len(files) * len(images))
        measured[file] = Quality.mean(parts)
    measured.setdefault(LAST, measured[BEST])
    for file, quality in measured.items():
        model = folder.load(file if file in files else BEST)
        facts = {"at_step": model.facts["at_step"], "gain_db": f"{quality.gain_db:.4f}"}
        folder.save(file, model.network.cpu(), facts)
    quality = measured[BEST]
    result = {
        "best_step": best_step,
        "gain_db": quality.gain_db,
        "gain_cb_db": quality.gain_cb_db,
        "gain_cr_db": quality.gain_cr_db,
        "gain_db_per_qp": quality.gain_db_per_qp,
        "psnr_y_db": quality.psnr_y_db,
        "last_gain_db": measured[LAST].gain_db,
        "steps": steps,
        "seconds": seconds,
    }
    folder.describe(settings, result)
    yield finished(folder, result)


def finished(folder: TrainingFolder, result: Mapping[str, Any], already: bool = False) -> Finished:
    """The last event of a training, from the result in ``training.json``."""
    values = dict(result)
    for name in ("gain_db_per_qp", "psnr_y_db"):
        values[name] = {int(qp): float(value) for qp, value in values[name].items()}
    path = folder.path
    return Finished(out=path, best=path / BEST, last=path / LAST, already=already, **values)
