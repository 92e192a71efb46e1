"""Stages of a recipe: length, data, optimizer, schedule, losses, distillation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nas.training.core.optim import optimizers
from nas.training.losses.losses import losses
from nas.training.recipe import schedules

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Weight: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Ramp: TypeAlias = Weight | tuple[Weight, Weight]
"""A weight, or the weights at the beginning and the end of a stage with a line between."""
MixRamp: TypeAlias = Share | tuple[Share, Share]


class StrictModel(BaseModel):
    """Frozen, and strict about names: a misspelt field is an error that lists the right ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            for name in given:
                if name not in cls.model_fields:
                    takes = ", ".join(cls.model_fields)
                    raise ValueError(f"there is no field '{name}' here; it takes {takes}")
        return given


class Cosine(StrictModel):
    """A rise in a line, then half a cosine down to ``end``, a share of the peak."""

    kind: Literal["cosine"] = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    end: Share = 0.0

    def rate(self, progress: float) -> float:
        """Share of the peak rate when this share of the stage is done."""
        return schedules.warmed_cosine(progress, self.warmup, self.end)


class Linear(StrictModel):
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


class Constant(StrictModel):
    """A rise, then the peak."""

    kind: Literal["constant"]
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def rate(self, progress: float) -> float:
        """Share of the peak rate when this share of the stage is done."""
        rising = schedules.warmed(progress, self.warmup)
        return 1.0 if rising is None else rising


class Steps(StrictModel):
    """A rise, then the rate is multiplied by ``factor`` at these shares of the stage."""

    kind: Literal["step"]
    at: tuple[Share, ...]
    factor: Annotated[float, Field(gt=0, le=1)] = 0.5
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def rate(self, progress: float) -> float:
        """Share of the peak rate when this share of the stage is done."""
        rising = schedules.warmed(progress, self.warmup)
        return schedules.stepped(progress, self.at, self.factor) if rising is None else rising


class Restarts(StrictModel):
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


class OutputDistillation(StrictModel):
    """An added loss between the student's output and the teacher's."""

    weight: Ramp = 0.1
    loss: Literal["l1", "mse"] = "mse"


class Distillation(StrictModel):
    """What is distilled from a teacher, if one is given.

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
        """Whether the teacher's output is needed."""
        return self.output is not None or any_of(self.mix) or any_of(self.contrastive)

    @property
    def wants_features(self) -> bool:
        """Whether the teacher's features are needed."""
        return any_of(self.affinity)


class Stage(StrictModel):
    """One stage of a training.

    Attributes:
        steps: how many; ``nas train --steps`` scales those of all stages.
        patch: LR side of a crop; rounded up to what the network's working resolution divides.
        batch: crops of a step, over all processes.
        optimiser: ``muon`` (Muon for kernels, Adam for the rest) or ``adam``.
        lr: peak rate.
        adam_lr: with ``muon``, the peak rate of Adam.
        betas: Adam's.
        schedule: of the rates.
        losses: name -> weight.
        distillation: from the teacher.
        qps: those of the set to train on, or names of the recipe's curriculum; all if not given.
        fold: first fold every block into a plain convolution, and train that.
        remove_bias: first remove all biases; earlier stages train with them.
        freeze: patterns of names of parameters that are not trained, such as ``stem.*``.
        auxiliary_x2: weight of the loss of a second output at 2x, which is deleted afterwards.
        grey: share of the crops of a batch that lose their colours, so that grey stays grey;
            ignored for networks that predict luma.
        clip: largest norm of the gradient; 0 does not clip.
        ema: decay of the moving average of the weights.
    """

    steps: Annotated[int, Field(ge=1)]
    losses: Annotated[dict[str, Weight], Field(min_length=1)]
    patch: Annotated[int, Field(ge=8, le=1024)] = 48
    batch: Annotated[int, Field(ge=1)] = 16
    optimiser: str = "adam"
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
    grey: Annotated[float, Field(ge=0, le=1)] = 0.0
    clip: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999

    @field_validator("losses")
    @classmethod
    def _losses_exist(cls, given: dict[str, float]) -> dict[str, float]:
        for name in given:
            losses[name]  # raises an error with the choices
        if not any(given.values()):
            raise ValueError("one of them must have a weight above 0")
        return given

    @field_validator("optimiser")
    @classmethod
    def _optimizer_exists(cls, given: str) -> str:
        optimizers[given]
        return given

    @field_validator("qps", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, int | str) else given


def any_of(weight: float | tuple[float, float]) -> bool:
    """Whether a ramp is above zero anywhere."""
    return max(weight) > 0 if isinstance(weight, tuple) else weight > 0


def value_at(weight: float | tuple[float, float], progress: float) -> float:
    """A ramp's value when this share of its stage is done."""
    return schedules.ramp(progress, *weight) if isinstance(weight, tuple) else weight
