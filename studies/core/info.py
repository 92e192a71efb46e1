"""What a study is for: the settings that it is opened with, and those that its database holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search_spaces.architecture import Architecture
from studies.core.budget import Budget
from studies.storage.store import DEFAULT_STORAGE, Store

if TYPE_CHECKING:  # they import torch and Optuna's samplers, which `nas front` does not need
    from search_spaces.space import Space
    from studies.core.sampler import SamplerFactory


@dataclass(frozen=True, slots=True)
class StudySettings:
    """How to open a study.

    Attributes:
        name: Its name in the database.
        store: Its database.
        space: The search space.
        budget: The limits, which become constraints.
        sampler: What chooses candidates.
        identity: Everything else that a result depends on, as JSON; a study is not continued with
            another identity.
        trials: Goal: number of candidates to train, see `Counts.done`; None for no limit.
        known: Architectures that make up a third of the trainings, by name and in this order;
            those outside the space are left out.
        seed: With one candidate at a time, equal seeds ask for equal candidates, also when the
            search was interrupted in between.
        patience: Number of candidates in a row that may not reach training before the search ends.
        sources: Paths of data, teacher and plugins, and MLflow's URI, without secrets, for later
            commands on the study.
        teacher_gain_db: Measured gain of the teacher, see `StudyInfo`.
    """

    name: str
    store: Store
    space: Space
    budget: Budget
    sampler: SamplerFactory = field(compare=False)
    identity: Mapping[str, Any] = field(default_factory=dict)
    trials: int | None = None
    known: Mapping[str, Architecture] = field(default_factory=dict)
    seed: int = 0
    patience: int = 300
    sources: Mapping[str, Any] = field(default_factory=dict)
    teacher_gain_db: float | None = None

    @property
    def fixed(self) -> dict[str, Any]:
        """All that results depend on, as JSON gives it back."""
        return json.loads(
            json.dumps(
                {
                    "space": self.space.to_dict(),
                    "budget": self.budget.to_dict(),
                    "seed": self.seed,
                    **self.identity,
                }
            )
        )


@dataclass(frozen=True, slots=True)
class StudyInfo:
    """The settings of a study as they are stored.

    Attributes:
        name: Its name.
        identity: All that its results depend on, as JSON: space, budget, target, data, teacher...
        runs: Versions, commit and time of each run that worked on it.
        storage: Its database URL, without secrets.
    """

    name: str
    identity: dict[str, Any]
    runs: tuple[dict[str, Any], ...]
    storage: str = DEFAULT_STORAGE

    @property
    def budget(self) -> Budget:
        """The limits."""
        return Budget.from_dict(self.identity["budget"])

    @property
    def sources(self) -> dict[str, Any]:
        """Paths of data, teacher, plugins and MLflow's URI in the newest run; may be empty."""
        return next((run["sources"] for run in reversed(self.runs) if run.get("sources")), {})

    @property
    def teacher_gain_db(self) -> float | None:
        """The teacher's PSNR-Y over Lanczos on held-out images in dB, as the newest run has it."""
        measured = (run.get("teacher_gain_db") for run in reversed(self.runs))
        return next((gain_db for gain_db in measured if gain_db is not None), None)
