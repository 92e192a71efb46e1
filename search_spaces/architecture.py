"""The description of one network: immutable, JSON-serialisable, and all that identifies it."""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

from nas.common.errors import InputError
from search_spaces.components import activations, interpolations, residuals, stems

SCALE = 4
"""Every network of the workbench upscales by this factor in height and width."""

SKIPS = ("none", "long", "concat")
INPUTS = ("rgb", "gradient", "luma")
OUTPUTS = ("rgb", "luma")

_MAX_WIDTH = 1024
_MAX_DEPTH = 64
_MAX_STAGES = 64
_MAX_BODY = 2**23
"""Most of depth * width**2 over all stages: some 75 million weights where blocks are 3x3. A model
file says its network before anything is known of it, and must not fill the memory by that."""


@dataclass(frozen=True, slots=True)
class Stage:
    """``depth`` equal blocks of ``width`` channels in a row."""

    block: str
    width: int
    depth: int = 1

    def __post_init__(self) -> None:
        _of_kind("block", self.block, str)
        _between("width", self.width, 1, _MAX_WIDTH)
        _between("depth", self.depth, 1, _MAX_DEPTH)


@dataclass(frozen=True, slots=True)
class Tail:
    """How features become an image at 4x."""

    kernel: int = 3
    """1 or 3: side of the convolution that leaves the working resolution."""
    cascade: int = 0
    """Channels at LR resolution between two upsampling steps; 0 goes straight to pixel-shuffle."""
    block: str = "conv"
    """Linear block used for the tail's 3x3 convolutions (1x1 tails are always plain)."""
    activation: bool = True
    """Whether the cascade's few channels pass through the activation (no meaning without one)."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """One network. Everything else (module, cost, latency) is a function of it.

    Raises:
        InputError: a field is outside its choices, or two fields contradict each other.
    """

    stem: str = "conv"
    """How the picture becomes features, and at which resolution: a name in `stems`."""
    width: int = 16
    """Channels after the stem."""
    stages: tuple[Stage, ...] = ()
    """The body."""
    tail: Tail = field(default_factory=Tail)
    activation: str = "relu"
    """A name in `activations`: follows the stem and each linear block of the body."""
    bias: bool = True
    """Whether convolutions have biases."""
    skip: str = "none"
    """Feature skip from the stem to the body's end: added (``long``) or concatenated and mixed by
    a 1x1 convolution (``concat``)."""
    residual: str = "none"
    """Image-space residual: an interpolation of the input added to the output; ``learned`` starts
    as bicubic and is trained; ``lr`` adds the LR image inside a cascade of 3 channels (CASR)."""
    stem_block: str = "conv"
    """Linear block that the stem's convolution is in training."""
    stem_activation: bool = True
    """Whether the activation follows the stem."""
    neck: str = "none"
    """Linear block (3x3, no activation) between the feature skip and the tail, as RVSR has; with
    skip ``concat`` it takes the place of the mixing 1x1 convolution, as in SPAN-R."""
    inputs: str = "rgb"
    """``gradient`` concatenates the image's gradient magnitude to it (FEM of MegastudyEdu);
    ``luma`` shows the network no colours."""
    output: str = "rgb"
    """``luma`` predicts one plane that is added to R, G and B of an interpolation of the input
    alike. It changes luma by that plane and leaves chroma, so the network cannot tint."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))  # from Python a list is as good
        for name in ("stem_block", "neck"):
            _of_kind(name, getattr(self, name), str)
        for name in ("bias", "stem_activation"):
            _of_kind(name, getattr(self, name), bool)
        _of_kind("tail.block", self.tail.block, str)
        _of_kind("tail.activation", self.tail.activation, bool)
        _one_of("stem", self.stem, stems)
        _one_of("activation", self.activation, activations)
        _one_of("skip", self.skip, SKIPS)
        _one_of("residual", self.residual, residuals())
        _one_of("inputs", self.inputs, INPUTS)
        _one_of("output", self.output, OUTPUTS)
        _one_of("tail.kernel", self.tail.kernel, (1, 3))
        _between("width", self.width, 1, _MAX_WIDTH)
        _between("tail.cascade", self.tail.cascade, 0, _MAX_WIDTH)
        if len(self.stages) > _MAX_STAGES:
            raise InputError(f"there are {len(self.stages)} stages; give at most {_MAX_STAGES}")
        if sum(stage.depth * stage.width**2 for stage in self.stages) > _MAX_BODY:
            raise InputError("its body is larger than any real-time network: make it narrower")
        if self.output == "luma" and self.residual not in interpolations:
            raise InputError(
                f"output 'luma' is added to an interpolation of the image, and residual is "
                f"'{self.residual}': choose one of {', '.join(interpolations)}"
            )
        if self.inputs == "luma" and self.output != "luma":
            raise InputError("inputs 'luma' shows no colours to predict: set output to luma")
        if self.residual == "lr" and self.tail.cascade != 3:
            raise InputError(
                "residual 'lr' adds the RGB input inside the tail: set tail.cascade to 3"
            )
        if self.skip == "long" and self.stages and self.body_width != self.width:
            raise InputError(
                f"skip 'long' adds {self.width} stem channels to {self.body_width} body channels: "
                "make the last stage as wide as the stem"
            )

    @property
    def factor(self) -> int:
        """The body works at LR resolution divided by this."""
        return stems[self.stem].factor

    @property
    def planes(self) -> int:
        """Planes that the network predicts: 3, or 1 if ``output`` is luma."""
        return 1 if self.output == "luma" else 3

    @property
    def body_width(self) -> int:
        """Channels at the end of the body."""
        return self.stages[-1].width if self.stages else self.width

    @property
    def depth(self) -> int:
        """Number of blocks in the body."""
        return sum(stage.depth for stage in self.stages)

    @property
    def key(self) -> str:
        """12 hexadecimal digits that identify this description.

        Fields at their default do not count, so that one added here later changes no key. Those of
        stages and of a tail that is not the default do count.
        """
        told = {name: value for name, value in self.to_dict().items() if value != _DEFAULT[name]}
        return hashlib.sha256(_canonical(told).encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """A short name for people, such as ``unshuffle2-28-ecbx3-gelu-nearest``."""
        body = "-".join(f"{s.block}x{s.depth}" + _width_note(s, self) for s in self.stages)
        tail = f"cascade{self.tail.cascade}" if self.tail.cascade else f"tail{self.tail.kernel}"
        parts = [self.stem, str(self.width), body or "no_body", tail, self.activation]
        parts += [word for word in (self.skip, self.neck, self.residual) if word != "none"]
        if self.output == "luma":
            parts.append("luma2luma" if self.inputs == "luma" else "luma")
        return "-".join(parts) + ("" if self.bias else "-nobias")

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, strings and numbers, ready for JSON."""
        # Not by `asdict`, which copies whatever it meets: studies of thousands ask for this often.
        plain = {name: getattr(self, name) for name in self.__slots__}
        stages = tuple({n: getattr(stage, n) for n in Stage.__slots__} for stage in self.stages)
        tail = {name: getattr(self.tail, name) for name in Tail.__slots__}
        return {**plain, "stages": stages, "tail": tail}

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return _canonical(self.to_dict())

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Architecture:
        """The inverse of ``to_dict``; missing fields take their defaults.

        Raises:
            InputError: an unknown field, a missing one, or a value of the wrong kind.
        """
        values = dict(_known(cls, description, "architecture"))
        if "stages" in values:
            stages = values["stages"]
            if not isinstance(stages, list | tuple):
                raise InputError(f"stages is {reprlib.repr(stages)}; give a list")
            values["stages"] = tuple(Stage(**_known(Stage, s, "stage")) for s in stages)
        if "tail" in values:
            values["tail"] = Tail(**_known(Tail, values["tail"], "tail"))
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """The inverse of ``to_json``.

        Raises:
            InputError: the text is no JSON object, or no architecture.
        """
        try:
            description = json.loads(text, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:  # also of numbers too long, and of depth
            raise InputError(f"an architecture must be JSON: {error}") from error
        return cls.from_dict(description)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, of which Python would take the last of two equal names in silence."""
    seen: dict[str, Any] = {}
    for name, value in pairs:
        if name in seen:
            raise ValueError(f"{reprlib.repr(name)} stands there twice")
        seen[name] = value
    return seen


def _canonical(description: Mapping[str, Any]) -> str:
    return json.dumps(description, sort_keys=True, separators=(",", ":"))


D = TypeVar("D")


def _known(cls: type[D], description: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(description, Mapping):
        raise InputError(
            f"{what} must be an object with named fields, not {reprlib.repr(description)}"
        )
    names = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    unknown = [name for name in description if name not in names]
    if unknown:
        raise InputError(
            f"{what} has no field {reprlib.repr(unknown[0])}; it has {', '.join(names)}"
        )
    for f in fields(cls):  # type: ignore[arg-type]
        if f.default is MISSING and f.default_factory is MISSING and f.name not in description:
            raise InputError(f"{what} needs the field {f.name!r}")
    return description


def _one_of(name: str, value: object, choices: Collection[Any]) -> None:
    if type(value) not in map(type, choices) or value not in choices:
        listed = ", ".join(str(choice) for choice in choices)
        raise InputError(f"{name} is {reprlib.repr(value)}; choose one of {listed}")


def _of_kind(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        told = "a name" if kind is str else "true or false"
        raise InputError(f"{name} is {reprlib.repr(value)}; give {told}")


def _between(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(
            f"{name} is {reprlib.repr(value)}; give a whole number from {low} to {high}"
        )


def _width_note(stage: Stage, architecture: Architecture) -> str:
    return "" if stage.width == architecture.width else f"w{stage.width}"


_DEFAULT = Architecture().to_dict()
