"""Search spaces: named dimensions with choices, mapped to architectures and back."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.common.errors import InputError
from nas.common.files import read_text
from nas.common.registry import Registry
from nas.common.yaml import load_plain
from search_spaces.architecture import Architecture, Stage, Tail
from search_spaces.blocks import blocks, linear_sizes
from search_spaces.components import interpolations, stems

Parameters = Mapping[str, Any]

tails: Registry[Tail] = Registry("tail")
"""Tails by name, for the dimension ``tail``; a space sets their block."""

tails.add("conv3", Tail(kernel=3))
tails.add("conv1", Tail(kernel=1))
tails.add("cascade3", Tail(kernel=3, cascade=3, activation=False))
tails.add("cascade8", Tail(kernel=3, cascade=8))
tails.add("cascade16", Tail(kernel=3, cascade=16))

_ENDS = {"etds": ("etds_ecb_stem", "etds_ecb_clip")}
"""Ends whose stem and tail are different blocks."""

DEFAULTS: dict[str, Any] = {
    "stem": "conv",
    "width": 16,
    "depth": 2,
    "block": "ecb",
    "depth_2": 0,
    "width_2": None,
    "block_2": None,
    "inputs": "rgb",
    "output": "rgb",
    "ends": "plain",
    "activation": "relu",
    "stem_activation": True,
    "bias": True,
    "skip": "none",
    "neck": "none",
    "tail": "conv3",
    "residual": "bicubic",
}
"""Every dimension a space may search, with the value it has in a space that leaves it out.

