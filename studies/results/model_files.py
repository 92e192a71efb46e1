"""Model files of a study's trials: ``STUDY/TRIAL``."""

from __future__ import annotations

from pathlib import Path

from nas.common.errors import InputError
from nas.common.files import cache_root, unwritable
from search_spaces.architecture import Architecture
from search_spaces.model_file import SUFFIX, is_model, load_bare, save_model
from studies.core.weights import weights_file
from studies.results.promotions import promoted_model
from studies.results.selection import trained_record
from studies.results.snapshot import load
from studies.storage.store import Store


def trial_model(store: Store, study_name: str, trial: int) -> Path:
    """Return the model of a trial: of its newest promotion, else of its proxy run.

    Raises:
        InputError: There is no such study or trial, or its weights are gone.
    """
    study = load(store, study_name)
    record = trained_record(study, trial)
    folder = store.folder(study.name)
    # A duplicate has the weights of its original.
    original = record if record.duplicate_of is None else study.by_trial[record.duplicate_of]
    if (model := promoted_model(folder, original.trial)) is not None:
        return model
    path = weights_file(record.outcome, folder)
    if path is None:
        raise InputError(
            f"the weights of {study.name}/{trial} are missing from {folder} or damaged: "
            f"train it with 'nas promote {study.name} --trial {trial}'"
        )
    return with_embedded_architecture(path, original.candidate.architecture)


def with_embedded_architecture(path: Path, architecture: Architecture) -> Path:
    """Return a model file with these weights: ``path`` itself, or a copy with a header.

    Earlier versions wrote tensors without the architecture; their copy lies in the cache.

    Raises:
        InputError: The weights cannot be read, or are of another network.
    """
    if is_model(path):
        return path
    model = load_bare(path, architecture)
    file = cache_root() / "models" / f"{model.digest}-{architecture.key}{SUFFIX}"
    try:
        save_model(model, file)
    except OSError as fault:
        raise unwritable(fault) from fault
    return file
