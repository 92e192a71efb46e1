"""``nas promote``: full training and registration of networks of a study."""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import (
    AsJson,
    Device,
    Licence,
    Plugins,
    RecipeName,
    Seed,
    Storage,
    StudyName,
    TrackingUri,
    tracking,
)
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING, Store

if TYPE_CHECKING:
    from nas.common.text import Progress
    from nas.training.engine.events import Event
    from studies.promotion.plan import Plan, Winner
    from studies.promotion.run import Summary


def promote(
    study: StudyName = "latest",
    top: Annotated[
        int | None,
        typer.Option(min=1, help="Number of front members to promote, by contribution; default 3."),
    ] = None,
    trial: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Promote this trial, even off the front; repeatable."),
    ] = None,
    under: Annotated[
        str | None,
        typer.Option(
            help="Promote the best gain under this runtime, such as 1ms; of ties the fastest."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also train a --trial without gain over Lanczos.")
    ] = False,
    recipe: RecipeName = "standard",
    data: Annotated[
        Path | None,
        typer.Option(help="Prepared dataset; default that of the study."),
    ] = None,
    teacher: Annotated[
        str, typer.Option(help="study for the teacher of the study, hat-tiny, a file, or none.")
    ] = "study",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Total number of steps; the recipe is scaled to it.")
    ] = None,
    blocks: Annotated[
        str,
        typer.Option(
            help="Training forms to compare over a tenth of the recipe, such as conv,ecb; auto is "
            "conv, trial the form in the study."
        ),
    ] = "auto",
    seed: Seed = 0,
    licence: Licence = "",
    name: Annotated[
        str | None, typer.Option(help="Name of the registered model; default that of the study.")
    ] = None,
    device: Device = None,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    plugin: Plugins = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan without training.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train networks of a study fully; evaluate, export and register them in MLflow.

    The command can be stopped or killed: run again, it continues and repeats nothing. The alias
    'champion' of the registered model is the best within the budget, or under --under.
    """
    from nas.cli.terminal import print_json, progress_bar, say
    from nas.common.errors import InputError
    from studies.core.budget import parse_runtime
    from studies.promotion.plan import PromotionSettings, prepare
    from studies.promotion.run import promote as run
    from studies.results.selection import Selection

    settings = PromotionSettings(
        study=study,
        selection=Selection(top, tuple(trial or ()), parse_runtime("--under", under), force),
        store=Store.parse(storage),
        recipe=recipe,
        data=data,
        teacher=None if teacher == "none" else teacher,
        steps=steps,
        seed=seed,
        licence=licence,
        name=name,
        tracking_uri=tracking(tracking_uri),
        device=device,
        plugins=tuple(plugin or ()),
        blocks=blocks,
    )
    with progress_bar("preparing") as progress:
        plan = prepare(settings, progress)
        for note in plan.notes:
            say(f"note: {note}")
        if not dry_run:
            view = _View(progress, len(plan.winners))
            summary = run(settings, plan, view.show, progress)
    if dry_run:
        _print_plan(plan, as_json)
        return
    if as_json:
        print_json(_document(summary))
    else:
        _print(summary)
    if summary.failed:
        raise InputError("; ".join(f"trial {n}: {why}" for n, why in summary.failed.items()))


class _View:
    """Shows the trainings: a progress bar for the current one, and a line for what happens."""

    def __init__(self, progress: Progress, count: int) -> None:
        self._progress, self._count = progress, count
        self._trials: list[int] = []
        self._best: float | None = None

    def show(self, winner: Winner, event: Event) -> None:
        """Show an event of one training."""
        from nas.cli.terminal import say
        from nas.common.text import duration
        from nas.measure.colour import colour_words
        from nas.training.engine import events

        if winner.member.trial not in self._trials:
            self._trials.append(winner.member.trial)
            self._best = None
        position = f"[{len(self._trials)}/{self._count}] trial {winner.member.trial}"
        match event:
            case events.Started():
                since = f", continuing at step {event.step}" if event.step else ""
                say(f"{position} ({winner.member.network}): {event.steps} steps{since}")
                for note in event.notes:
                    say(f"note: {note}")
            case events.Stepped():
                best = "" if self._best is None else f", best {self._best:+.3f} dB"
                speed = f"{event.steps_per_second:.3g} steps/s"
                self._progress(event.step, event.steps, f"{position}, {speed}{best}")
            case events.Validated():
                self._best = max(event.gain_db, -math.inf if self._best is None else self._best)
            case events.RolledBack():
                say(
                    f"{position}: {event.why} at step {event.step}; continuing from step {event.to}"
                )
            case events.Measuring():
                self._progress(event.done, event.pictures, f"{position}, measuring whole images")
            case events.Finished():
                spent = duration(event.seconds)
                colour = f" ({colour_words(event.gain_cb_db, event.gain_cr_db)})"
                gain = f"{event.gain_db:+.3f} dB over Lanczos{colour}"
                say(f"{position}: {gain} after {spent} of training")


def _print_plan(plan: Plan, as_json: bool) -> None:
    from nas.cli.terminal import print_json, show
    from studies.core.noise import seed_noise
    from studies.report.tables import plan_table

    states = [_state(winner) for winner in plan.winners]
    if as_json:
        winners = [
            {**winner.member.to_dict(), "folder": str(winner.folder), "state": state}
            for winner, state in zip(plan.winners, states, strict=True)
        ]
        print_json({**_settings(plan), "winners": winners})
        return
    title = (
        f"{plan.info.name}: recipe {plan.recipe.name}, {plan.recipe.steps} steps on "
        f"{plan.pair_set.path.name}, teacher {_teacher(plan)}, device {plan.device}"
    )
    members = [winner.member for winner in plan.winners]
    show(plan_table(members, states, seed_noise(plan.records)), title)
    print(f"registered as {plan.name}; files in {plan.winners[0].folder.parent.parent}")


def _state(winner: Winner) -> str:
    from studies.results.promotions import RESULT

    if winner.done is not None:
        return f"done, {winner.done.gain_db:+.3f} dB"
    if (winner.folder / RESULT).is_file():
        return "damaged, will be repeated"
    return "begun" if (winner.folder / "checkpoint.pt").is_file() else "to do"


def _teacher(plan: Plan) -> str:
    return "none" if plan.teacher is None else plan.teacher.name


def _settings(plan: Plan) -> dict[str, Any]:
    return {
        "study": plan.info.name,
        "recipe": plan.recipe.name,
        "steps": plan.recipe.steps,
        "data": str(plan.pair_set.path),
        "teacher": _teacher(plan),
        "device": plan.device,
        "name": plan.name,
        "limit_ms": plan.limits.runtime_ms,
        "limit_colour_loss_db": plan.limits.colour_loss_db,
    }


def _document(summary: Summary) -> dict[str, Any]:
    agreed, champion = summary.agreement, summary.champion
    folders = {winner.member.trial: winner.folder for winner in summary.plan.winners}
    return {
        **_settings(summary.plan),
        "promoted": [
            {
                **promotion.to_dict(),
                "model": str(folders[promotion.trial] / "model.safetensors"),
                "folder": str(folders[promotion.trial]),
                "version": summary.versions.get(promotion.trial),
            }
            for promotion in summary.promotions
        ],
        "failed": {str(trial): why for trial, why in summary.failed.items()},
        "champion": None
        if champion is None
        else {"trial": champion.trial, "name": champion.name, "gain_db": champion.gain_db},
        "registered": summary.registered,
        "agreement": None
        if agreed is None
        else {
            "networks": agreed.networks,
            "kendall": agreed.kendall,
            "spearman": agreed.spearman,
            "chance_kendall_sd": agreed.chance,
        },
        "gains": str(summary.gains),
        "tracking_fault": summary.tracking_fault,
        "next": _next(summary),
    }


def _print(summary: Summary) -> None:
    from nas.cli.terminal import say, say_not_tracked, show
    from studies.core.candidate import title_of
    from studies.core.noise import seed_noise
    from studies.report.tables import TEXT_PROMOTED, promoted_table

    plan = summary.plan
    shown = promoted_table(
        summary.promotions,
        plan.limits,
        seed_noise(plan.records),
        TEXT_PROMOTED,
        summary.champion,
        summary.versions,
    )
    show(shown, f"{plan.info.name}: {plan.recipe.name}, {plan.recipe.steps} steps each")
    if summary.agreement is not None:
        print(summary.agreement.sentence)
    if summary.champion is not None:
        limit_ms = plan.limits.runtime_ms
        limit = "" if limit_ms is None else f" under {limit_ms:g} ms"
        best = summary.champion
        print(f"* champion{limit}: {title_of(best.trial, best.name)}, {best.gain_db:+.3f} dB")
    elif summary.promotions:
        print(f"no champion: no promoted network is within {plan.limits}")
    if summary.promotions and any(p.onnx_error is None for p in summary.promotions):
        say("no ONNX files: install the packages onnx, onnxscript and onnxruntime with pip")
    if summary.promotions:
        print(summary.gains)
    if summary.tracking_fault:
        say_not_tracked(summary.tracking_fault)
    if summary.promotions:
        print("next:")
        for command in _next(summary):
            print(f"  {command}")


def _next(summary: Summary) -> list[str]:
    from studies.report.cli_hints import CommandHints, next_commands

    plan = summary.plan
    registered = plan.name if summary.registered is not None else None
    hints = CommandHints(plan.info.storage, summary.tracking_uri or DEFAULT_TRACKING)
    commands = next_commands(plan.info, plan.records, hints, summary.promotions, registered)
    if registered is None:
        return list(commands)
    *use, serve = commands
    if shutil.which("uvicorn") is None:  # MLflow looks for it on the path
        serve = f'PATH="{Path(sys.executable).parent}:$PATH" {serve}'
    return [*use, serve]
