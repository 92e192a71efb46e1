"""What MODEL and NETWORK arguments may be, the same for every command that takes one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING, Store

if TYPE_CHECKING:
    from search_spaces.architecture import Architecture
    from search_spaces.model_file import Model

ModelArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A shipped model, a .safetensors file, a training's folder, STUDY/TRIAL, "
        "or an MLflow model such as models:/avif4x@champion.",
    ),
]
NetworkArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK",
        help="A network of the survey, a JSON description, or anything that MODEL can be.",
    ),
]


def model(
    source: str,
    *,
    storage: str = DEFAULT_STORAGE,
    tracking_uri: str = DEFAULT_TRACKING,
    plugins: Sequence[str] | None = None,
) -> Model:
    """Load a trained network.

    Args:
        source: a shipped name, a file, a folder, ``STUDY/TRIAL``, ``models:/...`` or ``runs:/...``.
        storage: database URL of the studies, for ``STUDY/TRIAL``.
        tracking_uri: MLflow's, for ``models:/...`` and ``runs:/...``.
        plugins: files that bring blocks.

    Raises:
        InputError: there is no such model, or it cannot be used.
    """
    from nas.deploy.models import find_model
    from search_spaces.plugins import load_all

    load_all(plugins or ())
    return find_model(_local(source, storage, tracking_uri))


def network(
    source: str,
    *,
    storage: str = DEFAULT_STORAGE,
    tracking_uri: str = DEFAULT_TRACKING,
    plugins: Sequence[str] | None = None,
) -> tuple[str, Architecture]:
    """Return the name and the architecture of what `model` takes, of a known network or a JSON.

    Raises:
        InputError: there is no such network.
    """
    from nas.deploy.models import find_file
    from search_spaces import InputError, published, references
    from search_spaces.model_file import SUFFIX, load_model, read_architecture
    from search_spaces.plugins import load_all

    load_all(plugins or ())
    for known in (published, references):
        for name, entry in known.items():
            if name.lower() == source.lower():
                return name, entry.architecture
    path = Path(_local(source, storage, tracking_uri))
    try:
        file = path if path.is_file() else find_file(path)
    except InputError as fault:
        names = ", ".join((*published, *references))
        raise InputError(f"{fault}; known networks are {names}") from None
    if file.suffix == SUFFIX:
        trained = load_model(file)
        return trained.name, trained.architecture
    return file.stem, read_architecture(file)


def _local(source: str, storage: str, tracking_uri: str) -> str | Path:
    """The file or folder that a source names, fetched where it lies elsewhere."""
    if source.startswith(("models:", "runs:")):
        from studies.tracking.fetch import fetch

        return fetch(source, tracking_uri)
    named = None if Path(source).exists() else _TRIAL.fullmatch(source)
    if named is None:
        return source
    from studies.results.model_files import trial_model

    return trial_model(Store.parse(storage), named["study"], int(named["trial"]))


_TRIAL = re.compile(r"(?P<study>[A-Za-z0-9][A-Za-z0-9._-]{0,99})/(?P<trial>\d{1,9})")
