"""A candidate that a study asks for, and what evaluating one means to a runner."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from nas.common.errors import InputError
from search_spaces.architecture import Architecture
from search_spaces.zoo.survey import published
from studies.core.outcome import Outcome, PartialResult


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that a study asks to have evaluated.

    Attributes:
        trial: The number of its trial in the study.
        architecture: What to build.
        origin: ``sampler``, ``random``, or the name of a published network.
        repeat: 0 for its first training; else it is trained again, with as much added to the seed.
    """

    trial: int
    architecture: Architecture
    origin: str = "sampler"
    repeat: int = 0

    @property
    def key(self) -> str:
        """Equal for equal architectures."""
        return self.architecture.key

    @property
    def layout(self) -> str:
        """Equal for candidates that a proxy run cannot tell apart: those of one deploy form."""
        from search_spaces.networks.factory import layout

        return layout(self.architecture).key

    @property
    def name(self) -> str:
        """A short name for scripts: of a published network, else the label of the architecture."""
        known = self.origin not in ("sampler", "random")
        return self.origin if known else self.architecture.label

    @property
    def title(self) -> str:
        """What people read; see `title_of`."""
        return title_of(self.trial, self.name)

    def to_dict(self) -> dict[str, Any]:
        """Return the candidate as JSON."""
        return {
            "trial": self.trial,
            "architecture": self.architecture.to_dict(),
            "origin": self.origin,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Candidate:
        """Read what `to_dict` wrote."""
        return cls(data["trial"], Architecture.from_dict(data["architecture"]), data["origin"])


def network_title(name: str) -> str:
    """Return what people read for the name of a candidate's network.

    A candidate of a published architecture is not the published network, which was trained for
    long: it is called a layout, as in ``PixelArtAI layout``.
    """
    return f"{name} layout" if name in published else name


def title_of(trial: int, name: str) -> str:
    """Return what people read for a candidate, such as ``trial 9 (PixelArtAI layout)``."""
    return f"trial {trial} ({network_title(name)})"


class DeviceLost(InputError):
    """A process can use its GPU no more, as after an illegal access: only a new one can.

    Whoever evaluates in processes of their own ends this one, and takes its candidate for one whose
    process has died.
    """


Evaluation: TypeAlias = Generator[PartialResult, None, Outcome]
"""Yields at every intermediate evaluation and returns the outcome."""

Evaluate: TypeAlias = Callable[[Candidate], Evaluation]
"""Evaluates one candidate. It must be picklable, because runners send it to other processes."""
