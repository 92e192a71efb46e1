"""The store of measured runtimes: one JSON file each in the cache.

An entry holds its key (structure of what ran, size, precision, backends, device, versions), the
runtime, and the traced layers, so that `nas.measure.latency.fit` needs neither the network nor the
plugin that it came from.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

from nas.common.checked_files import read_json, write_json
from nas.common.errors import InputError
from nas.common.files import cache_root
from nas.measure.cost.trace import LayerCost
from nas.measure.latency.measure import Latency
from search_spaces.architecture import Architecture


@dataclass(frozen=True, slots=True)
class Entry:
    """One measured runtime."""

    key: dict[str, Any]
    latency: Latency
    layers: tuple[LayerCost, ...]
    """Empty in entries of older versions."""
    architecture: Architecture | None
    """None for a network without one, or of another version."""


def structure_of(layers: Sequence[LayerCost]) -> str:
    """Return a hash that networks share when they run the same layers, whatever their weights."""
    rows = [astuple(replace(layer, name="", module="")) for layer in layers]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:32]


def load(key: dict[str, Any]) -> Latency | None:
    """Return the runtime that is stored under ``key``, if any."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return Latency.from_dict((read_json(_path(key)) or {})["latency"])
    return None


def save(
    key: dict[str, Any],
    latency: Latency,
    layers: Sequence[LayerCost],
    architecture: Architecture | None,
) -> None:
    """Store a runtime under ``key`` if the cache can be written."""
    entry = {
        "key": key,
        "latency": latency.to_dict(),
        "layers": [asdict(layer) for layer in layers],
        "architecture": None if architecture is None else architecture.to_dict(),
    }
    with suppress(OSError):  # works without the store
        write_json(_path(key), entry)


def anchor_baseline(conditions: Mapping[str, Any]) -> float:
    """Return the shortest time, in ms, of the anchor under the same conditions; or infinity."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return float((read_json(_anchor(conditions)) or {})["ms"])
    return math.inf


def note_anchor(conditions: Mapping[str, Any], ms: float) -> None:
    """Store the time of the anchor if it is the shortest, and the cache can be written."""
    if ms < anchor_baseline(conditions):
        with suppress(OSError):
            write_json(_anchor(conditions), {"conditions": dict(conditions), "ms": ms})


def entries(folder: Path) -> Iterator[Entry]:
    """Yield the entries of a store's folder by file name; other files are ignored.

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        paths = sorted(folder.glob("*.json"))
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from error
    for path in paths:
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = read_json(path) or {}
            latency = Latency.from_dict(found["latency"])
            layers = tuple(LayerCost(**layer) for layer in found.get("layers", ()))
            yield Entry(dict(found["key"]), latency, layers, _architecture(found))


def _architecture(found: dict[str, Any]) -> Architecture | None:
    with suppress(InputError):
        if found.get("architecture"):
            return Architecture.from_dict(found["architecture"])
    return None


def _path(key: Mapping[str, Any]) -> Path:
    return cache_root() / "latency" / f"{_digest(key)}.json"


def _anchor(conditions: Mapping[str, Any]) -> Path:
    return cache_root() / "latency" / "anchors" / f"{_digest(conditions)}.json"


def _digest(key: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:32]
