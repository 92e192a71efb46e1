"""Deploy weights of candidates: files in the study's folder."""

from __future__ import annotations

import hashlib
import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from nas.common.errors import InputError
from nas.common.files import write_atomic
from studies.core.candidate import Candidate
from studies.core.outcome import Broken, Outcome, Trained, Weights


def persist_weights(candidate: Candidate, outcome: Outcome, folder: Path) -> Outcome:
    """Write an outcome's weights to a file, and return the outcome to store; NaN becomes broken.

    Raises:
        InputError: The file cannot be written.
    """
    if not isinstance(outcome, Trained):
        return outcome
    if not math.isfinite(outcome.gain_db) or not 0.0 < outcome.runtime.ms < math.inf:
        reason = f"gain {outcome.gain_db} dB at {outcome.runtime.ms} ms is not a result"
        return Broken("diverged", reason, outcome.runtime, outcome.size, outcome.seconds)
    if outcome.weights is None or outcome.weights.data is None:
        return outcome
    file = f"{candidate.trial:05d}-{candidate.key}.safetensors"
    try:
        write_atomic(weights_folder(folder) / file, outcome.weights.data)
    except OSError as error:
        raise InputError(
            f"Weights cannot be written to {weights_folder(folder)} ({error.strerror}): "
            "fix that and run the same command again."
        ) from error
    return replace(outcome, weights=Weights(outcome.weights.sha256, file=file))


def weights_file(outcome: Outcome | None, folder: Path) -> Path | None:
    """Return the file of an outcome's weights; None if there are none, or they are damaged."""
    if not isinstance(outcome, Trained) or outcome.weights is None or outcome.weights.file is None:
        return None
    path = weights_folder(folder) / outcome.weights.file
    with suppress(OSError):
        if hashlib.sha256(path.read_bytes()).hexdigest() == outcome.weights.sha256:
            return path
    return None


def weights_folder(folder: Path) -> Path:
    """Return the folder of weights within a study's folder."""
    return folder / "weights"
