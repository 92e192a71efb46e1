"""The budget: upper limits on runtime, MACs, parameters, memory and loss of colour."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nas.common.errors import InputError

SPAN = 8.0
"""Ratio of the limit to the lowest runtime that counts: three octaves."""

DEFAULT_COLOUR_LOSS_DB = 1.0
"""Default of ``--max-colour-loss``, PSNR of Cb or Cr below Lanczos in dB. Of the survey's networks
with a gain in a proxy run those trained in RGB lost at most .31 dB on the sample set (IVP) and .79
on wallpapers (CMVG)."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Upper limits; None means no limit.

    Attributes:
        runtime_ms: For one 540x960 image.
        macs: Multiply-accumulates.
        params: Parameters of the deploy form.
        memory_mb: Peak memory in units of 1e6 bytes.
        colour_loss_db: Loss of the worse PSNR of Cb and Cr against Lanczos, which is known only
            after training.
        least_ms: Lowest runtime that counts, no limit: faster networks count as if they took this
            long. Default an eighth of the limit.
    """

    runtime_ms: float | None = None
    macs: float | None = None
    params: float | None = None
    memory_mb: float | None = None
    colour_loss_db: float | None = None
    least_ms: float | None = None

    def violations(
        self,
        *,
        runtime_ms: float | None = None,
        macs: float | None = None,
        params: float | None = None,
        memory_mb: float | None = None,
        colour_loss_db: float | None = None,
    ) -> dict[str, float]:
        """Return how far each figure that is known and limited is over its limit; positive is over.

        As the natural logarithm of figure over limit, so that samplers may add them up; for
        ``colour_loss_db``, which is a logarithm already, as figure minus limit.
        """
        known = {
            "runtime_ms": runtime_ms,
            "macs": macs,
            "params": params,
            "memory_mb": memory_mb,
            "colour_loss_db": colour_loss_db,
        }
        return {
            name: figure - limit
            if name == "colour_loss_db"
            else math.log(max(figure, 1e-12) / limit)
            for name, limit in self.limits.items()
            if limit is not None and (figure := known[name]) is not None
        }

    def is_tinted(self, colour_gain_db: float | None) -> bool:
        """Whether a colour gain over Lanczos in dB violates the limit; False if it is unknown."""
        loss_db = None if colour_gain_db is None else -colour_gain_db
        return self.violations(colour_loss_db=loss_db).get("colour_loss_db", 0.0) > 0.0

    @property
    def floor_ms(self) -> float | None:
        """The runtime that faster networks count as; None without a runtime limit."""
        if self.least_ms is not None or self.runtime_ms is None:
            return self.least_ms
        return self.runtime_ms / SPAN

    @property
    def limits(self) -> dict[str, float | None]:
        """The upper limits by name."""
        return {name: limit for name, limit in self.to_dict().items() if name != "least_ms"}

    def to_dict(self) -> dict[str, float | None]:
        """Return the limits as JSON; ``memory_mb``, ``colour_loss_db``, ``least_ms`` only if set.

        A study's name and identity depend on it, and must not change for studies that are older
        than these limits.
        """
        limits = asdict(self)
        for name in ("memory_mb", "colour_loss_db", "least_ms"):
            if limits[name] is None:
                del limits[name]
        return limits

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Budget:
        """Read what `to_dict` returned."""
        return cls(**data)

    def __str__(self) -> str:
        least = "" if self.least_ms is None else f"{self.least_ms:g} to "
        limits = [
            f"{least}{self.runtime_ms:g} ms" if self.runtime_ms is not None else "",
            f"{self.macs / 1e9:g} G MACs" if self.macs is not None else "",
            f"{self.params / 1e3:g} k parameters" if self.params is not None else "",
            f"{self.memory_mb:g} MB" if self.memory_mb is not None else "",
            f"colour loss {self.colour_loss_db:g} dB" if self.colour_loss_db is not None else "",
        ]
        return ", ".join(filter(None, limits)) or "no limit"


def parse_budget(
    runtime: str | None,
    max_macs: str | None = None,
    max_params: str | None = None,
    max_memory: str | None = None,
    max_colour_loss: str | None = None,
) -> Budget:
    """Read ``--budget``, ``--max-macs``, ``--max-params``, ``--max-memory``, ``--max-colour-loss``.

    Args:
        runtime: As `parse_runtime` reads it, or two of them: ``1ms..8ms``.
        max_macs: A count, plain or with k, M, G or T: ``10G``.
        max_params: The same: ``50k``.
        max_memory: Bytes with k, M or G: ``200M``, ``0.2 GB``; an M is 1e6 bytes.
        max_colour_loss: Decibels, zero or more: ``0.1``, ``0.1 dB``; ``none`` for no limit.

    Raises:
        InputError: When one of them is malformed, or not above zero.
    """
    least, _, most = (runtime or "").rpartition("..")
    runtime_ms = parse_runtime("--budget", most or runtime)
    least_ms = parse_runtime("--budget", least or None)
    if least_ms is not None and not least_ms < (runtime_ms or 0.0):
        raise InputError(f"--budget {runtime!r} ends before it begins: write for instance 1ms..8ms")
    return Budget(
        runtime_ms=runtime_ms,
        least_ms=least_ms,
        macs=_read("--max-macs", max_macs, _COUNT, "10G"),
        params=_read("--max-params", max_params, _COUNT, "50k"),
        memory_mb=_read("--max-memory", max_memory, _SIZE_MB, "200M"),
        colour_loss_db=_read_loss("--max-colour-loss", max_colour_loss),
    )


def parse_runtime(option: str, text: str | None) -> float | None:
    """Read a runtime in ms; None if there is none.

    Args:
        option: Name of the option.
        text: A time with its unit: ``8ms``, ``0.5 ms``, ``2000us``, ``0.01 s``.

    Raises:
        InputError: When it is malformed, or not above zero.
    """
    return _read(option, text, _TIME_MS, "8ms or 0.5ms")


def parse_time(option: str, text: str | None) -> float | None:
    """Read a duration in seconds; None if there is none.

    Args:
        option: Name of the option.
        text: A time with its unit: ``90s``, ``10m``, ``1.5h``.

    Raises:
        InputError: When it is malformed, or not above zero.
    """
    return _read(option, text, _TIME_S, "90s, 10m or 1.5h")


_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)(?:e([+-]?\d+))?"


@dataclass(frozen=True, slots=True)
class _Quantity:
    """A number with a unit: its description, the pattern of the unit, and the units' factors."""

    description: str
    unit: str
    factors: Mapping[str, float]


