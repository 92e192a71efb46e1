"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from nas.data.store import PairSet

StudyName: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="Name of a study, the beginning of its name, or latest: the one searched last. "
        "See 'nas studies'.",
    ),
]
Data: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Dataset prepared by 'nas data prepare'; default the sample dataset."),
]
TargetName: TypeAlias = Annotated[
    str,
    typer.Option(
        help="Source of runtimes: cuda, cpu, a latency profile (name or file), or auto: cuda if "
        "there is a GPU, else predicted for an RTX 4090."
    ),
]
Height: TypeAlias = Annotated[int, typer.Option(min=1, help="LR height.")]
Width: TypeAlias = Annotated[int, typer.Option(min=1, help="LR width.")]
Device: TypeAlias = Annotated[
    str | None, typer.Option(help="cpu or cuda; default cuda if there is a GPU.")
]
RecipeName: TypeAlias = Annotated[
    str, typer.Option(help="A shipped recipe (see docs/training.md) or a .yaml file.")
]
Seed: TypeAlias = Annotated[int, typer.Option(min=0, help="Seed of weights and crops.")]
Licence: TypeAlias = Annotated[str, typer.Option(help="License recorded in the model files.")]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON document.")
]
Storage: TypeAlias = Annotated[
    str, typer.Option(envvar="NAS_STORAGE", show_envvar=False, help="Database URL of the studies.")
]
TrackingUri: TypeAlias = Annotated[
    str,
    typer.Option(
        envvar="MLFLOW_TRACKING_URI",
        show_envvar=False,
        help="MLflow store: an sqlite:/// or http:// URI, or none to do without MLflow.",
    ),
]
Plugins: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="Python file that defines blocks or spaces; repeatable."),
]


def tracking(uri: str) -> str | None:
    """Return the store that `TrackingUri` names, None for ``none``."""
    return None if uri == "none" else uri


def open_data(path: Path | None) -> PairSet:
    """Open the dataset that `Data` names, the sample dataset if there is none."""
    from nas.cli.terminal import progress_bar
    from nas.data.sample import sample_set
    from nas.data.store import open_set

    with progress_bar("sample dataset") as progress:
        return open_set(path or sample_set(progress))
