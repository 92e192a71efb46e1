"""What a runtime is asked of: the GPU here, the CPU here, or a model of a device elsewhere.

Measured runtimes are kept in the cache and never measured twice: the key is the structure of what
runs (not its weights), the size, the precision, the backends, the device and the versions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from nas.common.errors import InputError
from nas.measure.cost.memory import Precision
from nas.measure.cost.trace import LayerCost, as_run, trace
from nas.measure.latency.measure import (
    BACKENDS,
    QUICK,
    Kind,
    Latency,
    Mode,
    measure_cpu,
    measure_cuda,
    versions,
)
from nas.measure.latency.onnx_backend import onnx_versions
from nas.measure.latency.predict import PROFILES, TAKEN, LatencyModel, profile_names
from nas.measure.latency.store import (
    note_anchor,
    recall,
    remember,
    structure_of,
    usual_anchor,
)
from search_spaces.architecture import Architecture

DEFAULT_PROFILE = "rtx4090"
"""The model that ``auto`` takes where there is no GPU."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where runtimes come from. Immutable and small: workers get it by pickling."""

    name: str
    """``cuda``, ``cpu`` or the name of a profile."""
    kind: Kind
    note: str
    """One line that says what this target is and how far to trust it."""
    height: int = 540
    width: int = 960
    mode: Mode = "device"
    """How CUDA is timed."""
    backends: tuple[str, ...] | None = None
    """Backends to choose the fastest of; None for the target's own default."""
    threads: int | None = None
    """CPU threads; None for all that the process may use."""
    model: LatencyModel | None = field(default=None, repr=False)
    """What predicts; workers on other machines get it with the target. None where one measures."""

    @property
    def precision(self) -> Precision:
        """What networks run in there."""
        if self.model is not None:
            return self.model.precision
        return "float32" if self.name == "cpu" else "float16"

    @property
    def identity(self) -> dict[str, str]:
        """What results depend on: a fitted profile's content and backends asked for too."""
        identity = {"name": self.name, "note": self.note}
        if self.backends is not None:
            identity["backends"] = ",".join(self.backends)
        shipped = PROFILES / f"{self.name}.json"
        if self.model is not None and not (
            shipped.is_file() and LatencyModel.read(shipped) == self.model
        ):
            identity["digest"] = hashlib.sha256(self.model.to_json().encode()).hexdigest()[:16]
        return identity

    def latency(self, network: nn.Module | Architecture, *, again: bool = False) -> Latency:
        """Return the runtime of a network as it runs: predicted, remembered, or measured now.

        With ``again`` it is measured whatever the store remembers, and remembered instead.
        """
        if self.model is not None:
            return self.model.predict(network, self.height, self.width)
        run = as_run(network, self._timed)
        layers = trace(run, self.height, self.width)
        key = self._key(layers)
        known = None if again else recall(key)
        if known is not None and known.details.get("steady", True):
            return known
        latency = self._measure(run)
        described = getattr(network, "architecture", network)
        architecture = described if isinstance(described, Architecture) else None
        remember(key, latency, layers, architecture)
        return latency

    @property
    def _timed(self) -> str:
        return self.mode if self.name == "cuda" else "wall"

    def _measure(self, run: nn.Module) -> Latency:
        conditions = self._conditions()
        shared: dict[str, Any] = {
            "height": self.height,
            "width": self.width,
            "backends": self.backends,
            "usual_ms": usual_anchor(conditions),
        }
        if self.name == "cuda":
            latency = measure_cuda(run, mode=self.mode, **shared)
        else:
            latency = measure_cpu(run, threads=self.threads, **shared)
        if "anchor_ms" in latency.details:
            note_anchor(conditions, latency.details["anchor_ms"])
        return latency

    def _key(self, layers: Sequence[LayerCost]) -> dict[str, Any]:
        backends = list(self.backends or QUICK)
        key = {"structure": structure_of(layers), "backends": backends} | self._conditions()
        return key | onnx_versions(backends, self.name)

    def _conditions(self) -> dict[str, Any]:
        """What every runtime here depends on, whatever the network and how it is run."""
        timed = {"mode": self.mode} if self.name == "cuda" else {"threads": self.threads}
        size = {"height": self.height, "width": self.width}
        here = {"target": self.name, "precision": self.precision, **size, **timed}
        return here | versions(self.name)


def resolve_target(
    name: str = "auto",
    *,
    height: int = 540,
    width: int = 960,
    mode: Mode = "device",
    backends: tuple[str, ...] | None = None,
    threads: int | None = None,
) -> Target:
    """Return the target of a name: ``auto``, ``cuda``, ``cpu``, or a latency profile.

    ``auto`` is ``cuda`` where there is one, else the model of an RTX 4090; the note says which.
    A profile is named, or given as the file that ``nas latency fit`` wrote.

    Raises:
        InputError: the name, the mode or a backend is unknown, ``cuda`` is asked for and there is
            none, a file is no profile, or backends are asked of a profile.
    """
    if unknown := [backend for backend in backends or () if backend not in BACKENDS]:
        raise InputError(f"there is no backend '{unknown[0]}'; choose of {', '.join(BACKENDS)}")
    if mode not in get_args(Mode):
        raise InputError(f"there is no mode '{mode}'; choose one of {', '.join(get_args(Mode))}")
    settings: dict[str, Any] = {
        "height": height,
        "width": width,
        "mode": mode,
        "backends": backends,
        "threads": threads,
    }
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise InputError(
            "target 'cuda' needs a CUDA device and PyTorch finds none: "
            f"choose cpu or {DEFAULT_PROFILE}"
        )
    if name == "cuda" or (name == "auto" and there):
        form = "as exported" if mode == "device" else "plain deploy form"
        note = f"measured on {torch.cuda.get_device_name()} in FP16, {mode} mode, {form}"
        return Target("cuda", "measured", note, **settings)
    if name == "cpu":
        return Target("cpu", "measured", "measured on this CPU in FP32, as exported", **settings)
    if name == "auto":
        model = LatencyModel.load(DEFAULT_PROFILE)
        note = f"no CUDA device here, so {model.note}"
    elif name in profile_names():
        model = LatencyModel.load(name)
        note = model.note
    elif Path(name).is_file():
        model = LatencyModel.read(Path(name))
        note = model.note
    else:
        choices = ", ".join([*TAKEN, *profile_names()])
        raise InputError(
            f"there is no target '{name}'; choose one of {choices} or the file of a latency profile"
        )
    if backends:
        raise InputError(
            f"target '{model.device}' predicts, and backends are measured: give target cpu or cuda"
        )
    return Target(model.device, "predicted", note, model=model, **settings)
