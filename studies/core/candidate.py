"""A candidate of a study, and the type of its evaluation."""

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
    """An architecture to evaluate.

    Attributes:
        trial: Number of its trial in the study.
        architecture: The architecture.
        origin: ``sampler``, ``random``, or the name of a published network.
        repeat: Number of the training, from 0; added to the seed.
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
        """Equal for candidates of one deploy form, which a proxy run cannot distinguish."""
        from search_spaces.networks.factory import layout

        return layout(self.architecture).key

    @property
    def name(self) -> str:
        """Short name for scripts: of a published network, else the label of the architecture."""
        known = self.origin not in ("sampler", "random")
        return self.origin if known else self.architecture.label

    @property
    def title(self) -> str:
        """Title for tables; see `title_of`."""
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
    """Return the name of a candidate's network as tables show it.

    A candidate of a published architecture is not the published network, which had a long training:
    it is called a layout, as in ``PixelArtAI layout``.
    """
    return f"{name} layout" if name in published else name


def title_of(trial: int, name: str) -> str:
    """Return the title of a candidate, such as ``trial 9 (PixelArtAI layout)``."""
    return f"trial {trial} ({network_title(name)})"


class DeviceLost(InputError):
    """This process cannot use its GPU any more, as after an illegal access; a new process can.

    Runners with worker processes end this one and treat its candidate as one whose worker died.
    """


Evaluation: TypeAlias = Generator[PartialResult, None, Outcome]
"""Yields at every intermediate evaluation and returns the outcome."""

Evaluate: TypeAlias = Callable[[Candidate], Evaluation]
"""Evaluates one candidate; picklable, because runners send it to other processes."""
