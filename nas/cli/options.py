"""Options that several commands share, so that they read alike everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

StudyName: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="Name of a study, its beginning, or latest: the one searched last. See 'nas studies'.",
    ),
]
Data: TypeAlias = Annotated[
    Path | None, typer.Option(help="A set made by 'nas data prepare'; default the sample set.")
]
TargetName: TypeAlias = Annotated[
    str,
    typer.Option(
        help="Where runtimes come from: cuda, cpu, a latency profile (name or file), or auto: cuda "
        "if there is one, else predicted for an RTX 4090."
    ),
]
Height: TypeAlias = Annotated[int, typer.Option(min=1, help="LR height.")]
Width: TypeAlias = Annotated[int, typer.Option(min=1, help="LR width.")]
Device: TypeAlias = Annotated[
    str | None, typer.Option(help="cpu or cuda; default cuda if there is one.")
]
RecipeName: TypeAlias = Annotated[
    str, typer.Option(help="A shipped recipe (see docs/training.md) or a .yaml file.")
]
Seed: TypeAlias = Annotated[int, typer.Option(min=0, help="Of weights and crops.")]
Licence: TypeAlias = Annotated[str, typer.Option(help="Of the models, if they shall say one.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Storage: TypeAlias = Annotated[
    str, typer.Option(envvar="NAS_STORAGE", show_envvar=False, help="Database URL of the studies.")
]
TrackingUri: TypeAlias = Annotated[
    str,
    typer.Option(
        envvar="MLFLOW_TRACKING_URI",
        show_envvar=False,
        help="MLflow store: sqlite or server; none leaves it out.",
    ),
]
Plugins: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="A Python file that brings blocks or spaces; repeatable."),
]


def tracking(uri: str) -> str | None:
    """Where to track: what `TrackingUri` gave, with ``none`` as None."""
    return None if uri == "none" else uri
