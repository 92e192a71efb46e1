"""``nas promote``: winners of a study, trained fully and registered."""

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
    from studies.results.promotions import Promotion


def promote(
    study: StudyName = "latest",
    top: Annotated[
        int | None,
        typer.Option(min=1, help="So many of the front, by what each adds to it; default 3."),
    ] = None,
    trial: Annotated[
        list[int] | None, typer.Option(min=0, help="This trial, on the front or not; repeatable.")
    ] = None,
    under: Annotated[
        str | None,
        typer.Option(
            help="The one of the highest gain under a runtime, such as 1ms; of ties the fastest."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Train a --trial that gains nothing over Lanczos too.")
    ] = False,
    recipe: RecipeName = "standard",
    data: Annotated[
        Path | None,
        typer.Option(help="A prepared set; default the one that the study was made on."),
    ] = None,
    teacher: Annotated[
        str, typer.Option(help="study for the study's own, hat-tiny, a file, or none.")
    ] = "study",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Shorten or lengthen the recipe to this many steps.")
    ] = None,
    blocks: Annotated[
        str,
        typer.Option(
            help="Training forms to try for a tenth of the recipe, such as conv,ecb; auto takes "
            "conv, trial what the search drew."
        ),
    ] = "auto",
    seed: Seed = 0,
    licence: Licence = "",
    name: Annotated[
        str | None, typer.Option(help="Of the registered model; default the study's.")
    ] = None,
    device: Device = None,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    plugin: Plugins = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be trained, and train nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a study's winners fully, evaluate, export and register them in MLflow.

    Can be stopped or killed: the same command continues, and repeats nothing. The registered
    model's alias 'champion' is the best under the study's budget, or under --under.
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
        if dry_run:
            summary = None
        else:
            drawn = _Drawn(progress, len(plan.winners))
            summary = run(settings, plan, drawn.show, progress)
    if summary is None:
        _tell_plan(plan, as_json)
        return
    if as_json:
        print_json(_document(summary))
    else:
        _tell(summary)
    if summary.failed:
        told = "; ".join(f"trial {number}: {why}" for number, why in summary.failed.items())
        raise InputError(told)


class _Drawn:
    """What a person sees of the trainings: a bar for the one under way, a line where it matters."""

    def __init__(self, progress: Progress, count: int) -> None:
        self._progress, self._count = progress, count
        self._seen: list[int] = []
        self._best: float | None = None

    def show(self, winner: Winner, event: Event) -> None:
        """Draw an event of one winner's training."""
        from nas.cli.terminal import say
        from nas.common.text import duration
        from nas.measure.colour import colour_words
        from nas.training.engine import events

        if winner.member.trial not in self._seen:
            self._seen.append(winner.member.trial)
            self._best = None
        place = f"[{len(self._seen)}/{self._count}] trial {winner.member.trial}"
        match event:
            case events.Started():
                since = f", continuing at step {event.step}" if event.step else ""
                say(f"{place} ({winner.member.network}): {event.steps} steps{since}")
                for note in event.notes:
                    say(f"note: {note}")
            case events.Stepped():
                best = "" if self._best is None else f", best {self._best:+.3f} dB"
                told = f"{place}, {event.steps_per_second:.3g} steps/s{best}"
                self._progress(event.step, event.steps, told)
            case events.Validated():
                self._best = max(event.gain_db, -math.inf if self._best is None else self._best)
            case events.RolledBack():
                say(f"{place}: {event.why} at step {event.step}; going on from {event.to}")
            case events.Measuring():
                self._progress(event.done, event.pictures, f"{place}, measuring whole pictures")
            case events.Finished():
                spent = duration(event.seconds)
                colour = f" ({colour_words(event.gain_cb_db, event.gain_cr_db)})"
                gain = f"{event.gain_db:+.3f} dB over Lanczos{colour}"
                say(f"{place}: {gain} after {spent} of training")


def _tell_plan(plan: Plan, as_json: bool) -> None:
    from nas.cli.terminal import print_json, show, table
    from nas.measure.colour import db_cell
    from studies.core.noise import seed_noise

    rows = [
        {
            **winner.member.to_dict(),
            "folder": str(winner.folder),
            "state": _state(winner),
        }
        for winner in plan.winners
    ]
    if as_json:
        print_json({**_settings(plan), "winners": rows})
        return
    title = (
        f"{plan.info.name}: recipe {plan.recipe.name}, {plan.recipe.steps} steps on "
        f"{plan.pair_set.path.name}, teacher {_teacher(plan)}, device {plan.device}"
    )
    digits = seed_noise(plan.records).digits
    columns = ["trial", "proxy dB", "colour dB", f"ms {_kind(plan)}", "params", "state", "network"]
    cells = [
        [
            str(row["trial"]),
            db_cell(winner.member.gain_db, digits),
            winner.member.colour_shown(digits),
            f"{row['runtime_ms']:.3f}",
            f"{row['params']:,}",
            str(row["state"]),
            winner.member.network,
        ]
        for row, winner in zip(rows, plan.winners, strict=True)
    ]
    show(table(columns, cells, title))
    print(f"registered as {plan.name}; files in {plan.winners[0].folder.parent.parent}")


def _state(winner: Winner) -> str:
    from studies.results.promotions import RESULT

    if winner.done is not None:
        return f"done, {winner.done.gain_db:+.3f} dB"
    if (winner.folder / RESULT).is_file():
        return "damaged, to be made again"
    return "begun" if (winner.folder / "checkpoint.pt").is_file() else "to do"


def _kind(plan: Plan) -> str:
    """Whether runtimes are measured or predicted: alike for all of a study."""
    return plan.winners[0].member.runtime_kind


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


def _tell(summary: Summary) -> None:
    from nas.cli.terminal import say, say_undelivered, show, table
    from studies.core.candidate import title_of
    from studies.core.noise import seed_noise

    plan = summary.plan
    digits = seed_noise(plan.records).digits
    title = f"{plan.info.name}: {plan.recipe.name}, {plan.recipe.steps} steps each"
    columns = ["trial", "proxy dB", "full dB", "colour dB", f"ms {_kind(plan)}", "params"]
    columns += ["version", "network"]
    show(table(columns, [_row(p, summary, digits) for p in summary.promotions], title))
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
        say("no ONNX files, its packages are missing: pip install onnx onnxscript onnxruntime")
    if summary.promotions:
        print(summary.gains)
    if summary.tracking_fault:
        say_undelivered(summary.tracking_fault)
    if summary.promotions:
        print("next:")
        for command in _next(summary):
            print(f"  {command}")


def _row(promotion: Promotion, summary: Summary, digits: int) -> list[str]:
    from nas.measure.colour import db_cell

    mark = "*" if promotion == summary.champion else ""
    return [
        f"{promotion.trial}{mark}",
        db_cell(promotion.proxy_gain_db, digits),
        f"{promotion.gain_db:+.3f}",
        promotion.colour_shown(summary.plan.limits),
        f"{promotion.runtime_ms:.3f}",
        f"{promotion.params:,}",
        summary.versions.get(promotion.trial, "-"),
        promotion.network,
    ]


def _next(summary: Summary) -> list[str]:
    from studies.report.summary import Places, next_commands

    plan = summary.plan
    registered = plan.name if summary.registered is not None else None
    places = Places(plan.info.storage, summary.tracking_uri or DEFAULT_TRACKING)
    commands = next_commands(plan.info, plan.records, places, summary.promotions, registered)
    if registered is None:
        return list(commands)
    *use, serve = commands
    if shutil.which("uvicorn") is None:  # MLflow looks for it on the path
        serve = f'PATH="{Path(sys.executable).parent}:$PATH" {serve}'
    return [*use, serve]
