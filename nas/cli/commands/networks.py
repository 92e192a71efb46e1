"""``nas networks``: the survey's Table 1 counted again, and where one network's time goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.model_arguments import NetworkArgument
from nas.cli.model_arguments import network as find
from nas.cli.options import AsJson, Height, Plugins, Storage, TrackingUri, Width
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING

if TYPE_CHECKING:
    from nas.measure.evaluation.survey_table import Count, Row
    from search_spaces.zoo.references import ReferenceNetwork

app = typer.Typer(help="The survey's networks, and the layers of any network.")


@app.callback(invoke_without_command=True)
def networks(
    context: typer.Context,
    references: Annotated[
        bool, typer.Option("--references", help="Add the networks that the survey compares with.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the survey's networks with their cost beside the published figures."""
    if context.invoked_subcommand:
        return
    from nas.cli.terminal import print_json, progress_bar
    from nas.measure.evaluation.survey_table import count, table1
    from nas.measure.latency.predict import LatencyModel
    from search_spaces import published
    from search_spaces import references as compared

    model = LatencyModel.load()
    rows: list[Row] = []
    others: list[tuple[ReferenceNetwork, Count]] = []
    total = len(published) + (len(compared) if references else 0)
    with progress_bar("counting") as progress:
        for row in table1(model):
            rows.append(row)
            progress(len(rows), total, row.network.name)
        for network in compared.values() if references else ():
            others.append((network, count(network.architecture, model)))
            progress(len(rows) + len(others), total, network.name)
    if as_json:
        print_json([*map(_document, rows), *(_reference_document(*other) for other in others)])
    else:
        _show(rows, others, model.note)


@app.command("show")
def show_network(
    network: NetworkArgument,
    height: Height = 540,
    width: Width = 960,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Draw a network's deploy form layer by layer: where arithmetic, memory and time go."""
    from nas.cli.terminal import count, print_json, show, table
    from nas.measure.cost.breakdown import breakdown
    from nas.measure.latency.predict import LatencyModel

    name, architecture = find(network, storage=storage, tracking_uri=tracking_uri, plugins=plugin)
    model = LatencyModel.load()
    rows = breakdown(architecture, model.predict_ms, height, width)
    macs = sum(row.macs for row in rows) or 1
    moved = sum(row.bytes for row in rows)
    runtime_ms = sum(row.runtime_ms for row in rows)
    if as_json:
        print_json(
            {
                "name": name,
                "architecture": architecture.to_dict(),
                "height": height,
                "width": width,
                "runtime_ms": runtime_ms,
                "runtime_kind": "predicted",
                "layers": [asdict(row) for row in rows],
            }
        )
        return
    lines = [
        [
            row.name + (f" x{row.repeats}" if row.repeats > 1 else ""),
            " ".join(word for word in (row.operator, row.kernel) if word),
            f"{row.channels_in}>{row.channels}" if row.kind == "conv" else str(row.channels),
            f"{row.height}x{row.width}",
            f"{row.macs / macs:.1%}" if row.macs else "-",
            f"{row.bytes / 1e6:.1f}",
            f"{row.bytes / moved:.1%}",
            f"{row.runtime_ms:.3f}",
            f"{row.runtime_ms / runtime_ms:.1%}",
        ]
        for row in rows
    ]
    lines.append(
        ["all", "", "", "", count(macs), f"{moved / 1e6:.1f}", "", f"{runtime_ms:.3f}", ""]
    )
    columns = ["layer", "operator", "channels", "pixels", "MACs"]
    columns += ["MB moved", "of bytes", "ms predicted", "of time"]
    show(table(columns, lines, f"{architecture.label}, LR {height}x{width}, FP16"))
    print(f"runtime: {model.note}")


def _show(rows: Sequence[Row], others: Sequence[tuple[ReferenceNetwork, Count]], note: str) -> None:
    from nas.cli.terminal import show, table

    columns = ["network", "fidelity", "params", "survey M", "MACs G", "organiser", "survey"]
    columns += ["MB FP16", "ms predicted", "survey", "PSNR-Y 31/63", "SSIM-Y", "gain dB", "score"]
    show(table(columns, [*map(_line, rows), *(_reference_line(*other) for other in others)]))
    print(
        "= agrees with the survey by rounding or truncation; PSNR, SSIM, gain, score: the survey's"
    )
    for row in rows:
        if not row.agrees_macs or not row.agrees_params:
            print(f"{row.network.name}: MACs {row.macs_difference:+.2%}. {row.network.note}")
    print(f"runtime: {note}")


def _document(row: Row) -> dict[str, Any]:
    network, figures = row.network, row.network.table1
    return {
        "name": network.name,
        "fidelity": network.fidelity,
        "architecture": network.architecture.to_dict(),
        **_counts(row.count),
        "agrees_params": row.agrees_params,
        "agrees_macs": row.agrees_macs,
        "macs_difference": row.macs_difference,
        "note": network.note,
        "published": asdict(figures),
    }


def _reference_document(network: ReferenceNetwork, found: Count) -> dict[str, Any]:
    return {
        "name": network.name,
        "fidelity": "exact",
        "architecture": network.architecture.to_dict(),
        **_counts(found),
        "published": {"params_m": network.params / 1e6},
        "agrees_params": found.params == network.params,
    }


def _counts(found: Count) -> dict[str, Any]:
    return {
        "params": found.params,
        "macs_g": found.macs / 1e9,
        "macs_organiser_g": found.macs_organiser / 1e9,
        "predicted_runtime_ms": found.runtime_ms,
        "memory_mb": found.memory_mb,
    }


def _line(row: Row) -> list[str]:
    found, figures = row.count, row.network.table1
    return [
        row.network.name,
        row.network.fidelity,
        f"{found.params:,}",
        f"{figures.params_m:.3f}{_mark(row.agrees_params)}",
        f"{found.macs / 1e9:.3f}",
        f"{found.macs_organiser / 1e9:.3f}",
        f"{figures.macs_g:#.3g}{_mark(row.agrees_macs)}",
        f"{found.memory_mb:.1f}",
        f"{found.runtime_ms:.3f}",
        f"{figures.runtime_ms:.3f}",
        f"{figures.psnr_y_qp31:.2f}/{figures.psnr_y_qp63:.2f}",
        f"{figures.ssim_y_qp31:.3f}/{figures.ssim_y_qp63:.3f}",
        f"{figures.gain_db:+.3f}",
        "-" if figures.score is None else f"{figures.score:.2f}",
    ]


def _reference_line(network: ReferenceNetwork, found: Count) -> list[str]:
    return [
        network.name,
        "exact",
        f"{found.params:,}",
        f"{network.params / 1e6:.3f}{_mark(found.params == network.params)}",
        f"{found.macs / 1e9:.3f}",
        f"{found.macs_organiser / 1e9:.3f}",
        "-",
        f"{found.memory_mb:.1f}",
        f"{found.runtime_ms:.3f}",
        *["-"] * 5,  # the survey tells no more of them
    ]


def _mark(agrees: bool) -> str:
    return " =" if agrees else "  "
