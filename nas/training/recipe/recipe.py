"""Recipes of full training, as YAML.

A recipe is a list of stages. Each stage continues from the averaged weights of the previous one,
with a new optimizer. ``docs/training.md`` documents every field.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from nas.common.errors import InputError
from nas.common.files import read_text
from nas.common.yaml import load_plain
from nas.training.recipe.stage import Stage, StrictModel

FOLDER = Path(__file__).parent
SUFFIXES = (".yaml", ".yml")


class Recipe(StrictModel):
    """How a network is trained.

    Attributes:
        description: a line for the user.
        curriculum: names for lists of QPs, such as ``easy: [31]``.
        stages: in order.
    """

    description: str = ""
    curriculum: dict[str, tuple[int, ...]] = Field(default_factory=dict)
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
        """Whether a stage removes the biases."""
        return any(stage.remove_bias for stage in self.stages)

    def qps_of(self, stage: Stage, prepared: Sequence[int]) -> tuple[int, ...]:
        """The QPs of a dataset that a stage trains on, from light to heavy.

        Raises:
            InputError: the dataset has none of them.
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
        """The same recipe with all stages scaled, to ``steps`` in total.

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
            after = len(ends) - index - 1  # later stages, which need a step each
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
    text = read_text(path)
    try:
        given = load_plain(text)
    except ValueError as fault:
        raise InputError(f"{path}: a recipe must be YAML text: {fault}") from fault
    return parse_recipe(given, path.stem, str(path))


def parse_recipe(given: Any, name: str, source: str = "") -> Recipe:
    """Validate the content of a YAML file.

    Args:
        given: nested mappings and lists.
        name: of the recipe.
        source: for error messages.

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


_TAGS = ("float", "constrained-float", "cosine", "linear", "constant", "step", "restarts")
"""Tags of union members in pydantic's locations."""


def _sentence(fault: ValidationError) -> str:
    """The first error of pydantic as a sentence with location and choices."""
    error = fault.errors()[0]
    where = _location(error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "missing":
        message = "must be given"
    elif where.endswith("schedule") and error["type"] != "value_error":
        message = "needs a kind: cosine, linear, constant, step or restarts"
    elif error["type"] == "too_short":
        message = "must have one entry at least"
    elif error["type"].startswith("tuple_"):
        message = f"must be a list, not {reprlib.repr(error['input'])}"
    elif message.startswith("Input should be"):
        message = message.replace("Input should be", "must be", 1)
        message += f", not {reprlib.repr(error['input'])}"
    return f"{where}: {message}" if where else message


def _location(location: tuple[int | str, ...]) -> str:
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


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(str, names))
