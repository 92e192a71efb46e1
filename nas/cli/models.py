"""MODEL and NETWORK arguments, and the options that say where models are found."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from nas.cli.options import Plugins, Storage, TrackingUri
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING, Store

if TYPE_CHECKING:
    from search_spaces.architecture import Architecture
    from search_spaces.model_file import Model

ModelArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A shipped model, a .safetensors file, the folder of a training, STUDY/TRIAL, "
        "or an MLflow model such as models:/avif4x@champion.",
    ),
]
NetworkArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK",
        help="A network of the survey, a JSON file of an architecture, or any MODEL.",
    ),
]

_TRIAL = re.compile(r"(?P<study>[A-Za-z0-9][A-Za-z0-9._-]{0,99})/(?P<trial>\d{1,9})")


@dataclass(frozen=True, slots=True)
class ModelSources:
    """Where a command finds models that are not files.

    Attributes:
        storage: Database URL of the studies, for ``STUDY/TRIAL``.
        tracking_uri: MLflow store, for ``models:/...`` and ``runs:/...``.
        plugins: Python files that define blocks.
    """

    storage: str = DEFAULT_STORAGE
    tracking_uri: str = DEFAULT_TRACKING
    plugins: tuple[str, ...] = ()

    def model(self, source: str) -> Model:
        """Load a trained network.

        Raises:
            InputError: There is no such model, or it cannot be used.
        """
        from nas.deploy.models import find_model
        from search_spaces.plugins import load_all

        load_all(self.plugins)
        return find_model(self._local(source))

    def network(self, source: str) -> tuple[str, Architecture]:
        """Return name and architecture of a model, a published network or a JSON file.

        Raises:
            InputError: There is no such network.
        """
        from nas.deploy.models import find_file
        from search_spaces import InputError, published, references
        from search_spaces.model_file import SUFFIX, load_model, read_architecture
        from search_spaces.plugins import load_all

        load_all(self.plugins)
        for known in (published, references):
            for name, entry in known.items():
                if name.lower() == source.lower():
                    return name, entry.architecture
        path = Path(self._local(source))
        try:
            file = path if path.is_file() else find_file(path)
        except InputError as fault:
            names = ", ".join((*published, *references))
            raise InputError(f"{fault}; known networks are {names}") from None
        if file.suffix == SUFFIX:
            trained = load_model(file)
            return trained.name, trained.architecture
        return file.stem, read_architecture(file)

    def _local(self, source: str) -> str | Path:
        """Return the file or folder of a source; a model of MLflow is downloaded."""
        if source.startswith(("models:", "runs:")):
            from studies.tracking.fetch import fetch

            return fetch(source, self.tracking_uri)
        named = None if Path(source).exists() else _TRIAL.fullmatch(source)
        if named is None:
            return source
        from studies.results.model_files import trial_model

        return trial_model(Store.parse(self.storage), named["study"], int(named["trial"]))


def takes_models(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter ``sources`` of a command by options, placed before ``--json``."""
    options = {
        "storage": (Storage, DEFAULT_STORAGE),
        "tracking_uri": (TrackingUri, DEFAULT_TRACKING),
        "plugin": (Plugins, None),
    }

    @wraps(command)
    def run(*, storage: str, tracking_uri: str, plugin: list[str] | None, **given: Any) -> None:
        command(**given, sources=ModelSources(storage, tracking_uri, tuple(plugin or ())))

    shown = signature(command, eval_str=True)
    parameters = [each for each in shown.parameters.values() if each.name != "sources"]
    parameters[-1:-1] = [
        Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=kind)
        for name, (kind, default) in options.items()
    ]
    vars(run)["__signature__"] = shown.replace(parameters=parameters)
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run
