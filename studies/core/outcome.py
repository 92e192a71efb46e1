"""What becomes of a candidate: one closed set of trained, rejected and broken."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

from nas.measure.colour import colour_gain_db

BrokenKind: TypeAlias = Literal["out_of_memory", "diverged", "cannot_build", "time_limit", "error"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """How long one picture takes.

    Attributes:
        ms: Milliseconds for one 540x960 picture to 2160x3840.
        kind: ``measured`` on the device or ``predicted`` by a latency model.
        target: The device, such as ``cuda``, ``cpu`` or ``rtx4090``.
        backend: What ran it, such as ``eager`` or ``compiled``; empty for a prediction.
        device: The name of what it was measured on; empty for a prediction.
    """

    ms: float
    kind: str
    target: str
    backend: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class Size:
    """What the deploy form costs: parameters, and MACs and memory for one 540x960 picture.

    Attributes:
        params: Parameters.
        macs: Multiply-accumulates.
        memory_mb: Peak memory of an eager pass in units of 1e6 bytes, in the target's precision;
            None in studies from before it was known.
    """

    params: int
    macs: int
    memory_mb: float | None = None


@dataclass(frozen=True, slots=True)
class Rung:
    """Where a proxy run stands at one of its evaluations.

    Attributes:
        step: Steps of training done.
        gain_db: PSNR-Y over Lanczos on the validation pictures, mean over QPs, in dB.
        seconds: Training time so far.
    """

    step: int
    gain_db: float
    seconds: float


@dataclass(frozen=True, slots=True)
class PartialResult:
    """What is known of a candidate in the middle of its training: it has passed both gates.

    Attributes:
        runtime: Measured or predicted runtime of the network as it runs.
        size: Parameters, MACs and memory of the deploy form.
        curve: The rungs passed, the newest last.
    """

    runtime: Runtime
    size: Size
    curve: tuple[Rung, ...]

    @property
    def rung(self) -> Rung:
        """The newest."""
        return self.curve[-1]


@dataclass(frozen=True, slots=True)
class Weights:
    """Deploy weights as a safetensors file: its bytes on the way, its name once stored.

    Attributes:
        sha256: Hash of the bytes, hexadecimal.
        data: The bytes; None once they lie in the study's folder.
        file: The file's name in the study's folder of weights; None until they lie there.
    """

    sha256: str
    data: bytes | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """Within the budget, and trained to the end of its proxy run.

    Attributes:
        gain_db: PSNR-Y over Lanczos on the validation pictures, mean over QPs, in dB.
        gain_db_per_qp: The same for each QP.
        psnr_y_db: PSNR-Y for each QP, in dB.
        runtime: Measured or predicted runtime of the network as it runs.
        size: Parameters, MACs and memory of the deploy form.
        curve: The rungs passed, oldest first.
        steps: Steps of training.
        seconds: What the whole candidate took, measuring included.
        weights: The deploy weights.
        gain_cb_db: PSNR of Cb over Lanczos on the validation pictures, mean over QPs, in dB; None
            in studies from before it was measured.
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
        """The lower gain of Cb and Cr: well below zero, the network tints."""
        return colour_gain_db(self.gain_cb_db, self.gain_cr_db)


@dataclass(frozen=True, slots=True)
class Rejected:
    """Over a limit and so not trained, or stopped at a rung.

    Attributes:
        limit: ``runtime_ms``, ``macs``, ``params``, ``memory_mb``, or ``rung`` for an early stop.
        value: The figure that was over the limit; at a rung its gain in dB.
        allowed: The limit; at a rung the least gain in dB that would have gone on there.
        runtime: Known when the runtime gate was reached.
        size: Parameters, MACs and memory, known to every rejected candidate.
        curve: The rungs passed, empty unless it was stopped at one.
        seconds: What the candidate took.
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
        """One sentence for people: which limit, by how much."""
        if self.limit == "rung":
            step = self.curve[-1].step if self.curve else 0
            return f"stopped at step {step}, dominated by too many others ({self.value:+.3f} dB)"
        shown, allowed = _shown(self.limit, self.value), _shown(self.limit, self.allowed)
        return f"{shown} over the limit of {allowed} ({self.value / self.allowed:.2f}x)"


@dataclass(frozen=True, slots=True)
class Broken:
    """Could not be evaluated, and would fail again.

    Attributes:
        kind: Which way it broke.
        reason: One sentence for people.
        runtime: Known when it broke after it was measured.
        size: Known when it broke after it was counted.
        seconds: What the candidate took.
    """

    kind: BrokenKind
    reason: str
    runtime: Runtime | None = None
    size: Size | None = None
    seconds: float = 0.0


Outcome: TypeAlias = Trained | Rejected | Broken
"""The closed set: match on all three."""


def to_dict(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON; the weights' bytes stay behind, their file's name goes along."""
    if isinstance(outcome, Trained) and outcome.weights is not None:
        outcome = replace(outcome, weights=replace(outcome.weights, data=None))
    return {"outcome": type(outcome).__name__.lower(), **asdict(outcome)}


def from_dict(data: dict[str, Any]) -> Outcome:
    """Read what `to_dict` wrote, also after a round trip through JSON text."""
    fields = {name: value for name, value in data.items() if name != "outcome"}
    for name, kind in (("runtime", Runtime), ("size", Size), ("weights", Weights)):
        if fields.get(name) is not None:
            fields[name] = kind(**fields[name])
    if "curve" in fields:
        fields["curve"] = tuple(Rung(**rung) for rung in fields["curve"])
    for name in ("gain_db_per_qp", "psnr_y_db"):  # JSON has made the QPs strings
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
