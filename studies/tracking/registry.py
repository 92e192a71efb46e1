"""Promoted models in the model registry: a version each, and the champion among them."""

from __future__ import annotations

import base64
import io
import math
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema
from PIL import Image

from nas.common.text import code, plain
from nas.measure.colour import colour_gain_db, colour_words
from search_spaces.model_file import load_model
from studies.core.budget import Budget
from studies.core.candidate import network_title, title_of
from studies.results.promotions import FRONT, MODEL, ONNX, Promotion
from studies.tracking.store import Store, measured, model_name
from studies.tracking.training import TRAINING, identify

CHAMPION = "champion"
_CODE = Path(__file__).with_name("server.py")
_DIGITS = 4  # of figures in tags
_NEEDED = ("nas-workbench", "torch", "safetensors", "pillow", "pillow-avif-plugin", "mlflow")


def register(store: Store, run_id: str, name: str, folder: Path, promotion: Promotion) -> str:
    """Register a promoted model unless it is registered, and return its version.

    Args:
        store: The tracking store.
        run_id: Run of the promotion.
        name: Name of the registered model, which is created if it does not exist.
        folder: Folder of the promotion.
        promotion: Its result.
    """
    _create_if_absent(store, name)
    identity = identify(folder)
    for known in versions(store, name):
        if known.tags.get(TRAINING) == identity:
            return str(known.version)
    logged = _create_logged_model(store, run_id, folder, promotion)
    created = store.client.create_model_version(
        name,
        source=logged.artifact_location,
        run_id=run_id,
        tags={TRAINING: identity, **tags(promotion)},
        description=description(promotion),
        # Only a server can look it up: without one, MLflow asks its global store instead.
        model_id=logged.model_id if store.is_server else None,
    )
    return str(created.version)


def versions(store: Store, name: str) -> list[ModelVersion]:
    """Return all versions of a registered model."""
    found: list[ModelVersion] = []
    token = None
    while True:
        page = store.client.search_model_versions(f"name = '{name}'", page_token=token)
        found += list(page)
        token = page.token
        if not token:
            return found


def set_champion(store: Store, name: str, data: str, limits: Budget) -> str | None:
    """Give the alias `CHAMPION` to the version with the highest gain within the limits.

    Only gains on the same images compare: versions of other datasets are ignored.

    Args:
        store: The tracking store.
        name: Name of the registered model.
        data: Digest of the dataset.
        limits: Limits of runtime and colour.

    Returns:
        The version; None if none is within the limits.
    """
    limit_ms = math.inf if limits.runtime_ms is None else limits.runtime_ms
    slowest = round(limit_ms, _DIGITS)  # like the tags
    fits = [
        found
        for found in versions(store, name)
        if found.tags.get("data") == data
        and float(found.tags["runtime_ms"]) <= slowest
        and not limits.is_tinted(_colour_gain_db(found.tags))
    ]
    best = max(
        fits,
        key=lambda v: (float(v.tags["gain_db"]), -float(v.tags["runtime_ms"]), int(v.version)),
        default=None,
    )
    if best is None:
        return None
    store.client.set_registered_model_alias(name, CHAMPION, str(best.version))
    return str(best.version)


def _colour_gain_db(tags: Mapping[str, str]) -> float | None:
    """Return the lower gain of Cb and Cr; None for versions without."""
    if not {"gain_cb_db", "gain_cr_db"} <= set(tags):
        return None
    return colour_gain_db(float(tags["gain_cb_db"]), float(tags["gain_cr_db"]))


def tags(promotion: Promotion) -> dict[str, str]:
    """Return the tags by which runs and versions can be searched."""
    colour = measured(gain_cb_db=promotion.gain_cb_db, gain_cr_db=promotion.gain_cr_db)
    return {
        "study_name": promotion.study,
        "trial": str(promotion.trial),
        "network": network_title(promotion.name),
        "architecture": promotion.architecture,
        "recipe": promotion.recipe,
        "steps": str(promotion.steps),
        "teacher": promotion.teacher,
        "data": promotion.data,
        "data_name": promotion.data_name,
        "gain_db": f"{promotion.gain_db:.{_DIGITS}f}",
        **{name: f"{gain:.{_DIGITS}f}" for name, gain in colour.items()},
        "proxy_gain_db": f"{promotion.proxy_gain_db:.{_DIGITS}f}",
        "runtime_ms": f"{promotion.runtime_ms:.{_DIGITS}f}",
        "runtime": f"{promotion.runtime_kind} {promotion.runtime_target}".strip(),
        "git": str(promotion.made_by.get("git")),
        "sha256": promotion.digest,
    }


