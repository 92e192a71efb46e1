"""Finding trained networks: shipped ones by name, others by file or folder."""

from __future__ import annotations

from pathlib import Path

from nas.common.errors import InputError
from search_spaces.model_file import SUFFIX, Model, load_model

WEIGHTS = Path(__file__).parent / "weights"

IN_FOLDER = ("best", "weights", "last")
"""Stems of the models that folders hold, by preference: a training's best, an MLflow model's."""


def shipped() -> tuple[str, ...]:
    """Names of the shipped models."""
    return tuple(sorted(path.stem for path in WEIGHTS.glob(f"*{SUFFIX}")))


def find_model(source: str | Path) -> Model:
    """Load a model by its shipped name, from its file, or from the folder of a training.

    Raises:
        InputError: there is none.
    """
    return load_model(find_file(source))


def find_file(source: str | Path) -> Path:
    """Return the file of a model; see `find_model`.

    Raises:
        InputError: there is none.
    """
    if str(source) in shipped():
        return WEIGHTS / f"{source}{SUFFIX}"
    path = Path(source)
    if path.is_dir():
        for stem in IN_FOLDER:
            if (file := path / f"{stem}{SUFFIX}").is_file():
                return file
        names = ", ".join(f"{stem}{SUFFIX}" for stem in IN_FOLDER)
        raise InputError(f"the folder {path} holds no model: none of {names} is there")
    if not path.is_file():
        known = " or ".join(shipped())
        raise InputError(
            f"there is no model '{source}': give {known + ', ' if known else ''}"
            f"a {SUFFIX} file, or the folder of a training"
        )
    return path
