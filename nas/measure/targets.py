"""What a runtime is asked of: the GPU here, the CPU here, or a model of a GPU elsewhere.

Measured runtimes are kept in the cache and never measured twice: the key is the deploy form's
structure (not its weights), the size, the precision, the backends, the device and the versions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nas.data.cache import cache_root
from nas.measure.latency import QUICK, Kind, Latency, Mode, measure_cpu, measure_cuda, versions
from nas.measure.latency_model import LatencyModel, profile_names
from nas.measure.layers import LayerCost, trace
from nas.measure.memory import Precision
from search_spaces.architecture import Architecture
from search_spaces.errors import InputError
from search_spaces.files import write_atomic

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

    @property
    def precision(self) -> Precision:
        """What networks run in there."""
        return "float32" if self.name == "cpu" else "float16"

    def latency(self, network: nn.Module | Architecture) -> Latency:
        """Return the runtime of a deploy form: predicted, remembered, or measured now."""
        if self.kind == "predicted":
            return LatencyModel.load(self.name).predict(network, self.height, self.width)
        key = self._key(trace(network, self.height, self.width))
        if (known := _recall(key)) is not None:
            return known
        latency = self._measure(network)
        _remember(key, latency)
        return latency

    def _measure(self, network: nn.Module | Architecture) -> Latency:
        size: dict[str, Any] = {"height": self.height, "width": self.width}
        if self.name == "cuda":
            return measure_cuda(network, mode=self.mode, backends=self.backends, **size)
        return measure_cpu(network, backends=self.backends, threads=self.threads, **size)

    def _key(self, layers: Sequence[LayerCost]) -> dict[str, Any]:
        key: dict[str, Any] = {
            "structure": structure_of(layers),
            "height": self.height,
            "width": self.width,
            "backends": list(self.backends or QUICK),
            "target": self.name,
        }
        key |= {"mode": self.mode} if self.name == "cuda" else {"threads": self.threads}
        key["precision"] = self.precision
        return key | versions(self.name)


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

    Raises:
        InputError: the name is unknown, or ``cuda`` is asked for and there is none.
    """
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
        note = f"measured on {torch.cuda.get_device_name()} in FP16, {mode} mode"
        return Target("cuda", "measured", note, **settings)
    if name == "cpu":
        return Target("cpu", "measured", "measured on this CPU in FP32", **settings)
    if name == "auto" or name in profile_names():
        profile = DEFAULT_PROFILE if name == "auto" else name
        note = LatencyModel.load(profile).note
        if name == "auto":
            note = f"no CUDA device here, so {note}"
        return Target(profile, "predicted", note, **settings)
    choices = ", ".join(["auto", "cuda", "cpu", *profile_names()])
    raise InputError(f"there is no target '{name}'; choose one of {choices}")


def structure_of(layers: Sequence[LayerCost]) -> str:
    """Return a hash that networks share when they run the same layers, whatever their weights."""
    rows = [astuple(replace(layer, name="", module="")) for layer in layers]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:32]


def _place(key: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    return cache_root() / "latency" / f"{digest}.json"


def _recall(key: dict[str, Any]) -> Latency | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        entry = json.loads(_place(key).read_bytes())
        return Latency.from_dict(entry["latency"])
    return None


def _remember(key: dict[str, Any], latency: Latency) -> None:
    entry = {"key": key, "latency": latency.to_dict()}
    with suppress(OSError):  # the runtime stands without the store
        write_atomic(_place(key), json.dumps(entry).encode())