def description(promotion: Promotion) -> str:
    """Describe a version in Markdown."""
    p = promotion
    rows = [
        f"| QP {qp} | {p.psnr_y_db[qp]:.3f} | {gain:+.3f} |"
        for qp, gain in p.gain_db_per_qp.items()
    ]
    exported = "not exported" if p.onnx_error is None else f"within {p.onnx_error:.1e} of PyTorch"
    return "\n".join(
        [
            f"**{plain(title_of(p.trial, p.name))}** of {code(p.study)}: **{p.gain_db:+.3f} dB** "
            f"over Lanczos, {p.runtime_ms:.3f} ms {p.runtime_kind} ({plain(p.runtime_target)}).",
            "",
            "| held-out images | PSNR-Y dB | gain dB |",
            "|---|---:|---:|",
            *rows,
            f"| mean | | {p.gain_db:+.3f} |",
            "",
            f"- {p.params:,} parameters, {p.macs_g:.2f} G MACs at 540x960",
            f"- trained {p.steps:,} steps by recipe {code(p.recipe)}, teacher {code(p.teacher)}",
            f"- dataset {code(p.data_name)} ({p.data[:12]}), commit `{p.made_by.get('git')}`",
            f"- colour over Lanczos: {colour_words(p.gain_cb_db, p.gain_cr_db)}",
            f"- proxy run: {p.proxy_gain_db:+.3f} dB",
            f"- ONNX {exported}",
        ]
    )


def _create_if_absent(store: Store, name: str) -> None:
    try:
        store.client.create_registered_model(name, tags={"task": "super-resolution-x4"})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _create_logged_model(store: Store, run_id: str, folder: Path, promotion: Promotion) -> Any:
    """Create a LoggedModel with all files of the model; MLflow can serve it."""
    logged = store.client.create_logged_model(
        store.experiment,
        name=model_name(f"{promotion.study}-{promotion.trial}-full"),
        source_run_id=run_id,
        params={"architecture": promotion.architecture},
        model_type="super-resolution-x4",
        tags=tags(promotion),
    )
    with tempfile.TemporaryDirectory(prefix="nas-model-") as aside:
        target = Path(aside) / "model"
        _save_pyfunc(target, folder / MODEL, Model(run_id=run_id, model_id=logged.model_id))
        for file in (MODEL, ONNX, FRONT):
            if (folder / file).is_file():
                shutil.copyfile(folder / file, target / file)
        architecture = load_model(folder / MODEL).architecture.to_json()
        (target / "architecture.json").write_text(architecture)
        store.client.log_model_artifacts(logged.model_id, str(target))
    store.client.finalize_logged_model(logged.model_id, "READY")
    return logged


def _save_pyfunc(folder: Path, model: Path, metadata: Model) -> None:
    """Write the files with which MLflow serves the model: code and safetensors, no pickle."""
    column = Schema([ColSpec("string", "image")])
    mlflow.pyfunc.save_model(
        str(folder),
        python_model=str(_CODE),
        artifacts={"model": str(model)},
        signature=ModelSignature(column, column),
        input_example={"image": [_example()]},
        pip_requirements=list(_requirements(_NEEDED)),
        mlflow_model=metadata,
    )


def _requirements(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        try:
            yield f"{name}=={version(name)}"
        except PackageNotFoundError:
            yield name


def _example() -> str:
    """Return a small image as in a request."""
    ramp = np.linspace(0, 255, 16, dtype=np.uint8)
    pixels = np.stack(np.broadcast_arrays(ramp, ramp[:, None], ramp[::-1]), 2)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
