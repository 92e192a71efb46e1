"""Where the time goes: the layers of a deploy form as a short table of their shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import nn

from nas.measure.cost.cost import interpolations
from nas.measure.cost.trace import LayerCost, to_module, trace
from search_spaces.architecture import Architecture


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer, or ``repeats`` equal ones in the same place of a repeated group: their sum."""

    name: str
    """Path of the module; of the first one where it repeats."""
    kind: str
    """Such as ``conv`` or ``activation``; see `nas.measure.cost.trace`."""
    operator: str
    """Such as ``gelu`` or ``pixel_shuffle``; ``conv`` for a convolution."""
    kernel: str
    """Such as ``3x3``, with ``dw`` where each channel has its own; empty where there is none."""
    channels_in: int
    channels: int
    height: int
    width: int
    repeats: int
    macs: int
    bytes: int
    runtime_ms: float
    """Predicted."""


def breakdown(
    network: nn.Module | Architecture,
    price: Callable[[Sequence[LayerCost]], float],
    height: int = 540,
    width: int = 960,
) -> tuple[LayerRow, ...]:
    """Return the layers of a deploy form, each bias with its convolution, repeated blocks once.

    ``price`` gives the predicted milliseconds of some layers and is additive, as
    `LatencyModel.predict_ms` is. A fixed interpolation has no multiply-accumulates, as in
    `nas.measure.cost.cost`.
    """
    module = to_module(network)
    fixed = interpolations(module)
    groups: list[list[LayerCost]] = []
    for layer in trace(module, height, width):
        if layer.kind == "bias":
            groups[-1].append(layer)
        else:
            groups.append([layer])
    rows = [_row(group, price) for group in groups]
    rows = [
        replace(row, operator="interpolate", macs=0) if row.name in fixed and row.kernel else row
        for row in rows
    ]
    return tuple(_told_once(rows))


def _row(group: Sequence[LayerCost], price: Callable[[Sequence[LayerCost]], float]) -> LayerRow:
    first = group[0]
    kernel = ""
    if first.kind == "conv":
        depthwise = " dw" if first.groups > 1 else ""
        kernel = f"{first.kernel_size}x{first.kernel_size}{depthwise}"
    return LayerRow(
        name=first.name or "network",
        kind=first.kind,
        operator=_plainly(first.operator),
        kernel=kernel,
        channels_in=first.channels_in,
        channels=first.channels,
        height=first.height,
        width=first.width,
        repeats=1,
        macs=sum(layer.macs for layer in group),
        bytes=sum(layer.bytes for layer in group),
        runtime_ms=price(group),
    )


def _plainly(operator: str) -> str:
    """PyTorch's name of an operator, as a person would call it."""
    shorter = operator.strip("_").removesuffix("_kernel").removesuffix("2d")
    return "conv" if shorter == "convolution" else shorter


def _told_once(rows: Sequence[LayerRow]) -> list[LayerRow]:
    """Replace runs of an equal group of rows by one group; where several fit, the longest run.

    No group begins with an activation, so that each stays with the layer before it.
    """
    told: list[LayerRow] = []
    start = 0
    while start < len(rows):
        runs = {
            period: _repeats(rows, start, period)
            for period in range(1, (len(rows) - start) // 2 + 1)
            if rows[start].kind != "activation"
        }
        period = max(runs, key=lambda p: (runs[p] * p if runs[p] > 1 else 0, -p), default=1)
        repeats = runs.get(period, 1)
        told += [_times(row, repeats) for row in rows[start : start + period]]
        start += period * repeats
    return told


def _repeats(rows: Sequence[LayerRow], start: int, period: int) -> int:
    """How often the ``period`` rows from ``start`` on come in a row."""
    count = 1
    while all(
        at + period < len(rows) and _same(rows[at], rows[at + period])
        for at in range(start + (count - 1) * period, start + count * period)
    ):
        count += 1
    return count


def _same(a: LayerRow, b: LayerRow) -> bool:
    return replace(a, name="") == replace(b, name="")


def _times(row: LayerRow, repeats: int) -> LayerRow:
    return replace(
        row,
        repeats=repeats,
        macs=row.macs * repeats,
        bytes=row.bytes * repeats,
        runtime_ms=row.runtime_ms * repeats,
    )
