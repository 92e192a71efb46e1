"""Where runtimes come from: this GPU, this CPU, or a latency model of another device.

Measured runtimes are cached: the key is the structure of what runs (not its weights), the size, the
precision, the backends, the device and the versions.
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
from nas.measure.cost.trace import LayerCost, inference_form, trace
from nas.measure.latency.backends import backend_versions, quick_backends
from nas.measure.latency.backends import backends as registry
from nas.measure.latency.measure import (
    Kind,
    Latency,
    Mode,
    measure_cpu,
    measure_cuda,
    versions,
)
from nas.measure.latency.predict import PROFILES, TAKEN, LatencyModel, profile_names
from nas.measure.latency.store import (
    anchor_baseline,
    load,
    note_anchor,
    save,
    structure_of,
)
from search_spaces.architecture import Architecture

DEFAULT_PROFILE = "rtx4090"
"""The model that ``auto`` takes where there is no GPU."""


@dataclass(frozen=True, slots=True)
class Target:
    """A source of runtimes. Immutable and small, because it is pickled for workers."""

    name: str
    """``cuda``, ``cpu`` or the name of a profile."""
    kind: Kind
    note: str
    """One line: what this target is and how accurate."""
    height: int = 540
    width: int = 960
    mode: Mode = "device"
    """How CUDA is timed."""
    backends: tuple[str, ...] | None = None
    """Backends of which the fastest counts; None for the default."""
    threads: int | None = None
    """CPU threads; None for all that the process may use."""
    model: LatencyModel | None = field(default=None, repr=False)
    """The latency model of a predicting target; workers get it too."""

    @property
    def precision(self) -> Precision:
        """In which networks run there."""
        if self.model is not None:
            return self.model.precision
        return "float32" if self.name == "cpu" else "float16"

    @property
    def identity(self) -> dict[str, str]:
        """What results depend on, the content of a fitted profile and chosen backends included."""
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
        """Return the runtime of a network: predicted, from the cache, or measured now.

        ``again`` measures it even if it is in the cache.
        """
        if self.model is not None:
            return self.model.predict(network, self.height, self.width)
        run = inference_form(network, self._timed)
        layers = trace(run, self.height, self.width)
        key = self._key(layers)
        known = None if again else load(key)
        if known is not None and known.details.get("steady", True):
            return known
        latency = self._measure(run)
        described = getattr(network, "architecture", network)
        architecture = described if isinstance(described, Architecture) else None
        save(key, latency, layers, architecture)
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
            "anchor_baseline_ms": anchor_baseline(conditions),
        }
        if self.name == "cuda":
            latency = measure_cuda(run, mode=self.mode, **shared)
        else:
            latency = measure_cpu(run, threads=self.threads, **shared)
        if "anchor_ms" in latency.details:
            note_anchor(conditions, latency.details["anchor_ms"])
        return latency

    def _key(self, layers: Sequence[LayerCost]) -> dict[str, Any]:
        names = list(self.backends or quick_backends())
        key = {"structure": structure_of(layers), "backends": names} | self._conditions()
        return key | backend_versions(names, self.name)

    def _conditions(self) -> dict[str, Any]:
        """What every runtime here depends on, for all networks and backends."""
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
    for backend in backends or ():
        registry[backend]  # raises where there is none
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