_TIME_MS = _Quantity(
    "time above zero with a unit of us, ms or s",
    "(us|ms|s)",
    {"us": 1e-3, "ms": 1.0, "s": 1e3},
)
_TIME_S = _Quantity(
    "time above zero with a unit of s, m or h",
    "([smh])",
    {"s": 1.0, "m": 60.0, "h": 3600.0},
)
_COUNT = _Quantity(
    "count above zero, plain or with k, M, G or T",
    "([kmgt]?)",
    {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12},
)
_SIZE_MB = _Quantity(
    "size above zero with k, M or G for its bytes",
    "([kmg])b?",
    {"k": 1e-3, "m": 1.0, "g": 1e3},
)


def _read(option: str, text: str | None, quantity: _Quantity, example: str) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(rf"{_NUMBER}\s*{quantity.unit}", text.strip(), re.IGNORECASE)
    value = _value(match) * quantity.factors[match[3].lower()] if match else 0.0
    if not 0.0 < value < math.inf:
        raise InputError(
            f"{option} {text!r} is not a {quantity.description}: write for instance {example}."
        )
    return value


def _read_loss(option: str, text: str | None) -> float | None:
    if text is None or text == "none":
        return None
    match = re.fullmatch(rf"{_NUMBER}\s*(?:db)?", text.strip(), re.IGNORECASE)
    value = _value(match) if match else math.inf
    if not value < math.inf:
        raise InputError(f"{option} {text!r} is not a loss in dB: write for instance 0.1, or none.")
    return value


def _value(match: re.Match[str]) -> float:
    try:
        return float(match[1]) * 10.0 ** int(match[2] or 0)
    except OverflowError:
        return math.inf
