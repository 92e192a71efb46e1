"""The coordinator of a search: connects a study, a runner, MLflow and the user's view."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nas.common.errors import InputError
from nas.common.text import Period, Progress, clock, silent
from studies.core.candidate import Candidate, Evaluate
from studies.core.info import StudyInfo, StudySettings
from studies.core.outcome import Outcome, PartialResult, Rejected
from studies.core.record import Counts, Record
from studies.core.study import Study, open_study
from studies.events import Finished, Noted, OnEvent, Opened, Passed, Started, ignore
from studies.repeats import RepeatTrials
from studies.report.cli_hints import CommandHints
from studies.results.front import Member
from studies.results.snapshot import StudySnapshot
from studies.runners.base import Runner
from studies.runners.inline import InlineRunner
from studies.sampling.pruner import ParetoPruner
from studies.settings import SearchSettings
from studies.storage.locks import mutex
from studies.storage.store import DEFAULT_TRACKING, masked
from studies.tracking.writer import BackgroundWriter, study_writer

if TYPE_CHECKING:
    from studies.runners.ray import RayRunner
    from studies.runners.ray_session import ClusterResources
    from studies.setup import SearchSetup


@dataclass(frozen=True, slots=True)
class SearchSummary:
    """The result of a search.

    Attributes:
        snapshot: The study at its end, with the trials of all its runs.
        ended: Why it ended before its goal; None if it has reached it.
        interrupted: Whether the user stopped it; the same command continues it.
        files: Figures and pages by name: ``front.png``, ``report.html``...
        tracking_uri: MLflow's, without secrets; None when MLflow was left out.
        tracking_fault: Why MLflow lacks some of it; None when it is complete.
        notes: What to know about the limits.
    """

    snapshot: StudySnapshot
    ended: str | None = None
    interrupted: bool = False
    files: dict[str, Path] = field(default_factory=dict)
    tracking_uri: str | None = None
    tracking_fault: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def study(self) -> str:
        """The study's name, for `nas front`."""
        return self.snapshot.name

    @property
    def counts(self) -> Counts:
        """Number of trials by status."""
        return self.snapshot.counts

    @property
    def records(self) -> tuple[Record, ...]:
        """All trials."""
        return self.snapshot.records

    @property
    def front(self) -> tuple[Member, ...]:
        """The Pareto front with probabilities, fastest first."""
        return self.snapshot.front_with_probability


def search(
    settings: SearchSettings,
    on_event: OnEvent = ignore,
    progress: Progress = silent,
    began: Callable[[], float] = time.monotonic,
) -> SearchSummary:
    """Search until the time is up or the goal is reached, on Ray.

    Args:
        settings: The options of the user.
        on_event: Called at every step of the search, from the calling thread.
        progress: Called during setup.
        began: Called after setup: returns the start of the search on the monotonic clock, which
            is earlier if this process continues another one within the same period.

    Raises:
        InputError: A setting cannot work, or something stopped working. No result is lost.
    """
    from studies.report import static
    from studies.runners.ray_session import EVALUATION, Session, cluster_resources, ray_session

    # The number at once follows once the device is known; Ray must know the maximum at its start.
    session = Session(settings.ray_address, settings.most_at_once, preload=EVALUATION)
    with ray_session(session):
        # Imported here because they import torch, while Ray starts.
        from studies.evaluation import evaluate
        from studies.setup import set_up

        cluster = None if settings.ray_address is None else cluster_resources(session)
        setup = set_up(settings, progress, cluster)
        summary = run_study(
            setup.study,
            partial(evaluate, settings=setup.evaluation),
            ray_runner(settings, setup, cluster),
            tracking_uri=settings.tracking_uri,
            # At earlier rungs the learning rate is high, and gains do not distinguish candidates.
            stop_from=2 * setup.evaluation.proxy.steps // 3 if settings.early_stopping else None,
            repeats=settings.repeats,
            period=Period(settings.period_s, began()),
            notes=setup.slack,
            on_event=on_event,
        )
    folder = settings.store.folder(summary.study)
    if summary.tracking_uri is None or summary.tracking_fault is not None:
        hints = CommandHints(settings.store.url, settings.tracking_uri or DEFAULT_TRACKING)
        static.write(summary.snapshot.info, summary.records, folder, hints)
    return replace(summary, files=static.written(folder))


def ray_runner(
    settings: SearchSettings, setup: SearchSetup, cluster: ClusterResources | None = None
) -> RayRunner:
    """Return the runner for this machine or cluster; imports Ray."""
    from nas.measure.device import gpus_alike
    from studies.runners.ray import RayRunner

    limit, gpus = settings.time_limit_s, gpus_alike() if cluster is None else cluster.gpus
    on_gpus = setup.evaluation.device == "cuda"
    return RayRunner(
        concurrency=setup.concurrency,
        gpus_each=share_of_gpu(setup.concurrency, gpus) if on_gpus else 0.0,
        address=settings.ray_address,
        # Above the limit that an evaluation itself enforces: only a hung one reaches it.
        hard_limit_s=None if limit is None else 1.5 * limit + 60.0,
        worker_setup=setup.evaluation.bundle,
    )


