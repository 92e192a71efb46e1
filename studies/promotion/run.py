"""Promotion: winners of a study trained fully, measured, and made ready to ship.

Everything stands in the study's folder first, so that a promotion that was stopped or killed goes
on where it was, and one that has ended is not repeated. MLflow is told from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from nas.common.errors import InputError
from nas.common.files import write_atomic
from nas.common.text import Progress, silent
from nas.deploy.export import export
from nas.measure.cost.cost import cost
from nas.measure.evaluation.evaluate import Evaluation, evaluate_all, upscaler_of
from nas.measure.evaluation.report import Entry, document
from nas.measure.evaluation.report import write as write_report
from nas.measure.latency.measure import Kind, Latency
from nas.training.engine.events import Event, Finished, Validated
from nas.training.engine.trainer import train
from search_spaces.architecture import Architecture
from search_spaces.model_file import Model, load_model, save_model
from studies.core.identity import provenance
from studies.core.noise import seed_noise
from studies.core.record import Record
from studies.promotion.plan import Plan, PromotionSettings, Winner
from studies.promotion.training_forms import SHARE
from studies.report.images import keep_samples
from studies.results import promotions
from studies.results.front import front, trained, with_probabilities
from studies.results.promotions import Agreement, Promotion
from studies.storage.locks import try_lock
from studies.storage.store import Store, masked
from studies.tracking.writer import Courier


@dataclass(frozen=True, slots=True)
class Summary:
    """What a promotion ended with.

    Attributes:
        plan: What it was to do.
        promotions: Those that ended, in the order of the plan.
        failed: Trials that could not be trained, and why.
        champion: The highest full gain within the limits; None if there is none.
        agreement: Proxy rank against full rank, over all that was trained alike.
        gains: File of gains by name.
        versions: Versions in the model registry, by trial.
        registered: The registry's champion as a URI; None if it was not told.
        tracking_uri: MLflow's, without secrets.
        tracking_fault: Why not everything arrived there.
    """

    plan: Plan
    promotions: tuple[Promotion, ...]
    failed: dict[int, str]
    champion: Promotion | None
    agreement: Agreement | None
    gains: Path
    versions: dict[int, str]
    registered: str | None
    tracking_uri: str | None
    tracking_fault: str | None


OnEvent = Callable[[Winner, Event], None]
"""Told of every event of every training."""


def promote(
    settings: PromotionSettings,
    plan: Plan,
    on_event: OnEvent = lambda winner, event: None,
    progress: Progress = silent,
) -> Summary:
    """Train, measure, export and register what is planned; what has ended already is kept.

    Args:
        settings: What the user asked for.
        plan: As `prepare` made it.
        on_event: Told of every event of every training.
        progress: Called while the teacher upscales and pictures are measured.

    Raises:
        InputError: The folder cannot be written. A winner that could not be trained is in `failed`.
        KeyboardInterrupt: It was interrupted; the same call continues.
    """
    folder = settings.store.folder(plan.info.name)
    failed: dict[int, str] = {}
    with try_lock(settings.store, plan.info.name, "promoted"):
        view = _View(settings, plan, folder)
        try:
            for winner in plan.winners:
                try:
                    if promotions.kept(winner.folder) is None:
                        _promote_one(winner, plan, settings, view, on_event, progress)
                except InputError as fault:  # its own: the others may do better
                    failed[winner.member.trial] = str(fault)
            alike = _alike(plan, folder)
            gains = promotions.promoted_root(folder) / "gains.json"
            if alike:
                write_atomic(gains, json.dumps(promotions.gains(alike), indent=2).encode())
        finally:
            view.close()
    ended = [promotions.kept(winner.folder) for winner in plan.winners]
    return Summary(
        plan=plan,
        promotions=tuple(promotion for promotion in ended if promotion is not None),
        failed=failed,
        champion=promotions.best(alike, plan.limits),
        agreement=promotions.agreement(alike),
        gains=gains,
        versions=view.versions,
        registered=view.champion,
        tracking_uri=None if settings.tracking_uri is None else masked(settings.tracking_uri),
        tracking_fault=view.fault,
    )


class _View:
    """MLflow's view of the promotions, written by a thread of its own; none without MLflow."""

    def __init__(self, settings: PromotionSettings, plan: Plan, folder: Path) -> None:
        self._courier: Courier[None] | None = None
        self._shown: Any = None
        self.fault: str | None = None
        uri = settings.tracking_uri
        if uri is not None:
            self._courier = Courier(lambda: self._open(uri, settings.store, plan, folder))

    def _open(self, uri: str, store: Store, plan: Plan, folder: Path) -> Any:
        from studies.results.snapshot import load
        from studies.tracking.promotions import PromotionTracking

        def records() -> tuple[Record, ...]:
            return load(store, plan.info.name).records

        folders = [winner.folder for winner in plan.winners]
        self._shown = PromotionTracking(
            uri, plan.info, records, folder, folders, plan.name, plan.limits
        )
        return self._shown.deliver

    def news(self) -> None:
        """Have what is new in the folders shown soon."""
        if self._courier is not None:
            self._courier.bring(None)

    def close(self) -> None:
        """Have the rest shown."""
        if self._courier is not None:
            self.fault = self._courier.close(None)

    @property
    def versions(self) -> dict[int, str]:
        return {} if self._shown is None else dict(self._shown.versions)

    @property
    def champion(self) -> str | None:
        return None if self._shown is None else self._shown.champion


