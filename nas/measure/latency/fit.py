"""A latency model from runtimes that were measured somewhere: a store, or a table of the user's.

Runtimes are comparable only when they were measured alike, so a store is sorted by device,
precision, size, way of timing and versions, and one kind is fitted. Prices are not negative and
nothing else is known of the device, so more of anything is never faster.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from nas.common.errors import InputError
from nas.common.files import read_text
from nas.common.text import Progress, silent
from nas.measure.cost.memory import Precision
from nas.measure.cost.trace import LayerCost, inference_form, trace
from nas.measure.latency.interleave import BUSY
from nas.measure.latency.predict import FEATURES, PROFILES, LatencyModel, check_name, fit
from nas.measure.latency.store import Entry, entries, structure_of
from search_spaces.architecture import Architecture
from search_spaces.model_file import read_architecture
from search_spaces.zoo.references import references
from search_spaces.zoo.survey import published

FEWEST = len(FEATURES) + 1
"""Networks that a fit needs: leaving one out still leaves one for each price."""

_NAMES, _RUNTIMES = ("architecture", "network", "name"), ("runtime_ms", "ms")
_SENSE = "a network (name, file or JSON) in 'network' and milliseconds in 'runtime_ms'"


@dataclass(frozen=True, slots=True)
class Measured:
    """One network's runtime."""

    name: str
    layers: tuple[LayerCost, ...]
    ms: float


@dataclass(frozen=True, slots=True)
class Runtimes:
    """Runtimes that were measured alike."""

    device: str
    how: str
    """In a few words: device, precision, size, way of timing."""
    source: str
    """Where they come from, as predictions will say."""
    mode: str
    precision: Precision
    height: int
    width: int
    rows: tuple[Measured, ...]
    left_out: tuple[str, ...] = ()
    """What else the store held, one line each."""


def read_runtimes(
    path: Path,
    *,
    only: Sequence[str] = (),
    height: int = 540,
    width: int = 960,
    precision: Precision = "float16",
    progress: Progress = silent,
) -> Runtimes:
    """Read runtimes from a store's folder, or from a CSV or JSON file.

    Args:
        path: The ``latency`` folder of a cache; or a file of rows with a network (known name,
            file beside it, or JSON) and milliseconds, as ``nas front --json`` prints them too.
        only: Words that a store's kind of runtime has to contain, such as ``cuda`` or ``540x960``;
            of the kinds left the one with the most networks is taken.
        height: Rows of the pictures that a file's runtimes were measured on.
        width: Columns of them.
        precision: What a file's networks ran in.
        progress: Called after every network of a file.

    Raises:
        InputError: it cannot be read, or a row is wrong; the sentence says which.
    """
    if path.is_dir():
        return _from_store(path, only)
    rows = list(_rows(path))
    found: dict[str, list[Measured]] = defaultdict(list)
    for number, (place, row) in enumerate(rows, start=1):
        measured = _measured(row, place, path.parent, height, width)
        found[structure_of(measured.layers)].append(measured)
        progress(number, len(rows), measured.name)
    shown = precision.replace("float", "FP")
    return Runtimes(
        device=path.stem,
        how=f"{path.name}, {shown}, {height}x{width}",
        source=f"{len(found)} runtimes of {path.name}",
        mode="",
        precision=precision,
        height=height,
        width=width,
        rows=_distinct([_middle(repeats) for repeats in found.values()]),
    )


def fit_runtimes(runtimes: Runtimes, name: str) -> LatencyModel:
    """Fit a profile called ``name`` to runtimes.

    Raises:
        InputError: there are too few of them, or the name is taken by something else.
    """
    check_name(name)
    if (PROFILES / f"{name}.json").is_file():
        raise InputError(f"'{name}' is the name of a shipped profile: give another --name")
    count = len(runtimes.rows)
    if count < FEWEST:
        raise InputError(
            f"a fit needs the runtimes of at least {FEWEST} different networks that were measured "
            f"alike, and there are {count} ({runtimes.how}): measure more with 'nas latency'"
        )
    if len({row.ms for row in runtimes.rows}) == 1:
        raise InputError(
            f"all {count} networks take the same {runtimes.rows[0].ms:g} ms ({runtimes.how}), "
            "which says nothing about what makes one slower: measure larger ones too"
        )
    return fit(
        {row.name: (row.layers, row.ms) for row in runtimes.rows},
        dict.fromkeys(FEATURES, 0.0),
        device=name,
        mode=runtimes.mode,
        source=runtimes.source,
        height=runtimes.height,
        width=runtimes.width,
        precision=runtimes.precision,
    )


def profile_name(runtimes: Runtimes) -> str:
    """Return a name for their profile, made from the device's or the file's."""
    return re.sub(r"[^a-z0-9]+", "-", runtimes.device.lower()).strip("-") or "profile"


# -- a store ---------------------------------------------------------------------------------------


