"""The end of a training: its models measured on whole pictures, and its result told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nas.data.store import PairSet
from nas.data.windows import with_detail
from nas.measure.quality import Quality, evaluate
from nas.training.engine.events import Event, Finished, Measuring
from nas.training.engine.folder import BEST, LAST, TrainingFolder


@dataclass(frozen=True, slots=True)
class Ending:
    """What the training itself knows at its end: steps done, where the best was, time taken."""

    best_step: int
    steps: int
    seconds: float


def conclude(
    folder: TrainingFolder,
    pair_set: PairSet,
    settings: Mapping[str, str],
    end: Ending,
    device: str,
) -> Iterator[Event]:
    """Measure a training's models on whole held-out pictures, let them say so, and tell.

    Raises:
        InputError: its folder cannot be written.
    """
    pictures, qps = with_detail(pair_set.validation), pair_set.qps
    files = [BEST] if end.best_step == end.steps else [BEST, LAST]
    measured: dict[str, Quality] = {}
    for file in files:
        model = folder.kept(file)
        parts = []
        for picture in pictures:
            parts.append(evaluate(model.network, (picture,), qps, device=device))
            yield Measuring(len(parts) + len(measured) * len(pictures), len(files) * len(pictures))
        measured[file] = Quality.mean(parts)
    measured.setdefault(LAST, measured[BEST])
    for file, quality in measured.items():
        source = folder.kept(BEST if file not in files else file)
        facts = {"at_step": source.facts["at_step"], "gain_db": f"{quality.gain_db:.4f}"}
        folder.keep(file, source.network.cpu(), facts)
    quality = measured[BEST]
    result = {
        "best_step": end.best_step,
        "gain_db": quality.gain_db,
        "gain_cb_db": quality.gain_cb_db,
        "gain_cr_db": quality.gain_cr_db,
        "gain_db_per_qp": quality.gain_db_per_qp,
        "psnr_y_db": quality.psnr_y_db,
        "last_gain_db": measured[LAST].gain_db,
        "steps": end.steps,
        "seconds": end.seconds,
    }
    folder.describe(settings, result)
    yield finished(folder, result)


def finished(folder: TrainingFolder, result: Mapping[str, Any], already: bool = False) -> Finished:
    """The last event, from what ``training.json`` says of the result."""
    told = dict(result)
    for name in ("gain_db_per_qp", "psnr_y_db"):
        told[name] = {int(qp): float(value) for qp, value in told[name].items()}
    path = folder.path
    return Finished(out=path, best=path / BEST, last=path / LAST, already=already, **told)
