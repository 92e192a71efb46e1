"""``nas networks``: costs of the survey's networks, and the layers of any network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.models import ModelSources, NetworkArgument, takes_models
from nas.cli.options import AsJson, Height, Width

if TYPE_CHECKING:
    from nas.measure.evaluation.survey_table import Count, Row
    from search_spaces.zoo.references import ReferenceNetwork

app = typer.Typer(help="List the survey's networks, or the layers of any network.")


@app.callback(invoke_without_command=True)
def networks(
    context: typer.Context,
    references: Annotated[
        bool,
        typer.Option("--references", help="Add the networks that the survey compares with."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the survey's networks: costs as counted here, beside the published figures."""
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
@takes_models
def show_network(
    network: NetworkArgument,
    sources: ModelSources,
    height: Height = 540,
    width: Width = 960,
    as_json: AsJson = False,
) -> None:
    """List the layers of a deploy form with their MACs, memory traffic and time."""
    from nas.cli.terminal import count, print_json, show
    from nas.common.tables import Column, Table
    from nas.measure.cost.breakdown import breakdown
    from nas.measure.latency.predict import LatencyModel

    name, architecture = sources.network(network)
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
    columns = [
        Column("layer", "layer"),
        Column("operator", "operator", optional=3),
        Column("channels", "channels", "d", optional=4),
        Column("pixels", "pixels", "s", optional=5),
        Column("macs", "MACs", ".1%", optional=2),
        Column("megabytes", "MB moved", ".1f", optional=7),
        Column("share_of_bytes", "of bytes", ".1%", optional=6),
        Column("runtime_ms", "ms predicted", ".3f"),
        Column("share_of_time", "of time", ".1%", optional=1),
    ]
    lines: list[dict[str, Any]] = [
        {
            "layer": row.name + (f" x{row.repeats}" if row.repeats > 1 else ""),
            "operator": " ".join(word for word in (row.operator, row.kernel) if word),
            "channels": f"{row.channels_in}>{row.channels}" if row.kind == "conv" else row.channels,
            "pixels": f"{row.height}x{row.width}",
            "macs": row.macs / macs if row.macs else None,
            "megabytes": row.bytes / 1e6,
            "share_of_bytes": row.bytes / moved,
            "runtime_ms": row.runtime_ms,
            "share_of_time": row.runtime_ms / runtime_ms,
        }
        for row in rows
    ]
    lines.append(
        {column.key: "" for column in columns}
        | {"layer": "all", "macs": count(macs), "megabytes": moved / 1e6, "runtime_ms": runtime_ms}
    )
    show(Table(columns, lines), f"{architecture.label}, LR {height}x{width}, FP16")
    print(f"runtime: {model.note}")


def _show(rows: Sequence[Row], others: Sequence[tuple[ReferenceNetwork, Count]], note: str) -> None:
    from nas.cli.terminal import show
    from nas.common.tables import Column, Table

    columns = [
        Column("name", "network"),
        Column("fidelity", "fidelity", optional=4),
        Column("params", "params", ",d"),
        Column("survey_params", "survey M", "s", optional=3),
        Column("macs_g", "MACs G", ".3f"),
        Column("macs_organiser_g", "organiser", ".3f", optional=6),
        Column("survey_macs", "survey", "s", optional=2),
        Column("memory_mb", "MB FP16", ".1f", optional=5),
        Column("predicted_runtime_ms", "ms predicted", ".3f"),
        Column("survey_runtime_ms", "survey", ".3f", optional=1),
        Column("psnr_y", "PSNR-Y 31/63", "s", optional=9),
        Column("ssim_y", "SSIM-Y", "s", optional=10),
        Column("gain_db", "gain dB", "+.3f", optional=7),
        Column("score", "score", ".2f", optional=8),
    ]
    show(Table(columns, [*map(_line, rows), *(_reference_line(*other) for other in others)]))
    print("= agrees with the survey, rounded or truncated; PSNR, SSIM, gain, score: the survey's")
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


def _line(row: Row) -> dict[str, Any]:
    figures = row.network.table1
    return {
        "name": row.network.name,
        "fidelity": row.network.fidelity,
        **_counts(row.count),
        "survey_params": f"{figures.params_m:.3f}{_mark(row.agrees_params)}",
        "survey_macs": f"{figures.macs_g:#.3g}{_mark(row.agrees_macs)}",
        "survey_runtime_ms": figures.runtime_ms,
        "psnr_y": f"{figures.psnr_y_qp31:.2f}/{figures.psnr_y_qp63:.2f}",
        "ssim_y": f"{figures.ssim_y_qp31:.3f}/{figures.ssim_y_qp63:.3f}",
        "gain_db": figures.gain_db,
        "score": figures.score,
    }


def _reference_line(network: ReferenceNetwork, found: Count) -> dict[str, Any]:
    """The survey says no more of these networks."""
    agrees = found.params == network.params
    survey_params = f"{network.params / 1e6:.3f}{_mark(agrees)}"
    counts = _counts(found)
    return {"name": network.name, "fidelity": "exact", **counts, "survey_params": survey_params}


def _mark(agrees: bool) -> str:
    return " =" if agrees else "  "
