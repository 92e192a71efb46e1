"""A runtime and where it came from: measured here, or predicted by a model. Never confused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["measured", "predicted"]


@dataclass(frozen=True, slots=True)
class Latency:
    """The runtime of one forward pass."""

    ms: float
    kind: Kind
    target: str
    """The device, as `nas.measure.targets` names it."""
    backend: str
    """How the network was run: ``eager``, ``channels_last`` or ``compiled``."""
    mode: str
    """How it was timed: ``device``, ``challenge`` or ``wall`` (CPU)."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Everything else that matters: size, precision, spread, versions, a model's error."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Latency:
        """The inverse of `to_dict`."""
        return cls(**values)
