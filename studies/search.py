"""The coordinator: asks one study, lets a runner evaluate, tells the study and MLflow."""

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
from studies.repeats import RepeatDesk
from studies.report.summary import Places
from studies.results.front import Member
from studies.results.snapshot import StudySnapshot
from studies.runners.base import Runner
from studies.runners.inline import InlineRunner
from studies.sampling.pruner import ParetoRungs
from studies.settings import SearchSettings
from studies.storage.locks import mutex
from studies.storage.store import DEFAULT_TRACKING, masked
from studies.tracking.writer import Courier, study_courier

if TYPE_CHECKING:
    from studies.runners.ray import RayRunner
    from studies.runners.ray_session import Facilities
    from studies.setup import Prepared


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
        settings: What the user asked for.
        on_event: Told of every step of the search, from the calling thread.
        progress: Called while data and teacher outputs are prepared.
        began: Called once all is prepared: when the search began, on the monotonic clock. That is
            earlier for one that continues another process's within the same period.

    Raises:
        InputError: Something asked for cannot work, or stopped working. Nothing found is lost.
    """
    from studies.report import static
    from studies.runners.ray_session import EVALUATION, Session, facilities, starting

    # How many at once is settled once the device is known; Ray itself must know the most.
    session = Session(settings.ray_address, settings.most_at_once, preload=EVALUATION)
    with starting(session):
        # Here, because they import torch: beside the start of Ray.
        from studies.evaluation import evaluate
        from studies.setup import on_cluster, prepare, teach

        cluster = None if settings.ray_address is None else facilities(session)
        prepared = prepare(settings, progress, cluster)
        runner = ray_runner(settings, prepared, cluster)
        prepared = teach(prepared, progress)
        evaluation = prepared.evaluation
        if cluster is not None:
            evaluation = on_cluster(evaluation, cluster)
            runner = replace(runner, supply=evaluation.material)
        summary = conduct(
            prepared.study,
            partial(evaluate, settings=evaluation),
            runner,
            tracking_uri=settings.tracking_uri,
            stop_from=_settled(prepared) if settings.early_stopping else None,
            repeats=settings.repeats,
            period=Period(settings.period_s, began()),
            notes=prepared.slack,
            on_event=on_event,
        )
    folder = settings.store.folder(summary.study)
    if summary.tracking_uri is None or summary.tracking_fault is not None:
        places = Places(settings.store.url, settings.tracking_uri or DEFAULT_TRACKING)
        static.write(summary.snapshot.info, summary.records, folder, places)
    return replace(summary, files=static.written(folder))


def _settled(prepared: Prepared) -> int:
    """The step from which rungs tell candidates apart: while the rate is high all of them waver."""
    return 2 * prepared.evaluation.proxy.steps // 3


def ray_runner(
    settings: SearchSettings, prepared: Prepared, cluster: Facilities | None = None
) -> RayRunner:
    """Return the runner for this machine or cluster; imports Ray."""
    from nas.measure.device import gpus_alike
    from studies.runners.ray import RayRunner

    limit, gpus = settings.time_limit_s, gpus_alike() if cluster is None else cluster.gpus
    on_gpus = prepared.evaluation.device == "cuda"
    return RayRunner(
        concurrency=prepared.concurrency,
        gpus_each=share_of_gpu(prepared.concurrency, gpus) if on_gpus else 0.0,
        address=settings.ray_address,
        # Beyond the limit that a candidate ends at by itself: only a hung one gets here.
        hard_limit_s=None if limit is None else 1.5 * limit + 60.0,
    )


def share_of_gpu(at_once: int, gpus: int) -> float:
    """Return what each of so many candidates gets of so many GPUs: none is on two of them."""
    return 1 / math.ceil(at_once / max(gpus, 1))


def conduct(
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
    """Run one study to its goal, or until its time is up, with any way of evaluating candidates.

    Args:
        settings: The study.
        evaluate: What evaluates a candidate; picklable where the runner uses other processes.
        runner: Where candidates are evaluated; in this process when left out.
        tracking_uri: MLflow's; None leaves it out.
        stop_from: Stop candidates by Pareto rank at rungs from this step on; None for never.
        repeats: Trainings in all of the front's members and contenders, see `studies.repeats`.
        period: In which candidates of the search may start; None for no end. Repeats come after.
        notes: Returns what to know of the limits; called while the first candidate trains, and at
            the end.
        on_event: Told of every step, from the calling thread.

    Raises:
        InputError: See `search`.
    """
    period, runner = period or Period(), runner or InlineRunner()
    interrupted = False
    folder = settings.store.folder(settings.name)
    with open_study(settings) as study:
        info = StudyInfo(settings.name, settings.fixed, study.runs, str(settings.store))
        alone = partial(mutex, settings.store, settings.name, "tracked")
        courier = None if tracking_uri is None else study_courier(tracking_uri, info, folder, alone)
        goal, at_once = settings.trials, runner.concurrency
        on_event(Opened(settings.name, goal, period, at_once, study.records))
        desk = _Desk(study, courier, period, stop_from, notes, on_event)
        try:
            runner.run(evaluate, desk)
            if repeats > 1:
                runner.run(evaluate, RepeatDesk(study, repeats, on_event))
        except KeyboardInterrupt:
            interrupted = True
        finally:
            study.release()
            # In a thread already, and waited for: also when the search itself has failed.
            records = study.records
            fault = None if courier is None else courier.close(records)
        return SearchSummary(
            snapshot=StudySnapshot(info, records),
            ended=study.ended or (None if interrupted else _time_up(period, goal, study.counts)),
            interrupted=interrupted,
            tracking_uri=None if tracking_uri is None else masked(tracking_uri),
            tracking_fault=fault,
            notes=notes(),
        )


def _time_up(period: Period, goal: int | None, tally: Counts) -> str | None:
    """Say that a search has ended because its time is up, if it has."""
    if period.seconds is None or not period.is_over or (goal is not None and tally.done >= goal):
        return None
    return f"The time of {clock(period.seconds)} is up; the same command searches as long again."


class _Desk:
    """Where the runner asks and tells: the study, with everyone who wants to know behind it."""

    def __init__(
        self,
        study: Study,
        courier: Courier | None,
        period: Period,
        stop_from: int | None,
        notes: Callable[[], tuple[str, ...]],
        on_event: OnEvent,
    ) -> None:
        self._study, self._courier, self._on_event = study, courier, on_event
        self._period, self._stop_from = period, stop_from
        self._notes, self._asked = notes, 0
        self._rungs = None if stop_from is None else ParetoRungs(records=study.records)

    def ask(self) -> Candidate | None:
        self._asked += 1
        if self._asked == 2 and (notes := self._notes()):  # the first one trains already
            self._on_event(Noted(notes))
        candidate = None if self._period.is_over else self._study.ask()
        if candidate is not None:
            self._on_event(Started(candidate))
        return candidate

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        _require_one_device(outcome, self._study.devices)
        for record in self._study.tell(candidate, outcome):
            self._on_event(Finished(record, self._study.counts.done))
        if self._courier is not None:
            self._courier.bring(self._study.records)

    def at_rung(self, candidate: Candidate, partial_result: PartialResult) -> Outcome | None:
        rung = partial_result.rung
        self._on_event(Passed(candidate, rung))
        if self._rungs is None or self._stop_from is None or rung.step < self._stop_from:
            return None
        needed_db = self._rungs.stops(partial_result)
        if needed_db is None:
            return None
        return Rejected(
            limit="rung",
            value=rung.gain_db,
            allowed=needed_db,
            runtime=partial_result.runtime,
            size=partial_result.size,
            curve=partial_result.curve,
            seconds=rung.seconds,
        )


def _require_one_device(outcome: Outcome, devices: Collection[str]) -> None:
    """Refuse a runtime that was measured on another device than those before."""
    device = outcome.runtime.device if outcome.runtime else ""
    for before in devices if device else ():
        if before != device:
            raise InputError(
                f"Runtimes of this study were measured on {before}, now one was on "
                f"{device}: let only machines of one kind measure, by starting Ray there with "
                "--resources '{\"latency\": 1}'."
            )
