"""Whether a search under fire has lost or doubled anything: in its study, its front, in MLflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import optuna
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import TrialState

from studies.core.record import Record, count
from studies.results.front import front, trained
from studies.results.snapshot import load
from studies.storage.store import Store
from studies.tracking import EXPERIMENT


def faults(storage: str, study: str, goal: int, tracking_uri: str) -> Iterator[str]:
    """Say what is lost, counted twice, or told otherwise elsewhere; nothing where all is well.

    Args:
        storage: Database URL of the study.
        study: Its name.
        goal: How many candidates it was to train.
        tracking_uri: MLflow's.
    """
    records = load(Store(storage), study).records
    yield from _of_records(records, goal)
    yield from _of_front(records, storage, study, goal)
    yield from _of_tracking(records, tracking_uri, goal)


def _of_records(records: Sequence[Record], goal: int) -> Iterator[str]:
    tally = count(records)
    if tally.trained != goal:
        yield f"{tally.trained} trials are trained"
    if tally.running:
        yield f"{tally.running} trials are still running"
    layouts = Counter(r.candidate.layout for r in records if r.duplicate_of is None)
    if twice := sum(n > 1 for n in layouts.values()):
        yield f"{twice} architectures were evaluated twice"


def _of_front(records: Sequence[Record], storage: str, study: str, goal: int) -> Iterator[str]:
    """The front once more, from what Optuna holds and by the definition alone."""
    done = [
        trial
        for trial in optuna.load_study(study_name=study, storage=storage).trials
        if trial.state == TrialState.COMPLETE and "duplicate_of" not in trial.user_attrs
    ]
    if len(done) != goal:
        yield f"Optuna has {len(done)} finished trials"
    points = {
        trial.number: (trial.values[0], -trial.user_attrs["outcome"]["runtime"]["ms"])
        for trial in done
        if all(violation <= 0.0 for violation in trial.constraints.values())
    }
    undominated = {
        number
        for number, mine in points.items()
        if not any(
            all(a >= b for a, b in zip(o, mine, strict=True)) and o != mine for o in points.values()
        )
    }
    shown = {member.trial for member in front(trained(records))}
    if {points[n] for n in shown} != {points[n] for n in undominated}:
        yield f"the front is {sorted(shown)}, recomputed {sorted(undominated)}"


def _of_tracking(records: Sequence[Record], uri: str, goal: int) -> Iterator[str]:
    client = MlflowClient(uri)
    children = _runs(client, "trial")
    told = Counter(int(run.data.tags["trial"]) for run in children)
    if told != Counter(record.trial for record in records):
        found = f"{len(children)} child runs of {len(told)} trials"
        yield f"MLflow has {found} for {len(records)} records"
    finished = [run for run in children if run.info.status == "FINISHED"]
    own = [run for run in finished if "duplicate_of" not in run.data.tags]
    if len(own) != goal:
        yield f"MLflow has {len(own)} finished trials"
    if not all("gain_db" in run.data.metrics for run in own):
        yield "MLflow lacks gains"
    parents = _runs(client, "study")
    if len(parents) != 1:
        yield f"MLflow has {len(parents)} runs of the study"
    if unready := sum(run.info.status == "RUNNING" for run in children):
        yield f"{unready} child runs are half written"


def _runs(client: MlflowClient, kind: str) -> list[Run]:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment.experiment_id], f"tags.kind = '{kind}'", page_token=token
        )
        runs += page
        token = page.token
        if not token:
            return runs
