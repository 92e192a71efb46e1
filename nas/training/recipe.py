"""Recipes: how a network is trained fully, as YAML that anybody can read, write and share.

A recipe is a list of stages. Each stage goes on from the averaged weights of the one before, with a
fresh optimiser. ``docs/training.md`` shows every field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from nas.training import schedules
from nas.training.losses import losses
from search_spaces.errors import InputError

FOLDER = Path(__file__).parent / "recipes"
SUFFIXES = (".yaml", ".yml")

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Weight: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Ramp: TypeAlias = Weight | tuple[Weight, Weight]
"""A weight, or the weights at the beginning and the end of a stage with a line between."""
MixRamp: TypeAlias = Share | tuple[Share, Share]


class _Part(BaseModel):
    """Frozen, and strict about names: a misspelt field is an error that lists the right ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            for name in given:
                if name not in cls.model_fields:
                    takes = _listed(cls.model_fields)
                    raise ValueError(f"there is no field '{name}' here; it takes {takes}")
        return given


class Cosine(_Part):
    """A rise in a line, then half a cosine down to ``end``, a share of the peak."""

    kind: Literal["cosine"] = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    end: Share = 0.0

    def rate(self, progress: float) -> float:
        """Share of the peak rate when this share of the stage is done."""
        return schedules.warmed_cosine(progress, self.warmup, self.end)


class Linear(_Part):
    """A rise, the peak until ``hold``, then a line down to ``end``."""

    kind: Literal["linear"]
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    hold: Annotated[float, Field(ge=0, lt=1)] = 0.0
    end: Share = 0.0

    def rate(self, progress: float) -> float:
        """Share of the peak rate when this share of the stage is done."""
        rising = schedules.warmed(progress, self.warmup)
        hold = max(self.hold, self.warmup)
        return schedules.linear(progress, self.end, hold) if rising is None else rising


class Constant(_Part):
    """A rise, then the peak."""

    kind: Literal["constant"]
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def rate(self, progress: float) -> float:
        """Share of the peak rate when this share of the stage is done."""
        rising = schedules.warmed(progress, self.warmup)
        return 1.0 if rising is None else rising


class Steps(_Part):
    """A rise, then the rate is multiplied by ``factor`` at these shares of the stage."""

    kind: Literal["step"]
    at: tuple[Share, ...]
    factor: Annotated[float, Field(gt=0, le=1)] = 0.5
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def rate(self, progress: float) -> float:
        """Share of the peak rate when this share of the stage is done."""
        rising = schedules.warmed(progress, self.warmup)
        return schedules.stepped(progress, self.at, self.factor) if rising is None else rising


class Restarts(_Part):
    """Cosines in a row, each from a lower peak: ``factor`` times the one before."""

    kind: Literal["restarts"]
    cycles: Annotated[int, Field(ge=1)]
    factor: Annotated[float, Field(gt=0, le=1)] = 1.0
    end: Share = 0.0
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def rate(self, progress: float) -> float:
        """Share of the peak rate when this share of the stage is done."""
        rising = schedules.warmed(progress, self.warmup)
        if rising is not None:
            return rising
        progress = (progress - self.warmup) / (1 - self.warmup)
        return schedules.restarted(progress, self.cycles, self.factor, self.end)


Schedule: TypeAlias = Annotated[
    Cosine | Linear | Constant | Steps | Restarts, Field(discriminator="kind")
]


class OutputDistillation(_Part):
    """An added loss between the student's output and the teacher's."""

    weight: Ramp = 0.1
    loss: Literal["l1", "mse"] = "mse"


class Distillation(_Part):
    """What is learned from the teacher, if one is given.

    Attributes:
        output: an added loss between both outputs.
        mix: share of the teacher's output in the target of all losses.
        affinity: weight of the difference of spatial similarities of features.
        contrastive: weight of being near the teacher's output and far from Lanczos's.
    """

    output: OutputDistillation | None = None
    mix: MixRamp = 0.0
    affinity: Ramp = 0.0
    contrastive: Ramp = 0.0

    @property
    def wants_output(self) -> bool:
        """Whether the teacher's pictures are needed."""
        return self.output is not None or any_of(self.mix) or any_of(self.contrastive)

    @property
    def wants_features(self) -> bool:
        """Whether the teacher's features are needed."""
        return any_of(self.affinity)


