"""Settings of a search: the options of ``nas search``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from studies.core.budget import Budget
from studies.storage.store import DEFAULT_TRACKING, Store

MAX_WORKERS = 8
"""With more in parallel the sampler would propose most candidates without results."""

DEFAULT_TIME_S = 420.0
"""Installation, sample set and first search then take 12 minutes on two cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """The options of ``nas search``.

    Attributes:
        space: Name of a preset or path of a YAML file.
        budget: Limits; a candidate over one is rejected without training.
        trials: Candidates to train in all runs of the study, see
            `studies.core.record.Counts.done`; None for no limit.
        time_s: Time in which this run starts candidates; None for no limit.
        steps: Training steps of a proxy run; None for the default.
        seed: Seed of the sampler and of proxy runs.
        sampler: One of `studies.sampling.samplers.samplers`, or ``auto``.
        data: Folder of a dataset; None for the sample set.
        teacher: ``hat-tiny``, a file, or None to train without.
        target: ``auto``, ``cuda``, ``cpu`` or a latency profile.
        study: A name; None derives one from the settings.
        store: The database of studies.
        tracking_uri: MLflow's; None leaves MLflow out.
        concurrency: Candidates at once; None for one a GPU, or one a core without GPUs.
        early_stopping: Stop candidates whose rungs too many others dominate.
        time_limit_s: A candidate that takes longer is broken; None for no limit.
        ray_address: Address of a running Ray cluster; None starts Ray on this machine.
        plugins: Python files that add blocks or spaces.
        repeats: Trainings of each front member and contender in all, see `studies.repeats`.
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
        """Time to search: the default if neither a time nor a number is given."""
        return DEFAULT_TIME_S if self.time_s is None and self.trials is None else self.time_s

    @property
    def most_at_once(self) -> int:
        """Upper limit of candidates at once: as asked, else one a core."""
        if self.concurrency is not None:
            return max(1, self.concurrency)
        return max(1, min(len(os.sched_getaffinity(0)), MAX_WORKERS, self.trials or MAX_WORKERS))