``depth_2`` blocks of ``block_2`` with ``width_2`` channels follow the first ones (where left out:
none of them; the first stage's block and width). ``ends`` is the block of stem and 3x3 tail:
``plain``, ``block`` (as the body), a block's name, or ``etds`` for both streams of MegastudyEdu.
Every other name is one of ``Architecture``.
"""

PRESETS = ("lightweight", "balanced", "quality")
_PRESET_FOLDER = Path(__file__).parent / "presets"
_MAX_CHOICES = 256


@dataclass(frozen=True, slots=True)
class Dimension:
    """One named choice of a space. Numbers are in ascending order."""

    name: str
    choices: tuple[Any, ...]

    @property
    def step(self) -> int | None:
        """Distance between neighbouring choices when these are evenly spaced whole numbers."""
        if len(self.choices) < 2 or any(type(choice) is not int for choice in self.choices):
            return None
        steps = {b - a for a, b in zip(self.choices, self.choices[1:], strict=False)}
        return steps.pop() if len(steps) == 1 else None


@dataclass(frozen=True, slots=True)
class Space:
    """A flat product of dimensions.

    Flat on purpose: samplers model flat spaces better. Where a parameter has no effect (the block
    of a network without a body), several parameter sets give the same architecture.
    """

    name: str
    dimensions: tuple[Dimension, ...]

    @property
    def size(self) -> int:
        """Number of parameter sets (an upper bound of the number of different architectures)."""
        return math.prod(len(dimension.choices) for dimension in self.dimensions)

    def architecture(self, parameters: Parameters) -> Architecture:
        """The architecture that one value for each dimension describes."""
        p = {**DEFAULTS, **parameters}
        stages = _stages(p)
        tail = tails[p["tail"]]
        residual, inputs = p["residual"], p["inputs"]
        if inputs == "luma" and p["output"] != "luma":
            inputs = "rgb"
        if p["output"] == "luma" and residual not in interpolations:
            residual = "bicubic"
        elif residual == "lr" and tail.cascade != 3:
            residual = "none"
        end = {"plain": "conv", "block": p["block"]}.get(p["ends"], p["ends"])
        stem_end, tail_end = _ENDS.get(end, (end, end))
        if end in _ENDS:  # they pass the image on, and clamp it
            stem_end = stem_end if p["stem"] == "conv" and inputs != "luma" else "conv"
            plain = residual == "none" and tail.cascade == 0 and p["output"] == "rgb"
            tail_end = tail_end if plain and tail.kernel == 3 else "conv"
        elif 3 not in linear_sizes(tail_end) or tail.kernel != 3:
            tail_end = "conv"
        tail = replace(tail, block=tail_end)
        stem_kernel = stems[p["stem"]].kernel
        body_width = stages[-1].width if stages else p["width"]
        addable = bool(stages) and (p["skip"] != "long" or body_width == p["width"])
        activated = (
            p["stem_activation"]
            or (tail.cascade > 0 and tail.activation)
            or any(linear_sizes(stage.block) for stage in stages)
        )
        return Architecture(
            stem=p["stem"],
            width=p["width"],
            stages=stages,
            tail=tail,
            activation=p["activation"] if activated else "none",
            bias=p["bias"],
            skip=p["skip"] if addable else "none",
            residual=residual,
            stem_block=stem_end if stem_kernel in linear_sizes(stem_end) else "conv",
            stem_activation=p["stem_activation"],
            neck=p["neck"],
            inputs=inputs,
            output=p["output"],
        )

    def parameters(self, architecture: Architecture) -> dict[str, Any] | None:
        """Values for which ``self.architecture`` gives this architecture; None when outside."""
        a = architecture
        if len(a.stages) > 2:
            return None
        first, second = (*a.stages, None, None)[:2]
        plain = replace(a.tail, block="conv")
        wanted: dict[str, Any] = {
            "stem": a.stem,
            "width": a.width,
            "depth": first.depth if first else 0,
            "depth_2": second.depth if second else 0,
            "width_2": second.width if second else None,
            "block_2": second.block if second else None,
            "inputs": a.inputs,
            "output": a.output,
            "activation": a.activation,
            "stem_activation": a.stem_activation,
            "bias": a.bias,
            "skip": a.skip,
            "neck": a.neck,
            "tail": next((name for name, tail in tails.items() if tail == plain), None),
            "residual": a.residual,
        }
        # Without a body, or with ends that cannot use it, the block shows in the ends at most.
        named = [first.block] if first else [a.stem_block, a.tail.block]
        for block in named:
            for ends in ("plain", "block", a.stem_block, a.tail.block, *_ENDS):
                given = {**wanted, "block": block, "ends": ends}
                # A dimension without effect here may take any of its values.
                found = {
                    d.name: given[d.name] if given[d.name] in d.choices else d.choices[0]
                    for d in self.dimensions
                }
                if self.architecture(found) == architecture:
                    return found
        return None

    def to_dict(self) -> dict[str, Any]:
        """As in a YAML file: ``{name, dimensions: {name: [choices]}}``."""
        return {
            "name": self.name,
            "dimensions": {d.name: list(d.choices) for d in self.dimensions},
        }

    @classmethod
    def from_dict(cls, description: Any, source: str) -> Space:
        """Check a description as it comes from YAML or JSON; ``source`` names it in errors.

        Raises:
            InputError: an unknown dimension, an empty choice or a value that no network can have.
        """
        if not isinstance(description, Mapping) or not isinstance(
            description.get("dimensions"), Mapping
        ):
            raise InputError(f"{source}: a space needs 'dimensions', a mapping of name to choices")
        for key in description:
            if key not in ("name", "description", "dimensions"):
                raise InputError(
                    f"{source}: unknown key {reprlib.repr(key)}; "
                    "a space has name, description, dimensions"
                )
        dimensions = []
        for name, choices in description["dimensions"].items():
            if name not in DEFAULTS:
                known = ", ".join(DEFAULTS)
                raise InputError(
                    f"{source}: unknown dimension {reprlib.repr(name)}; choose among {known}"
                )
            dimensions.append(Dimension(name, _choices(name, choices, source)))
        if not dimensions:
            raise InputError(f"{source}: 'dimensions' is empty; give at least one of them")
        space = cls(str(description.get("name", source)), tuple(dimensions))
        space._check(source)
        return space

    def _check(self, source: str) -> None:
        """Build a description with each single choice, so that a bad one is found at once."""
        first = {d.name: d.choices[0] for d in self.dimensions}
        checks = (_check_value, lambda name, choice: self.architecture({**first, name: choice}))
        for check in checks:  # all values, before networks are made of several
            for dimension in self.dimensions:
                for choice in dimension.choices:
                    try:
                        check(dimension.name, choice)
                    except InputError as error:
                        where = f"{source}: dimension '{dimension.name}'"
                        raise InputError(f"{where}: {error}") from error


spaces: Registry[Space] = Registry("space", reserved=PRESETS)
"""Spaces that plugins bring, by name. The presets are files and not among them."""


def load_space(name_or_path: str) -> Space:
    """A preset or a plugin's space by name, or a YAML file by path.

    Raises:
        InputError: there is no such preset or file, or it describes no space.
    """
    if name_or_path in spaces:
        return spaces[name_or_path]
    preset = name_or_path in PRESETS
    path = _PRESET_FOLDER / f"{name_or_path}.yaml" if preset else Path(name_or_path)
    if not path.is_file():
        raise InputError(
            f"there is no space '{name_or_path}'; choose "
            f"{', '.join((*PRESETS, *spaces))} or a YAML file"
        )
    text = read_text(path)
    try:
        description = load_plain(text)
    except ValueError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from error
    if isinstance(description, dict):
        description.setdefault("name", path.stem)
    return Space.from_dict(description, name_or_path)


def _choices(name: str, given: Any, source: str) -> tuple[Any, ...]:
    """A list of choices, one value, or ``{min, max, step}`` for whole numbers."""
    if isinstance(given, Mapping):
        if set(given) - {"min", "max", "step"} or not {"min", "max"} <= set(given):
            raise InputError(f"{source}: dimension '{name}' takes a list or {{min, max, step}}")
        low, high, step = given["min"], given["max"], given.get("step", 1)
        whole = all(type(number) is int for number in (low, high, step))
        if not whole or step < 1 or not low <= high:
            raise InputError(
                f"{source}: dimension '{name}' needs whole numbers with min <= max and step >= 1"
            )
        if (high - low) // step >= _MAX_CHOICES:
            raise InputError(
                f"{source}: dimension '{name}' has more than {_MAX_CHOICES} choices; "
                "give it a larger step"
            )
        given = list(range(low, high + 1, step))
    choices = list(given) if isinstance(given, list) else [given]
    if not choices or choices == [None]:
        raise InputError(f"{source}: dimension '{name}' has no choice; give at least one")
    if any(isinstance(choice, list | dict) or choice is None for choice in choices):
        raise InputError(
            f"{source}: dimension '{name}' takes plain values, not {reprlib.repr(given)}"
        )
    if len({(type(choice), choice) for choice in choices}) != len(choices):
        raise InputError(f"{source}: dimension '{name}' names a choice twice")
    if all(type(choice) is int for choice in choices):
        choices.sort()
    return tuple(choices)


def _stages(p: Parameters) -> tuple[Stage, ...]:
    if p["depth"] == 0:
        return ()
    first = Stage(p["block"], p["width"], p["depth"])
    if p["depth_2"] == 0:
        return (first,)
    return (first, Stage(p["block_2"] or p["block"], p["width_2"] or p["width"], p["depth_2"]))


_BOOLEANS = ("bias", "stem_activation")


def _check_value(name: str, value: Any) -> None:
    """Checks that ``Architecture`` does not make, because it never sees the value."""
    if name in ("block", "block_2"):
        blocks[value]
    elif name == "tail":
        tails[value]
    elif (name == "ends" and value not in ("plain", "block", *_ENDS)) or (
        name == "neck" and value != "none"
    ):
        if not linear_sizes(value):
            raise InputError(f"{name} is '{value}', which does not fold; choose a linear block")
    elif name in _BOOLEANS and not isinstance(value, bool):
        raise InputError(f"{name} is {value!r}; choose true or false")
    elif name in ("depth", "depth_2") and (type(value) is not int or not 0 <= value <= 64):
        raise InputError(f"{name} is {value!r}; give a whole number from 0 to 64")
    elif name == "width_2":
        Stage("conv", value)
