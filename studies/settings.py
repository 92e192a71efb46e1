"""Settings: what a user asks for, what a study is opened with, and what its storage says of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.architecture import Architecture
from studies.core.budget import Budget
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING, Store

if TYPE_CHECKING:  # it imports torch, which `nas front` can do without
    from search_spaces.space import Space
    from studies.sampling.pool import CostsOf

MAX_WORKERS = 8
"""More in parallel, and the sampler proposes most candidates without their results."""


DEFAULT_TIME_S = 420.0
"""With the installation and the preparation of the sample set the first search ends in 12 minutes,
on two cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """What a user asks for: the options of ``nas search``.

    Attributes:
        space: Name of a preset or path of a YAML file.
        budget: Limits, of which each candidate over one is rejected without training.
        trials: How many candidates to train in all runs of the study, see
            `studies.core.record.Counts.done` for what counts; None for no limit.
        time_s: For how many seconds this run starts candidates; None for no limit.
        steps: Training steps of a proxy run; None for the default.
        seed: Of the sampler and of every proxy run.
        sampler: One of `studies.sampling.samplers.SAMPLERS`.
        data: A prepared set; None for the sample set.
        teacher: ``hat-tiny``, a file, or None to train without.
        target: ``auto``, ``cuda``, ``cpu`` or a latency profile.
        study: A name; None makes one that is the same for the same settings.
        store: The database of studies.
        tracking_uri: MLflow's; None leaves MLflow out.
        concurrency: Candidates at once; None for one a GPU, or one a core without any.
        early_stopping: Stop candidates whose rungs too many others dominate.
        time_limit_s: A candidate that takes longer is broken; None for no limit.
        ray_address: Of a running Ray cluster; None starts Ray on this machine.
        plugins: Python files that bring blocks or spaces.
        repeats: How often to train the front's members in all, and who might be, with other seeds.
    """

    space: str = "lightweight"
    budget: Budget = field(default_factory=Budget)
    trials: int | None = None
    time_s: float | None = None
    steps: int | None = None
    seed: int = 0
    sampler: str = "auto"
    data: Path | None = None
    teacher: str | None = "hat-tiny"
    target: str = "auto"
    study: str | None = None
    store: Store = field(default_factory=Store)
    tracking_uri: str | None = DEFAULT_TRACKING
    concurrency: int | None = None
    early_stopping: bool = False
    time_limit_s: float | None = 3600.0
    ray_address: str | None = None
    plugins: tuple[str, ...] = ()
    repeats: int = 1

    @property
    def period_s(self) -> float | None:
        """For how long to search: the default where neither a time nor a number is given."""
        return DEFAULT_TIME_S if self.time_s is None and self.trials is None else self.time_s

    @property
    def most_at_once(self) -> int:
        """Candidates at once as asked for, else one a core; a GPU may allow fewer."""
        if self.concurrency is not None:
            return max(1, self.concurrency)
        return max(1, min(len(os.sched_getaffinity(0)), MAX_WORKERS, self.trials or MAX_WORKERS))


@dataclass(frozen=True, slots=True)
class StudySettings:
    """How to open a study.

    Attributes:
        name: Its name in the store.
        store: Its database.
        space: What may be built.
        budget: The limits that become constraints.
        identity: Everything else that a result depends on, as JSON; a study continued with
            another identity is refused.
        trials: Goal: how many candidates to train, see `Counts.done` for what counts; None for
            no limit.
        known: Architectures that make up a third of the trainings, by name and in this order;
            those outside the space are left out.
        sampler: One of `SAMPLERS` but ``auto``.
        seed: With one candidate at a time, equal seeds ask for equal candidates, also when the
            search was cut off in between.
        patience: How many candidates in a row may fail to reach training before the search ends.
        sources: Where data, teacher, plugins and MLflow's view lie, without secrets, for who takes
            up the study later.
        teacher_gain_db: With which the teacher was let in, see `StudyInfo`.
        costs_of: Computes what is known of a network before it is trained; ``ehvi`` needs it.
    """

    name: str
    store: Store
    space: Space
    budget: Budget
    identity: Mapping[str, Any] = field(default_factory=dict)
    trials: int | None = None
    known: Mapping[str, Architecture] = field(default_factory=dict)
    sampler: str = "tpe"
    seed: int = 0
    patience: int = 300
    sources: Mapping[str, Any] = field(default_factory=dict)
    teacher_gain_db: float | None = None
    costs_of: CostsOf | None = field(default=None, compare=False)

    @property
    def fixed(self) -> dict[str, Any]:
        """All that results depend on, as it comes back from JSON."""
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
    """What a study was made for, as it stands in its storage.

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
        """The limits it was searched under."""
        return Budget.from_dict(self.identity["budget"])

    @property
    def sources(self) -> dict[str, Any]:
        """Where data, teacher, plugins and MLflow's view lay in the newest run; may be empty."""
        return next((run["sources"] for run in reversed(self.runs) if run.get("sources")), {})

    @property
    def teacher_gain_db(self) -> float | None:
        """PSNR-Y of the teacher over Lanczos on held-out pictures in dB, as a run measured it."""
        measured = (run.get("teacher_gain_db") for run in reversed(self.runs))
        return next((gain_db for gain_db in measured if gain_db is not None), None)
