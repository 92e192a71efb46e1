"""The store of measured runtimes: one JSON file each in the cache, with all that a fit needs.

An entry holds its key (structure of what ran, size, precision, backends, device, versions),
the runtime, and the traced layers, so that `nas.measure.latency_fit` reads it without the network
and without the plugin that the network came from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

from nas.data.cache import cache_root
from nas.measure.latency import Latency
from nas.measure.layers import LayerCost
from search_spaces.architecture import Architecture
from search_spaces.errors import InputError
from search_spaces.sealed import read_json, write_json


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


def _place(key: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    return cache_root() / "latency" / f"{digest}.json"
