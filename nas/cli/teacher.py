"""``nas teacher``: train one, and see what it gains over Lanczos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Train teachers and evaluate them.")
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