def share_of_gpu(at_once: int, gpus: int) -> float:
    """Return the share of a GPU of each candidate, so that none is split over two."""
    return 1 / math.ceil(at_once / max(gpus, 1))


def run_study(
    settings: StudySettings,
    evaluate: Evaluate,
    runner: Runner | None = None,
    *,
    tracking_uri: str | None = None,
    stop_from: int | None = None,
    repeats: int = 1,
    period: Period | None = None,
    notes: Callable[[], tuple[str, ...]] = tuple,
    on_event: OnEvent = ignore,
) -> SearchSummary:
    """Run one study to its goal, or until its time is up, with any evaluation and runner.

    Args:
        settings: The study.
        evaluate: Evaluates a candidate; picklable if the runner uses other processes.
        runner: Where candidates are evaluated; None for this process.
        tracking_uri: MLflow's; None leaves MLflow out.
        stop_from: Step of the first rung at which candidates may be stopped; None for never.
        repeats: Trainings of each front member and contender in all, see `studies.repeats`.
        period: In which candidates may start; None for no end. Repeats come after it.
        notes: Returns notes on the limits; called while the first candidate trains, and at the end.
        on_event: Called at every step, from the calling thread.

    Raises:
        InputError: See `search`.
    """
    period, runner = period or Period(), runner or InlineRunner()
    interrupted = False
    folder = settings.store.folder(settings.name)
    with open_study(settings) as study:
        info = StudyInfo(settings.name, settings.fixed, study.runs, str(settings.store))
        alone = partial(mutex, settings.store, settings.name, "tracked")
        writer = None if tracking_uri is None else study_writer(tracking_uri, info, folder, alone)
        on_event(Opened(settings.name, settings.trials, period, runner.concurrency, study.records))
        trials = SearchTrials(study, writer, period, stop_from, notes, on_event)
        try:
            runner.run(evaluate, trials)
            if repeats > 1:
                runner.run(evaluate, RepeatTrials(study, repeats, on_event))
        except KeyboardInterrupt:
            interrupted = True
        finally:
            study.release()
            # Also after an error: MLflow gets what there is.
            records = study.records
            fault = None if writer is None else writer.close(records)
        snapshot = StudySnapshot(info, records)
        goal_reached = settings.trials is not None and snapshot.counts.done >= settings.trials
        ended = study.ended
        if not (ended or interrupted or goal_reached or period.seconds is None) and period.is_over:
            limit = clock(period.seconds)
            ended = f"The time of {limit} is up; the same command searches as long again."
        return SearchSummary(
            snapshot=snapshot,
            ended=ended,
            interrupted=interrupted,
            tracking_uri=None if tracking_uri is None else masked(tracking_uri),
            tracking_fault=fault,
            notes=notes(),
        )


class SearchTrials:
    """The trials of a search for its runner: from the study, reported to MLflow and the view."""

    def __init__(
        self,
        study: Study,
        writer: BackgroundWriter | None,
        period: Period,
        stop_from: int | None,
        notes: Callable[[], tuple[str, ...]],
        on_event: OnEvent,
    ) -> None:
        self._study, self._writer, self._on_event = study, writer, on_event
        self._period, self._stop_from = period, stop_from
        self._notes, self._asked = notes, 0
        self._pruner = None if stop_from is None else ParetoPruner(records=study.records)

    def ask(self) -> Candidate | None:
        """See `TrialSource`."""
        self._asked += 1
        if self._asked == 2 and (notes := self._notes()):  # the first candidate trains already
            self._on_event(Noted(notes))
        candidate = None if self._period.is_over else self._study.ask()
        if candidate is not None:
            self._on_event(Started(candidate))
        return candidate

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        """See `TrialSource`."""
        _require_one_device(outcome, self._study.devices)
        for record in self._study.tell(candidate, outcome):
            self._on_event(Finished(record, self._study.counts.done))
        if self._writer is not None:
            self._writer.update(self._study.records)

    def at_rung(self, candidate: Candidate, result: PartialResult) -> Outcome | None:
        """See `TrialSource`."""
        rung = result.rung
        self._on_event(Passed(candidate, rung))
        if self._pruner is None or self._stop_from is None or rung.step < self._stop_from:
            return None
        needed_db = self._pruner.required_gain_db(result)
        if needed_db is None:
            return None
        return Rejected(
            limit="rung",
            value=rung.gain_db,
            allowed=needed_db,
            runtime=result.runtime,
            size=result.size,
            curve=result.curve,
            seconds=rung.seconds,
        )


def _require_one_device(outcome: Outcome, devices: Collection[str]) -> None:
    """Refuse a runtime that was measured on another device than earlier ones."""
    device = outcome.runtime.device if outcome.runtime else ""
    for before in devices if device else ():
        if before != device:
            raise InputError(
                f"Runtimes of this study were measured on {before}, now one was on "
                f"{device}: let only machines of one kind measure, by starting Ray there with "
                "--resources '{\"latency\": 1}'."
            )
