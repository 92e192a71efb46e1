"""``nas latency``: runtimes measured or predicted, and models fitted to measured ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from nas.cli.model_arguments import NetworkArgument
from nas.cli.model_arguments import network as find
from nas.cli.options import AsJson, Height, Plugins, Storage, TargetName, TrackingUri, Width
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING

if TYPE_CHECKING:
    from nas.measure.latency.predict import FittedRow, LatencyModel

_WORST = 5  # rows that show where a model is not to be trusted


class _NetworkFirst(TyperGroup):
    """Takes ``nas latency NETWORK`` for ``nas latency measure NETWORK``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["measure", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_NetworkFirst,
    no_args_is_help=True,
    help="Runtime of a network ('nas latency NETWORK'), or a model of many runtimes.",
)


@app.command()
def measure(
    network: NetworkArgument,
    target: TargetName = "auto",
    height: Height = 540,
    width: Width = 960,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help="Run it by eager, channels_last, compiled, onnxruntime or tensorrt (CUDA), and "
            "take the fastest of those given; repeatable; default eager and channels_last."
        ),
    ] = None,
    mode: Annotated[
        str, typer.Option(help="How CUDA is timed: device ranks, challenge is the survey's way.")
    ] = "device",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads on a CPU; default all cores.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Measure anew what was measured before.")
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Measure a network's runtime, or predict it; the default: 'nas latency NETWORK'."""
    from nas.cli.terminal import print_json, say
    from nas.measure.latency.target import resolve_target

    name, architecture = find(network, storage=storage, tracking_uri=tracking_uri, plugins=plugin)
    backends = tuple(dict.fromkeys(backend)) if backend else None
    chosen = resolve_target(
        target,
        height=height,
        width=width,
        mode=mode,  # type: ignore[arg-type]  # checked there
        backends=backends,
        threads=threads,
    )
    say(chosen.note, style="dim")
    found = chosen.latency(architecture, again=again)
    if as_json:
        print_json(
            {
                "name": name,
                "architecture": architecture.to_dict(),
                "runtime_ms": found.ms,
                "runtime_kind": found.kind,
                "target": found.target,
                "backend": found.backend,
                "mode": found.mode,
                "details": found.details,
            }
        )
    else:
        how = " ".join(word for word in (found.mode, found.backend) if word)
        print(f"{architecture.label}: {found.ms:.3f} ms {found.kind} on {found.target} {how}")
        for name, ms in found.details.get("backends_ms", {}).items():
            print(f"  {name}: {ms:.3f} ms")
        for name, reason in found.details.get("unavailable", {}).items():
            say(f"{name} could not run: {reason}", style="dim")
        if not found.details.get("steady", True):
            say("the machine was not steady: measure again with --again when idle", style="dim")


@app.command()
def fit(
    store: Annotated[
        Path | None,
        typer.Argument(
            metavar="STORE",
            help="Folder of measured runtimes, or a CSV or JSON file of network and runtime_ms; "
            "default what was measured on this machine.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The profile's file; default kept under its name."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the profile; default the device's or the file's.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Kind of runtimes in a store, such as cuda or 540x960; repeatable."),
    ] = None,
    height: Annotated[int, typer.Option(min=1, help="LR height of a file's runtimes.")] = 540,
    width: Annotated[int, typer.Option(min=1, help="LR width of a file's runtimes.")] = 960,
    fp32: Annotated[
        bool, typer.Option("--fp32", help="A file's runtimes are of FP32; default FP16.")
    ] = False,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Fit a model to measured runtimes: a latency profile, which every --target takes."""
    from nas.cli.terminal import print_json, progress_bar, say
    from nas.common.files import cache_root, write_atomic
    from nas.measure.latency.fit import fit_runtimes, profile_name, read_runtimes
    from nas.measure.latency.predict import fitted_profiles
    from search_spaces.plugins import load_all

    load_all(plugin or ())
    with progress_bar("reading runtimes") as progress:
        runtimes = read_runtimes(
            store or cache_root() / "latency",
            only=only or (),
            height=height,
            width=width,
            precision="float32" if fp32 else "float16",
            progress=progress,
        )
    say(f"{len(runtimes.rows)} runtimes: {runtimes.how}", style="dim")
    for line in runtimes.left_out:
        say(f"left out: {line}", style="dim")
    model = fit_runtimes(runtimes, profile_name(runtimes) if name is None else name)
    place = output or fitted_profiles() / f"{model.device}.json"
    write_atomic(place, model.to_json().encode())
    worst = sorted(model.rows, key=_error, reverse=True)[:_WORST]
    if as_json:
        print_json(
            {
                "name": model.device,
                "profile": str(place),
                "runtimes": len(model.rows),
                "measured": runtimes.how,
                "height": model.height,
                "width": model.width,
                "precision": model.precision,
                "leave_one_out_mape": model.leave_one_out_mape,
                "leave_one_out_spearman": model.leave_one_out_spearman,
                "leave_one_out_kendall": model.leave_one_out_kendall,
                "prices": dict(model.prices),
                "worst": [_document(row) for row in worst],
            }
        )
    else:
        _show(model, worst, place if output else model.device)


def _show(model: LatencyModel, worst: list[FittedRow], target: str | Path) -> None:
    from nas.cli.terminal import show, table

    rows = [
        [
            row.name,
            f"{row.runtime_ms:.3f}",
            f"{row.fitted_ms:.3f}",
            f"{row.left_out_ms:.3f}",
            f"{row.left_out_ms / row.runtime_ms - 1:+.1%}",
        ]
        for row in worst
    ]
    columns = ["worst predicted", "ms measured", "fitted", "left out", "error"]
    show(table(columns, rows))
    print(
        f"leave-one-out error {model.leave_one_out_mape:.1%}, "
        f"Spearman {model.leave_one_out_spearman:.3f}, Kendall {model.leave_one_out_kendall:.3f}"
    )
    print(f"use it: --target {target}")


def _error(row: FittedRow) -> float:
    return abs(row.left_out_ms / row.runtime_ms - 1)


def _document(row: FittedRow) -> dict[str, str | float]:
    return {
        "name": row.name,
        "runtime_ms": row.runtime_ms,
        "fitted_ms": row.fitted_ms,
        "left_out_ms": row.left_out_ms,
    }
