"""The commands of ``nas``."""

from __future__ import annotations

from typing import Annotated

import typer

from nas.cli.commands import (
    cost,
    data,
    evaluate,
    export,
    latency,
    networks,
    promote,
    proxy_check,
    report,
    search,
    studies,
    teacher,
    train,
    upscale,
)

app = typer.Typer(
    name="nas",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # joins the lines of a paragraph
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Search, distil and ship real-time 4x super-resolution networks for AVIF images.",
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"nas-workbench {version('nas-workbench')}")
        raise typer.Exit


@app.callback()
def common(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; allowed anywhere.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version."),
    ] = False,
) -> None:
    """Options of every command. ``main`` has removed ``--debug`` from the arguments."""


app.command()(search.search)
app.command()(train.train)
app.command()(promote.promote)
app.command()(studies.front)
app.command()(report.report)
app.command()(report.compare)
app.command()(studies.studies)
app.command()(studies.ui)
app.command()(evaluate.evaluate)
app.command()(proxy_check.proxy_check)
app.command()(export.export)
app.command()(upscale.upscale)
app.command()(cost.cost)
app.add_typer(latency.app, name="latency")
app.add_typer(networks.app, name="networks")
app.add_typer(data.app, name="data")
app.add_typer(teacher.app, name="teacher")
