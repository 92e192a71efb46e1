"""Options that several commands share, so that they read alike everywhere."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

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
