"""Trained networks that a study knows, as files of models: ``STUDY/TRIAL``."""

from __future__ import annotations

from pathlib import Path

from nas.common.errors import InputError
from nas.common.files import cache_root, unwritable
from search_spaces.architecture import Architecture
from search_spaces.model_file import SUFFIX, is_model, load_bare, save_model
from studies.core.record import Record
from studies.core.weights import weights_file
from studies.results.promotions import promoted_model
from studies.results.selection import trained_record
from studies.results.snapshot import read_study
from studies.storage.store import Store


def trial_model(store: Store, study: str, trial: int) -> Path:
    """Return the model of a trial: promoted, the newest of those, else as its proxy run left it.

    Raises:
        InputError: there is no such study or trial, or it left no weights; says which there are.
    """
    info, records = read_study(store, study)
    study = info.name
    record = trained_record(study, records, trial)
    folder = store.folder(study)
    evaluated = trial if record.duplicate_of is None else record.duplicate_of
    if (model := promoted_model(folder, evaluated)) is not None:
        return model
    path = weights_file(record.outcome, folder)
    if path is None:
        raise InputError(
            f"the weights of {study}/{trial} are not in {folder} any more, or are damaged: "
            f"train it with 'nas promote {study} --trial {trial}'"
        )
    return self_described(path, _evaluated(record, records))


def self_described(path: Path, architecture: Architecture) -> Path:
    """Return a model's file with these weights: the file itself, unless its header lacks a model.

    Earlier versions wrote bare tensors. Such a file gets its header in the cache.

    Raises:
        InputError: the weights cannot be read, or are of another network.
    """
    if is_model(path):
        return path
    model = load_bare(path, architecture)
    place = cache_root() / "models" / f"{model.digest}-{architecture.key}{SUFFIX}"
    try:
        save_model(model, place)
    except OSError as fault:
        raise unwritable(fault) from fault
    return place


def _evaluated(record: Record, records: tuple[Record, ...]) -> Architecture:
    """Return the architecture that was trained: a duplicate has the weights of its original."""
    if record.duplicate_of is None:
        return record.candidate.architecture
    (original,) = (r for r in records if r.trial == record.duplicate_of)
    return original.candidate.architecture