def _from_store(folder: Path, only: Sequence[str]) -> Runtimes:
    kinds: dict[str, list[Entry]] = defaultdict(list)
    unusable = 0
    for entry in entries(folder):
        if entry.layers and entry.latency.kind == "measured":
            kinds[_how(entry)].append(entry)
        else:
            unusable += 1
    wanted = {how: k for how, k in kinds.items() if all(w.lower() in how.lower() for w in only)}
    if not wanted:
        told = f"; it has {'; '.join(sorted(kinds))}" if kinds else ""
        asked = f" of {' and '.join(only)}" if only else ""
        raise InputError(
            f"{folder} holds no runtimes{asked} that a model could be fitted to{told}: measure "
            "networks with 'nas latency' or search with --target cuda or cpu"
        )
    how = max(sorted(wanted), key=lambda kind: len(wanted[kind]))
    left_out = [f"{len(k)} of {other}" for other, k in sorted(kinds.items()) if other != how]
    if unusable:
        left_out.append(f"{unusable} without the layers that a fit needs: measure them again")
    key, idle = wanted[how][0].key, _idle(wanted[how])
    if busy := len(wanted[how]) - len(idle):
        left_out.append(
            f"{busy} measured while the device was busy, by the anchor: 'nas latency --again'"
        )
    rows = [Measured(_called(e), e.layers, e.latency.ms) for e in idle]
    return Runtimes(
        device=str(key["device"]),
        how=how,
        source=f"{len(rows)} runtimes measured on {key['device']}",
        mode=wanted[how][0].latency.mode,
        precision=key["precision"],
        height=key["height"],
        width=key["width"],
        rows=_distinct(rows),
        left_out=tuple(left_out),
    )


def _idle(measured: Sequence[Entry]) -> list[Entry]:
    """Return those beside which the anchor ran as fast as it can; timings without one too."""
    anchors = [entry.latency.details.get("anchor_ms") for entry in measured]
    best = min((anchor for anchor in anchors if anchor), default=0.0)
    return [e for e, a in zip(measured, anchors, strict=True) if not a or a <= BUSY * best]


_IN_WORDS = frozenset(
    [
        "target",
        "device",
        "precision",
        "height",
        "width",
        "mode",
        "threads",
        "backends",
        "torch",
        "structure",
        "providers",
    ]
)
"""Fields of a key beside the versions of further software."""


def _how(entry: Entry) -> str:
    key, mode = entry.key, entry.latency.mode
    threads = entry.latency.details.get("threads")
    words = [
        str(key.get("target")),
        str(key.get("device")),
        str(key.get("precision")).replace("float", "FP"),
        f"{key.get('height')}x{key.get('width')}",
        f"{mode} time" if threads is None else f"{threads} threads",
        f"best of {', '.join(key.get('backends', ()))}",
        f"torch {key.get('torch')}",
    ]
    words += [f"{name} {value}" for name, value in key.items() if value and name not in _IN_WORDS]
    return ", ".join(words)


def _called(entry: Entry) -> str:
    if entry.architecture is None:
        return structure_of(entry.layers)[:8]
    for known in (published, references):
        for name, network in known.items():
            if network.architecture == entry.architecture:
                return name
    return entry.architecture.label


# -- a file ----------------------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each row of a CSV or JSON file with a name for its place."""
    if not path.exists():
        raise InputError(f"there is no folder or file {path}")
    text = read_text(path)
    if path.suffix.lower() == ".csv":
        reader = csv.DictReader(text.splitlines())
        try:
            yield from ((f"{path}, line {reader.line_num}", row) for row in reader)
        except csv.Error as error:
            raise InputError(f"{path}, line {reader.line_num + 1} is no CSV: {error}") from error
        return
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is neither CSV (named .csv) nor JSON: {error}") from error
    if isinstance(document, dict) and not set(_RUNTIMES) & document.keys():
        document = [{"network": name, "ms": ms} for name, ms in document.items()]
    for number, row in enumerate(document if isinstance(document, list) else [document], start=1):
        if not isinstance(row, dict):
            raise InputError(f"{path}, row {number} is no object with {_SENSE}")
        yield f"{path}, row {number}", row


def _measured(
    row: Mapping[str, Any], place: str, folder: Path, height: int, width: int
) -> Measured:
    network = next((row[name] for name in _NAMES if row.get(name)), None)
    runtime = next((row[name] for name in _RUNTIMES if row.get(name) not in (None, "")), None)
    if network is None or runtime is None:
        raise InputError(f"{place}: a row needs {_SENSE}")
    if row.get("runtime_kind") == "predicted":
        raise InputError(f"{place}: this runtime is predicted, and a fit wants measured ones")
    try:
        ms = float(runtime)
    except (TypeError, ValueError):
        ms = math.nan
    if not 0 < ms < math.inf:
        raise InputError(f"{place}: {runtime!r} is no number of milliseconds above zero")
    architecture = _architecture(network, place, folder)
    try:
        layers = trace(inference_form(architecture, ""), height, width)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    shown = row.get("name") or (network if _is_name(network) else architecture.label)
    return Measured(str(shown), layers, ms)


def _architecture(network: Any, place: str, folder: Path) -> Architecture:
    try:
        if isinstance(network, dict):
            return Architecture.from_dict(network)
        text = str(network).strip()
        if not _is_name(text):
            return Architecture.from_json(text)
        for known in (published, references):
            for name, found in known.items():
                if name.lower() == text.lower():
                    return found.architecture
        if not (folder / text).is_file():
            names = ", ".join((*published, *references))
            raise InputError(f"there is no network or file '{network}'; known are {names}")
        return read_architecture(folder / text)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error


def _is_name(network: Any) -> bool:
    return isinstance(network, str) and not network.lstrip().startswith("{")


def _middle(repeats: Sequence[Measured]) -> Measured:
    first = repeats[0]
    return Measured(first.name, first.layers, median(repeat.ms for repeat in repeats))


def _distinct(rows: Sequence[Measured]) -> tuple[Measured, ...]:
    """The rows with a number added to names that appear again."""
    seen: dict[str, int] = defaultdict(int)
    named = []
    for row in rows:
        seen[row.name] += 1
        name = row.name if seen[row.name] == 1 else f"{row.name} #{seen[row.name]}"
        named.append(Measured(name, row.layers, row.ms))
    return tuple(named)