class Stage(_Part):
    """A part of a training with settings of its own.

    Attributes:
        steps: how many; ``nas train --steps`` scales those of all stages.
        patch: LR side of a crop; rounded up to what the network's working resolution divides.
        batch: crops of a step, over all processes.
        optimiser: ``muon`` moves kernels by Muon and the rest by Adam; ``adam`` all by Adam.
        lr: peak rate.
        adam_lr: with ``muon``, the peak rate of what Adam moves.
        betas: Adam's.
        schedule: how the rates move.
        losses: name -> weight.
        distillation: what is learned from the teacher.
        qps: those of the set to train on, or names of the recipe's curriculum; all if not given.
        fold: first fold every block into a plain convolution, and train that.
        remove_bias: first take all biases away; until then a network has them, whatever its
            description says.
        freeze: patterns of names of parameters that stay as they are, such as ``stem.*``.
        auxiliary_x2: weight of the loss of a second output at 2x, which is deleted afterwards.
        clip: largest norm of the gradient; 0 does not clip.
        ema: decay of the moving average of the weights.
    """

    steps: Annotated[int, Field(ge=1)]
    losses: Annotated[dict[str, Weight], Field(min_length=1)]
    patch: Annotated[int, Field(ge=8, le=1024)] = 48
    batch: Annotated[int, Field(ge=1)] = 16
    optimiser: Literal["adam", "muon"] = "adam"
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5e-4
    adam_lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.9,
        0.999,
    )
    schedule: Schedule = Cosine()
    distillation: Distillation = Distillation()
    qps: tuple[int | str, ...] | None = None
    fold: bool = False
    remove_bias: bool = False
    freeze: tuple[str, ...] = ()
    auxiliary_x2: Weight = 0.0
    clip: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999

    @field_validator("losses")
    @classmethod
    def _losses_exist(cls, given: dict[str, float]) -> dict[str, float]:
        for name in given:
            losses[name]  # names the choices if there is none
        if not any(given.values()):
            raise ValueError("one of them must have a weight above 0")
        return given

    @field_validator("qps", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, int | str) else given


class Recipe(_Part):
    """How a network is trained.

    Attributes:
        description: a line for people.
        curriculum: names for lists of QPs, such as ``easy: [31]``.
        stages: in order.
    """

    description: str = ""
    curriculum: dict[str, tuple[int, ...]] = {}
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    _name: str = PrivateAttr("recipe")

    @model_validator(mode="after")
    def _curriculum_names(self) -> Recipe:
        for number, stage in enumerate(self.stages, 1):
            for qp in stage.qps or ():
                if isinstance(qp, str) and qp not in self.curriculum:
                    known = _listed(self.curriculum) or "nothing"
                    raise ValueError(
                        f"stage {number} trains on '{qp}', and the curriculum names {known}"
                    )
        return self

    @property
    def name(self) -> str:
        """The shipped name, or the file's stem."""
        return self._name

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def wants_teacher(self) -> bool:
        """Whether any stage learns from a teacher."""
        parts = [stage.distillation for stage in self.stages]
        return any(part.wants_output or part.wants_features for part in parts)

    @property
    def removes_bias(self) -> bool:
        """Whether a stage takes the biases away."""
        return any(stage.remove_bias for stage in self.stages)

    def qps_of(self, stage: Stage, prepared: Sequence[int]) -> tuple[int, ...]:
        """The QPs of a set that a stage trains on, from light to heavy.

        Raises:
            InputError: the set has none of them.
        """
        if stage.qps is None:
            return tuple(prepared)
        wanted: set[int] = set()
        for qp in stage.qps:
            wanted.update(self.curriculum[qp] if isinstance(qp, str) else (qp,))
        found = tuple(qp for qp in prepared if qp in wanted)
        if not found:
            raise InputError(
                f"recipe {self.name} trains on QP {_listed(sorted(wanted))} in stage "
                f"{self.stages.index(stage) + 1}, and the set has only {_listed(prepared)}: "
                "prepare it with one of those"
            )
        return found

    def scaled(self, steps: int) -> Recipe:
        """The same recipe, all stages longer or shorter so that they add up to ``steps``.

        Raises:
            InputError: fewer steps than stages.
        """
        if steps < len(self.stages):
            raise InputError(
                f"recipe {self.name} has {len(self.stages)} stages: give it as many steps at least"
            )
        ends = [sum(stage.steps for stage in self.stages[: i + 1]) for i in range(len(self.stages))]
        bounds = [0]
        for index, end in enumerate(ends):
            after = len(ends) - index - 1  # stages to come, which need a step each
            bounds.append(min(max(bounds[-1] + 1, round(steps * end / ends[-1])), steps - after))
        stages = tuple(
            stage.model_copy(update={"steps": bounds[i + 1] - bounds[i]})
            for i, stage in enumerate(self.stages)
        )
        copy = self.model_copy(update={"stages": stages})
        copy._name = self._name
        return copy


