"""The store of measured runtimes: one JSON file each in the cache, with all that a fit needs.

An entry holds its key (structure of what ran, size, precision, backends, device, versions),
the runtime, and the traced layers, so that `nas.measure.latency.fit` reads it without the network
and without the plugin that the network came from.
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
    """Empty in entries from before they were kept."""
    architecture: Architecture | None
    """None for a network that is no architecture of ours, or was written by another version."""


def structure_of(layers: Sequence[LayerCost]) -> str:
    """Return a hash that networks share when they run the same layers, whatever their weights."""
    rows = [astuple(replace(layer, name="", module="")) for layer in layers]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:32]


def recall(key: dict[str, Any]) -> Latency | None:
    """Return the runtime that was kept under ``key``."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return Latency.from_dict((read_json(_place(key)) or {})["latency"])
    return None


def remember(
    key: dict[str, Any],
    latency: Latency,
    layers: Sequence[LayerCost],
    architecture: Architecture | None,
) -> None:
    """Keep a runtime under ``key``, as far as the cache can be written."""
    entry = {
        "key": key,
        "latency": latency.to_dict(),
        "layers": [asdict(layer) for layer in layers],
        "architecture": None if architecture is None else architecture.to_dict(),
    }
    with suppress(OSError):  # the runtime stands without the store
        write_json(_place(key), entry)


def usual_anchor(conditions: Mapping[str, Any]) -> float:
    """Return the least time, in ms, that the anchor took under the same conditions; or infinity."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return float((read_json(_anchor(conditions)) or {})["ms"])
    return math.inf


def note_anchor(conditions: Mapping[str, Any], ms: float) -> None:
    """Keep what the anchor took, if it never took less, as far as the cache can be written."""
    if ms < usual_anchor(conditions):
        with suppress(OSError):
            write_json(_anchor(conditions), {"conditions": dict(conditions), "ms": ms})


def entries(folder: Path) -> Iterator[Entry]:
    """Return what a store's folder holds, by file name; files that are no entries are passed over.

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


def _place(key: Mapping[str, Any]) -> Path:
    return cache_root() / "latency" / f"{_digest(key)}.json"


def _anchor(conditions: Mapping[str, Any]) -> Path:
    return cache_root() / "latency" / "anchors" / f"{_digest(conditions)}.json"


def _digest(key: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:32]
