"""``nas latency``: measured or predicted runtimes, and models fitted to measured ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from nas.cli.models import ModelSources, NetworkArgument, takes_models
from nas.cli.options import AsJson, Height, Plugins, TargetName, Width

if TYPE_CHECKING:
    from nas.measure.latency.predict import FittedRow, LatencyModel

_WORST = 5  # rows with the largest errors to show


class _NetworkFirst(TyperGroup):
    """Reads ``nas latency NETWORK`` as ``nas latency measure NETWORK``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["measure", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_NetworkFirst,
    no_args_is_help=True,
    help="Measure or predict the runtime of a network, or fit a latency model to many runtimes.",
)


@app.command()
@takes_models
def measure(
    network: NetworkArgument,
    sources: ModelSources,
    target: TargetName = "auto",
    height: Height = 540,
    width: Width = 960,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help="eager, channels_last, compiled, onnxruntime or tensorrt (CUDA); repeatable: the "
            "fastest counts. Default eager and channels_last."
        ),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(help="Timing on CUDA: device for ranking, challenge as the survey."),
    ] = "device",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads on a CPU; default all cores.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Ignore stored results and measure again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure or predict the runtime of a network. The word measure may be omitted."""
    from nas.cli.terminal import print_json, say
    from nas.measure.latency.target import resolve_target

    name, architecture = sources.network(network)
    backends = tuple(dict.fromkeys(backend)) if backend else None
    chosen = resolve_target(
        target,
        height=height,
        width=width,
        mode=mode,  # type: ignore[arg-type]  # resolve_target checks it
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
            say("runtimes were not steady: use --again when the machine is idle", style="dim")


@app.command()
def fit(
    store: Annotated[
        Path | None,
        typer.Argument(
            metavar="STORE",
            help="Folder of measured runtimes, or a CSV or JSON file with network and runtime_ms; "
            "default the runtimes measured on this machine.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File of the profile; default stored under its name."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the profile; default the device or the file."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Use only runtimes of this kind, such as cuda or 540x960; repeatable."),
    ] = None,
    height: Annotated[int, typer.Option(min=1, help="LR height of the runtimes in a file.")] = 540,
    width: Annotated[int, typer.Option(min=1, help="LR width of the runtimes in a file.")] = 960,
    fp32: Annotated[
        bool, typer.Option("--fp32", help="The runtimes in a file are of FP32; default FP16.")
    ] = False,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Fit a latency model to measured runtimes: a profile that every --target accepts."""
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
    path = output or fitted_profiles() / f"{model.device}.json"
    write_atomic(path, model.to_json().encode())
    worst = sorted(model.rows, key=lambda r: -abs(r.left_out_ms / r.runtime_ms - 1))[:_WORST]
    if as_json:
        print_json(
            {
                "name": model.device,
                "profile": str(path),
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
        _show(model, worst, path if output else model.device)


def _show(model: LatencyModel, worst: list[FittedRow], target: str | Path) -> None:
    from nas.cli.terminal import show
    from nas.common.tables import Column, Table

    columns = [
        Column("name", "worst predicted"),
        Column("runtime_ms", "ms measured", ".3f", optional=1),
        Column("fitted_ms", "fitted", ".3f", optional=3),
        Column("left_out_ms", "left out", ".3f", optional=2),
        Column("error", "error", "+.1%"),
    ]
    rows = [{**_document(row), "error": row.left_out_ms / row.runtime_ms - 1} for row in worst]
    show(Table(columns, rows))
    print(
        f"leave-one-out error {model.leave_one_out_mape:.1%}, "
        f"Spearman {model.leave_one_out_spearman:.3f}, Kendall {model.leave_one_out_kendall:.3f}"
    )
    print(f"use it: --target {target}")


def _document(row: FittedRow) -> dict[str, str | float]:
    return {
        "name": row.name,
        "runtime_ms": row.runtime_ms,
        "fitted_ms": row.fitted_ms,
        "left_out_ms": row.left_out_ms,
    }
