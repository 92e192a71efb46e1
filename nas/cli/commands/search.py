"""``nas search``: the main job, with what a person sees while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import AsJson, Data, Plugins, Storage, TargetName, TrackingUri, tracking
from studies.core.budget import DEFAULT_COLOUR_LOSS_DB
from studies.settings import DEFAULT_TIME_S
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING, Store

if TYPE_CHECKING:
    from studies.search import SearchSummary
    from studies.settings import SearchSettings


def search(
    space: Annotated[
        str, typer.Option(help="lightweight, balanced, quality, or a YAML file.")
    ] = "lightweight",
    budget: Annotated[
        str | None,
        typer.Option(
            help="Slowest runtime allowed at 540x960, such as 8ms; 1ms..8ms if faster than 1ms "
            "is worth no more. Default from an eighth on."
        ),
    ] = None,
    max_macs: Annotated[str | None, typer.Option(help="Most MACs allowed, such as 10G.")] = None,
    max_params: Annotated[
        str | None, typer.Option(help="Most parameters allowed, such as 50k.")
    ] = None,
    max_memory: Annotated[
        str | None, typer.Option(help="Most peak memory allowed, such as 200M.")
    ] = None,
    max_colour_loss: Annotated[
        str,
        typer.Option(
            help="Most that PSNR of Cb or Cr may be below Lanczos's, in dB; none for no limit."
        ),
    ] = f"{DEFAULT_COLOUR_LOSS_DB:g}",
    time: Annotated[
        str | None,
        typer.Option(
            help="Time to search, such as 90s, 10m or 1.5h; then no candidate starts, and those "
            f"under way are finished. Default {DEFAULT_TIME_S / 60:g}m, with --trials no limit."
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Candidates to train in all; default no limit but --time."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps a candidate; default 600.")
    ] = None,
    target: TargetName = "auto",
    data: Data = None,
    teacher: Annotated[
        str, typer.Option(help="hat-tiny, a weights file, or none; see docs/training.md.")
    ] = "hat-tiny",
    sampler: Annotated[
        str,
        typer.Option(
            help="ehvi, which knows what networks cost and models the gain; tpe, gp, nsga2, "
            "random or qmc; auto is ehvi."
        ),
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of sampling and training.")] = 0,
    study: Annotated[
        str | None, typer.Option(help="Name of the study; default one made from the settings.")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Candidates at once; default one a GPU or core."),
    ] = None,
    repeats: Annotated[
        int,
        typer.Option(
            min=1, help="Trainings of the front's members and near misses, also after --time."
        ),
    ] = 1,
    early_stopping: Annotated[
        bool,
        typer.Option(
            "--early-stopping", help="Stop candidates that fall behind in Pareto rank at rungs."
        ),
    ] = False,
    time_limit: Annotated[
        float, typer.Option(min=1, help="Seconds after which a candidate is given up.")
    ] = 3600.0,
    ray_address: Annotated[
        str | None, typer.Option(help="A running Ray cluster; default Ray on this machine.")
    ] = None,
    plugin: Plugins = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be searched, and train nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Search a space for the Pareto front of PSNR-Y gain against runtime.

    Runs until --time is up or --trials candidates are trained, whichever comes first. It can be
    stopped or killed at any moment: the same command continues, for as long again. Candidates over
    the budget are rejected before they cost any training; those that turn out to tint are left out
    of the front.
    """
    from studies.core.budget import parse_budget, parse_time
    from studies.settings import SearchSettings

    settings = SearchSettings(
        space=space,
        budget=parse_budget(budget, max_macs, max_params, max_memory, max_colour_loss),
        trials=trials,
        time_s=parse_time("--time", time),
        steps=steps,
        seed=seed,
        sampler=sampler,
        data=data,
        teacher=None if teacher == "none" else teacher,
        target=target,
        study=study,
        store=Store.parse(storage),
        tracking_uri=tracking(tracking_uri),
        concurrency=concurrency,
        early_stopping=early_stopping,
        time_limit_s=time_limit,
        ray_address=ray_address,
        plugins=tuple(plugin or ()),
        repeats=repeats,
    )
    if dry_run:
        _plan(settings, as_json)
    else:
        _run(settings, as_json)


def _run(settings: SearchSettings, as_json: bool) -> None:
    from nas.cli.child_process import began, progressed
    from nas.cli.progress_view import SearchView
    from nas.cli.terminal import print_json, say, say_undelivered
    from studies.events import Event, Finished, Repeated
    from studies.search import search as run

    def on_event(event: Event) -> None:
        if isinstance(event, Finished | Repeated):
            progressed()
        view.on_event(event)

    with SearchView() as view:
        summary = run(settings, on_event=on_event, progress=view.on_progress, began=began)
    if as_json:
        print_json([member.to_dict() for member in summary.front])
    else:
        _show(summary)
    for note in summary.notes:
        say(note)
    if summary.ended:
        say(summary.ended)
    if summary.tracking_fault:
        say_undelivered(summary.tracking_fault)
    if summary.interrupted:
        raise KeyboardInterrupt


def _show(summary: SearchSummary) -> None:
    from nas.cli.commands.studies import show_front

    tally = summary.counts
    title = (
        f"{summary.study}: {tally.trained} trained, {tally.rejected} rejected before training, "
        f"{tally.broken} broken, {tally.duplicates} duplicates"
    )
    show_front(summary.snapshot, title)
    if summary.front:
        digits = summary.snapshot.noise.digits
        print(f"hypervolume {summary.snapshot.hypervolume:.{digits}f} dB x octaves")
    for path in summary.files.values():
        print(path)
    if summary.tracking_uri and not summary.tracking_fault:
        print(f"review: {_review(summary.tracking_uri)}")


def _review(tracking_uri: str) -> str:
    """How to look at what is in MLflow: a store that is a file needs a server first."""
    from studies.report.summary import Places
    from studies.storage.store import sqlite_file

    if sqlite_file(tracking_uri) is None:
        return f"MLflow at {tracking_uri}"
    return f"nas ui{Places(tracking_uri=tracking_uri).of_models}"


def _plan(settings: SearchSettings, as_json: bool) -> None:
    from nas.cli.terminal import print_json, progress_bar, show, table
    from studies.dry_run import plan

    with progress_bar("planning") as progress:
        found = plan(settings, progress)
    if as_json:
        print_json(found.to_dict())
        return
    for line in found.lines():
        print(line)
    rows = [
        [
            sample.name,
            f"{sample.runtime_ms:.3f}",
            f"{sample.macs_g:.2f}",
            f"{sample.params:,}",
            f"{sample.memory_mb:.1f}",
            sample.verdict,
        ]
        for sample in found.samples
    ]
    columns = ["candidate", f"ms {found.runtime_kind}", "MACs G", "params", "MB", ""]
    show(table(columns, rows))