def _promote_one(
    winner: Winner,
    plan: Plan,
    settings: PromotionSettings,
    view: _View,
    on_event: OnEvent,
    progress: Progress,
) -> None:
    try:
        promotions.read(winner.folder)
    except InputError:  # what it said is lost, and would stand in the way of the others
        (winner.folder / promotions.RESULT).unlink()
    forms = _tried(winner, plan, settings, on_event, progress)
    best = max(forms, key=lambda name: forms[name])
    finished: Finished | None = None
    for event in _events(winner, winner.forms[best], plan, settings, progress):
        if isinstance(event, Validated):
            keep_samples(event, winner.folder / promotions.SAMPLES)
            view.news()
        elif isinstance(event, Finished):
            finished = event
        on_event(winner, event)
    assert finished is not None
    model = load_model(finished.best)
    evaluation, model = _measured(model, winner, plan, progress)
    onnx_error = _export(model, winner.folder)
    members = front(with_probabilities(trained(plan.records), seed_noise(plan.records)))
    front_members = [member.to_dict() for member in members]
    write_atomic(winner.folder / promotions.FRONT, json.dumps(front_members, indent=2).encode())
    promotions.write(
        winner.folder,
        _promotion(winner, plan, settings, finished, forms, evaluation, model, onnx_error),
    )
    view.news()


def _tried(
    winner: Winner,
    plan: Plan,
    settings: PromotionSettings,
    on_event: OnEvent,
    progress: Progress,
) -> dict[str, float]:
    """Gain of each training form after a part of the recipe, in dB; 0 where there is one alone."""
    if len(winner.forms) == 1:
        return dict.fromkeys(winner.forms, 0.0)
    steps = max(plan.recipe.steps // SHARE, len(plan.recipe.stages))
    part = replace(plan, recipe=plan.recipe.scaled(steps))
    gains_db = {}
    for name, form in winner.forms.items():
        own = replace(winner, folder=winner.folder / promotions.FORMS / name)
        for event in _events(own, form, part, settings, progress):
            on_event(winner, event)
            if isinstance(event, Finished):
                gains_db[name] = event.gain_db
    return gains_db


def _events(
    winner: Winner,
    form: Architecture,
    plan: Plan,
    settings: PromotionSettings,
    progress: Progress,
) -> Iterator[Event]:
    return train(
        winner.member.network,
        form,
        plan.recipe,
        plan.pair_set,
        winner.folder,
        teacher=plan.teacher,
        seed=settings.seed,
        device=plan.device,
        licence=settings.licence,
        progress=progress,
    )


def _measured(
    model: Model, winner: Winner, plan: Plan, progress: Progress
) -> tuple[Evaluation, Model]:
    """Measure the model on whole held-out pictures, report it, and write it with what is known."""
    member = winner.member
    (evaluation,) = evaluate_all(
        [upscaler_of(model, plan.device)],
        plan.pair_set.validation,
        plan.pair_set.qps,
        device=plan.device,
        progress=progress,
    )
    model.network.cpu()
    facts = {
        **model.facts,
        "kind": "promotion",
        "study": plan.info.name,
        "trial": str(member.trial),
        "gain_db": f"{evaluation.gain_db():.4f}",
        "runtime_ms": f"{member.runtime_ms:.4f}",
        "runtime_kind": member.runtime_kind,
    }
    written = save_model(replace(model, facts=facts), winner.folder / promotions.MODEL)
    target = plan.info.identity.get("target", {})
    kind = cast(Kind, member.runtime_kind)
    latency = Latency(member.runtime_ms, kind, target.get("name", ""), "", "study")
    entry = Entry(written, evaluation, cost(written.network), latency)
    note = f"{member.runtime_kind} in the study: {target.get('note', 'no more is known')}"
    write_report(document([entry], plan.pair_set, note), winner.folder / promotions.EVALUATION)
    return evaluation, written


def _export(model: Model, folder: Path) -> float | None:
    """Write the model as ONNX too, where its packages are installed."""
    if any(find_spec(package) is None for package in ("onnx", "onnxscript", "onnxruntime")):
        return None
    return export(model, folder / promotions.ONNX, "onnx").error


def _promotion(
    winner: Winner,
    plan: Plan,
    settings: PromotionSettings,
    finished: Finished,
    forms: Mapping[str, float],
    evaluation: Evaluation,
    model: Model,
    onnx_error: float | None,
) -> Promotion:
    member = winner.member
    figures = {qp: evaluation.at(qp) for qp in plan.pair_set.qps}
    return Promotion(
        study=plan.info.name,
        trial=member.trial,
        name=member.name,
        architecture=model.architecture.key,
        recipe=plan.recipe.name,
        steps=plan.recipe.steps,
        seed=settings.seed,
        data=plan.pair_set.digest,
        data_name="sample" if plan.pair_set.is_sample else plan.pair_set.path.name,
        teacher="none" if plan.teacher is None else plan.teacher.name,
        proxy_gain_db=member.gain_db,
        gain_db=evaluation.gain_db(),
        gain_cb_db=evaluation.gain_cb_db(),
        gain_cr_db=evaluation.gain_cr_db(),
        gain_db_per_qp={
            qp: ours.psnr_y_db - base.psnr_y_db for qp, (ours, base) in figures.items()
        },
        psnr_y_db={qp: ours.psnr_y_db for qp, (ours, _) in figures.items()},
        runtime_ms=member.runtime_ms,
        runtime_kind=member.runtime_kind,
        runtime_target=plan.info.identity.get("target", {}).get("name", ""),
        macs_g=member.macs_g,
        params=member.params,
        digest=model.digest,
        onnx_error=onnx_error,
        seconds=finished.seconds,
        made_by=provenance(),
        forms=forms if len(forms) > 1 else {},
        number=promotions.next_number(settings.store.folder(plan.info.name)),
    )


def _alike(plan: Plan, folder: Path) -> list[Promotion]:
    """All promotions of the study that were trained as these are: their gains compare."""
    how = {winner.folder.name for winner in plan.winners}
    return [p for place, p in promotions.ended(folder).items() if place.name in how]
