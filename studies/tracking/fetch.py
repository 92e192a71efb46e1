"""Download of models from MLflow: ``models:/NAME@ALIAS`` and similar URIs."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from nas.common.errors import InputError
from nas.common.files import cache_root
from search_spaces.model_file import SUFFIX, is_model, load_bare, read_architecture, save_model
from studies.storage.store import masked, sqlite_file
from studies.tracking.store import fault

_MODEL = re.compile(r"models:/(?P<name>[\w .-]+)(?:@(?P<alias>[\w.-]+)|/(?P<version>\d+))")
_LOGGED = re.compile(r"models:/(?P<id>m-[0-9a-f]{8,64})")
_RUN = re.compile(r"runs:/(?P<run>[0-9a-zA-Z_-]{8,64})(?:/(?P<path>.+))?")
_FILES = ("model", "best", "weights", "last")  # stems in order of preference


def fetch(uri: str, tracking_uri: str) -> Path:
    """Download a model into the cache and return its file. No code of it is run or unpickled.

    Args:
        uri: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, ``models:/m-ID`` or
            ``runs:/RUN_ID[/PATH]``.
        tracking_uri: The tracking store.

    Raises:
        InputError: The store cannot be reached, has no such model or run, or it is no model of the
            workbench.
    """
    file = sqlite_file(tracking_uri)
    if file is not None and not file.is_file():
        raise InputError(
            f"{uri} cannot be found: there is no tracking store {file}; "
            "give --tracking-uri, or set MLFLOW_TRACKING_URI"
        )
    client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
    folder = cache_root() / "mlflow"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as aside:
            location = _location(client, uri)
            mlflow.artifacts.download_artifacts(
                artifact_uri=location, dst_path=aside, tracking_uri=tracking_uri
            )
            file = folder / f"{_key(tracking_uri, location)}{SUFFIX}"
            return _model_in(uri, Path(aside)).replace(file)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{uri} cannot be downloaded into {folder}: {error}") from error
    except Exception as error:
        raise InputError(f"{uri} cannot be downloaded from {fault(tracking_uri, error)}") from error


def _location(client: MlflowClient, uri: str) -> str:
    """Return the URI of the artifacts; MLflow would resolve it in its global store instead."""
    if logged := _LOGGED.fullmatch(uri):
        return client.get_logged_model(logged["id"]).artifact_location
    if named := _MODEL.fullmatch(uri):
        version = _version(client, uri, named["name"], named["alias"], named["version"])
        location = client.get_model_version_download_uri(named["name"], version)
        return _location(client, location) if _LOGGED.fullmatch(location) else location
    if run := _RUN.fullmatch(uri):
        root = client.get_run(run["run"]).info.artifact_uri
        return f"{root}/{run['path']}" if run["path"] else root
    raise InputError(
        f"{uri} is no URI of a model: give models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN_ID"
    )


def _version(
    client: MlflowClient, uri: str, name: str, alias: str | None, version: str | None
) -> str:
    try:
        registered = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        names = [model.name for model in client.search_registered_models(max_results=20)]
        raise InputError(f"there is no registered model {name!r}: {_choices(names)}") from error
    if alias is not None:
        if alias not in registered.aliases:
            known = [f"{name}@{other}" for other in registered.aliases]
            raise InputError(f"{uri}: {name!r} has no alias {alias!r}: {_choices(known)}")
        version = str(registered.aliases[alias])
    versions = [str(v.version) for v in client.search_model_versions(f"name = '{name}'")]
    if version not in versions:
        raise InputError(f"{uri}: {name!r} has no version {version}: {_choices(versions)}")
    return version


def _choices(names: Iterable[str]) -> str:
    return "available: " + (", ".join(sorted(names)) or "none")


def _key(tracking_uri: str, uri: str) -> str:
    return hashlib.sha256(f"{masked(tracking_uri)} {uri}".encode()).hexdigest()[:32]


def _model_in(uri: str, folder: Path) -> Path:
    """Find the model among downloaded files."""
    files = sorted(
        folder.rglob(f"*{SUFFIX}"),
        key=lambda path: (_FILES.index(path.stem) if path.stem in _FILES else len(_FILES), path),
    )
    for path in files:
        if is_model(path):
            return path
    for path in files:  # of an earlier version: weights beside their architecture
        if (described := path.with_name("architecture.json")).is_file():
            model = load_bare(path, read_architecture(described))
            save_model(model, path)
            return path
    raise InputError(f"{uri} has no model of this workbench: a {SUFFIX} file with its architecture")