def shipped_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with the workbench."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_recipe(source: str | Path) -> Recipe:
    """Load a recipe by its shipped name or from a YAML file.

    Raises:
        InputError: there is none, or something in it is wrong: names file, field and choices.
    """
    if str(source) in shipped_recipes():
        path = FOLDER / f"{source}.yaml"
    else:
        path = Path(source)
        if path.suffix not in SUFFIXES or not path.is_file():
            raise InputError(
                f"there is no recipe '{source}'; choose one of {_listed(shipped_recipes())}, "
                "or give a .yaml file"
            )
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        where = getattr(fault, "problem_mark", None)
        line = f", line {where.line + 1}" if where is not None else ""
        raise InputError(f"{path}{line}: a recipe must be YAML text") from fault
    except OSError as fault:
        raise InputError(f"{path} cannot be read: {fault.strerror}") from fault
    return parse_recipe(given, path.stem, str(path))


def parse_recipe(given: Any, name: str, source: str = "") -> Recipe:
    """Make a recipe of what a YAML file holds.

    Args:
        given: nested mappings and lists.
        name: what it is called.
        source: where it comes from, for error messages.

    Raises:
        InputError: something in it is wrong.
    """
    source = source or f"recipe {name}"
    if not isinstance(given, Mapping):
        raise InputError(f"{source}: a recipe is a mapping with a list of stages")
    try:
        recipe = Recipe.model_validate(given)
    except ValidationError as fault:
        raise InputError(f"{source}: {_sentence(fault)}") from fault
    recipe._name = name
    return recipe


def any_of(weight: float | tuple[float, float]) -> bool:
    """Whether a ramp is above zero anywhere."""
    return max(weight) > 0 if isinstance(weight, tuple) else weight > 0


def at(weight: float | tuple[float, float], progress: float) -> float:
    """A ramp's value when this share of its stage is done."""
    return schedules.ramp(progress, *weight) if isinstance(weight, tuple) else weight


_TAGS = ("float", "constrained-float", "cosine", "linear", "constant", "step", "restarts")
"""What pydantic adds to a place to say which kind of value it tried."""


def _sentence(fault: ValidationError) -> str:
    """The first of pydantic's complaints as one sentence with the place and the choices."""
    error = fault.errors()[0]
    place = _place(error["loc"])
    told = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "missing":
        told = "must be given"
    elif place.endswith("schedule") and error["type"] != "value_error":
        told = "needs a kind: cosine, linear, constant, step or restarts"
    elif error["type"] == "too_short":
        told = "must have one entry at least"
    elif error["type"].startswith("tuple_"):
        told = f"must be a list, not {error['input']!r}"
    elif told.startswith("Input should be"):
        told = f"{told.replace('Input should be', 'must be', 1)}, not {error['input']!r}"
    return f"{place}: {told}" if place else told


def _place(location: tuple[int | str, ...]) -> str:
    """``("stages", 0, "losses", "l1")`` as "stage 1, losses, l1"."""
    words: list[str] = []
    before: int | str = ""
    for part in location:
        if isinstance(part, int):
            if before == "stages":
                words[-1:] = [f"stage {part + 1}"]
            else:
                words.append(f"entry {part + 1}")
        elif part not in _TAGS and "[" not in part:
            words.append(part)
        before = part
    return ", ".join(words)


def _listed(names: Any) -> str:
    return ", ".join(map(str, names))
