"""The outcome of a candidate: one closed set of trained, rejected and broken."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

from nas.measure.colour import colour_gain_db

BrokenKind: TypeAlias = Literal["out_of_memory", "diverged", "cannot_build", "time_limit", "error"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """Runtime of a network.

    Attributes:
        ms: Milliseconds for one 540x960 image.
        kind: ``measured`` on the device or ``predicted`` by a latency model.
        target: Such as ``cuda``, ``cpu`` or ``rtx4090``.
        backend: Such as ``eager`` or ``compiled``; empty for a prediction.
        device: Name of the measured device; empty for a prediction.
    """

    ms: float
    kind: str
    target: str
    backend: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class Size:
    """Size of the deploy form, MACs and memory for one 540x960 image.

    Attributes:
        params: Parameters.
        macs: Multiply-accumulates.
        memory_mb: Peak memory of an eager pass in units of 1e6 bytes, in the target's precision;
            None in studies of earlier versions.
    """

    params: int
    macs: int
    memory_mb: float | None = None


@dataclass(frozen=True, slots=True)
class Rung:
    """An evaluation during a proxy run.

    Attributes:
        step: Training steps done.
        gain_db: PSNR-Y over Lanczos on the held-out images, mean over QPs, in dB.
        seconds: Training time so far.
    """

    step: int
    gain_db: float
    seconds: float


@dataclass(frozen=True, slots=True)
class PartialResult:
    """State of a candidate at a rung of its training.

    Attributes:
        runtime: Measured or predicted.
        size: Of the deploy form.
        curve: All rungs so far, the newest last.
    """

    runtime: Runtime
    size: Size
    curve: tuple[Rung, ...]

    @property
    def rung(self) -> Rung:
        """The newest rung."""
        return self.curve[-1]


@dataclass(frozen=True, slots=True)
class Weights:
    """Deploy weights as a safetensors file.

    Attributes:
        sha256: Hash of its bytes, hexadecimal.
        data: Its bytes; None once it is in the study's folder.
        file: Its name in the study's folder of weights; None until it is there.
    """

    sha256: str
    data: bytes | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """Within the budget, and trained to the end of its proxy run.

    Attributes:
        gain_db: PSNR-Y over Lanczos on the held-out images, mean over QPs, in dB.
        gain_db_per_qp: The same for each QP.
        psnr_y_db: PSNR-Y for each QP, in dB.
        runtime: Measured or predicted.
        size: Of the deploy form.
        curve: All rungs, oldest first.
        steps: Training steps.
        seconds: Time of the whole evaluation.
        weights: The deploy weights.
        gain_cb_db: PSNR of Cb over Lanczos on the held-out images, mean over QPs, in dB; None in
            studies of earlier versions.
        gain_cr_db: The same of Cr.
    """

    gain_db: float
    gain_db_per_qp: dict[int, float]
    psnr_y_db: dict[int, float]
    runtime: Runtime
    size: Size
    curve: tuple[Rung, ...] = ()
    steps: int = 0
    seconds: float = 0.0
    weights: Weights | None = None
    gain_cb_db: float | None = None
    gain_cr_db: float | None = None

    @property
    def colour_gain_db(self) -> float | None:
        """The lower gain of Cb and Cr; far below zero the network tints."""
        return colour_gain_db(self.gain_cb_db, self.gain_cr_db)


@dataclass(frozen=True, slots=True)
class Rejected:
    """Over a limit and not trained, or stopped at a rung.

    Attributes:
        limit: ``runtime_ms``, ``macs``, ``params``, ``memory_mb``, or ``rung`` for an early stop.
        value: The figure that was over the limit; at a rung its gain in dB.
        allowed: The limit; at a rung the lowest gain in dB to continue.
        runtime: Known if the runtime gate was reached.
        size: Of the deploy form.
        curve: All rungs; empty unless it was stopped at one.
        seconds: Time of the whole evaluation.
    """

    limit: Literal["runtime_ms", "macs", "params", "memory_mb", "rung"]
    value: float
    allowed: float
    runtime: Runtime | None = None
    size: Size | None = None
    curve: tuple[Rung, ...] = ()
    seconds: float = 0.0

    @property
    def reason(self) -> str:
        """One sentence: which limit, and by how much."""
        if self.limit == "rung":
            step = self.curve[-1].step if self.curve else 0
            return f"stopped at step {step}, dominated by too many others ({self.value:+.3f} dB)"
        shown, allowed = _shown(self.limit, self.value), _shown(self.limit, self.allowed)
        return f"{shown} over the limit of {allowed} ({self.value / self.allowed:.2f}x)"


@dataclass(frozen=True, slots=True)
class Broken:
    """Could not be evaluated, and would fail again.

    Attributes:
        kind: Kind of the failure.
        reason: One sentence.
        runtime: Known if it broke later than its measurement.
        size: Known if it broke later than its costs.
        seconds: Time of the whole evaluation.
    """

    kind: BrokenKind
    reason: str
    runtime: Runtime | None = None
    size: Size | None = None
    seconds: float = 0.0


Outcome: TypeAlias = Trained | Rejected | Broken
"""Match on all three."""


def to_dict(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON, without the bytes of its weights."""
    if isinstance(outcome, Trained) and outcome.weights is not None:
        outcome = replace(outcome, weights=replace(outcome.weights, data=None))
    return {"outcome": type(outcome).__name__.lower(), **asdict(outcome)}


def from_dict(data: dict[str, Any]) -> Outcome:
    """Read what `to_dict` returned, also after a round trip through JSON text."""
    fields = {name: value for name, value in data.items() if name != "outcome"}
    for name, kind in (("runtime", Runtime), ("size", Size), ("weights", Weights)):
        if fields.get(name) is not None:
            fields[name] = kind(**fields[name])
    if "curve" in fields:
        fields["curve"] = tuple(Rung(**rung) for rung in fields["curve"])
    for name in ("gain_db_per_qp", "psnr_y_db"):  # keys of JSON are strings
        if name in fields:
            fields[name] = {int(qp): value for qp, value in fields[name].items()}
    kinds: dict[str, type[Outcome]] = {"trained": Trained, "rejected": Rejected, "broken": Broken}
    return kinds[data["outcome"]](**fields)


def _shown(limit: str, value: float) -> str:
    if limit == "runtime_ms":
        return f"{value:.2f} ms"
    if limit == "macs":
        return f"{value / 1e9:.2f} G MACs"
    if limit == "memory_mb":
        return f"{value:.1f} MB"
    return f"{value / 1e3:.1f} k parameters"
