"""The files of a training's folder: models, curve, settings and results."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, FiniteFloat, ValidationError

from nas.common.checked_files import read_json, write_json
from nas.common.errors import InputError, reason
from nas.common.files import write_atomic
from search_spaces.model_file import SUFFIX, Model, load_model, save_model
from search_spaces.networks.network import Network

BEST, LAST = f"best{SUFFIX}", f"last{SUFFIX}"
CHECKPOINT = "checkpoint.pt"
CURVE = "curve.jsonl"
TRAINING = "training.json"


class Result(BaseModel):
    """How a training ended: figures as in `nas.training.engine.events.Finished`."""

    best_step: int
    gain_db: FiniteFloat
    gain_cb_db: FiniteFloat | None = None
    gain_cr_db: FiniteFloat | None = None
    gain_db_per_qp: dict[int, FiniteFloat]
    psnr_y_db: dict[int, FiniteFloat]
    last_gain_db: FiniteFloat
    steps: int
    seconds: FiniteFloat


class Training(BaseModel):
    """What is read of ``training.json``.

    Attributes:
        settings: what the training depends on, by name.
        result: how it ended; None if it has not.
    """

    settings: dict[str, str]
    result: Result | None


def read_training(folder: Path) -> Training | None:
    """Read what a folder says of its training; None where it says nothing.

    Raises:
        InputError: that has changed since it was written.
    """
    path = folder / TRAINING
    if not path.is_file():
        return None
    try:
        return Training.model_validate(read_json(path))
    except ValidationError as fault:
        raise InputError(
            f"{path} is damaged, it is not as it was written: "
            "the command that trained there makes it again"
        ) from fault


class Point(BaseModel):
    """A line of ``curve.jsonl``: one validation (`nas.training.engine.events.Validated`)."""

    step: int
    stage: int = 0
    loss: float | None = None
    gain_db: float
    gain_cb_db: float | None = None
    gain_cr_db: float | None = None
    gain_db_per_qp: dict[int, float]
    psnr_y_db: dict[int, float]
    best: bool = False
    seconds: float = 0.0


def read_curve(folder: Path) -> list[Point]:
    """Read the looks of a folder's training; a line that a kill or a disk has torn is left out.

    Raises:
        OSError: they cannot be read.
    """
    points = []
    with suppress(FileNotFoundError):
        for line in (folder / CURVE).read_bytes().splitlines():
            with suppress(ValidationError):
                points.append(Point.model_validate_json(line))
    return points


class TrainingFolder:
    """A folder that one training writes.

    Attributes:
        path: the folder.
        facts: what its models say of where they come from.
    """

    def __init__(self, path: Path, name: str, facts: Mapping[str, str]) -> None:
        self.path, self.name, self.facts = path, name, dict(facts)

    @property
    def checkpoint(self) -> Path:
        """Where the training goes on from."""
        return self.path / CHECKPOINT

    def save(self, file: str, network: Network, facts: Mapping[str, str]) -> None:
        """Write a model."""
        with self._writing():
            save_model(Model(self.name, network, {**self.facts, **facts}), self.path / file)

    def load(self, file: str) -> Model:
        """Read a model back."""
        return load_model(self.path / file)

    def describe(self, settings: Mapping[str, str], result: Mapping[str, Any] | None) -> None:
        """Write what the training is, and how it ended once it has."""
        made_by = {
            "nas_workbench": version("nas-workbench"),
            "torch": str(torch.__version__),
            "python": platform.python_version(),
            "machine": platform.machine(),
        }
        content = {
            "name": self.name,
            "facts": self.facts,
            "settings": settings,
            "made_by": made_by,
            "result": result,
        }
        with self._writing():
            write_json(self.path / TRAINING, content, indent=2)

    def result(self) -> dict[str, Any] | None:
        """How the training ended; None if it has not, or not all that it left is whole."""
        with suppress(InputError):
            told = read_training(self.path)
            if told is not None and told.result is not None:
                for file in (BEST, LAST):
                    self.load(file)
                return told.result.model_dump()
        return None

    def shorten_curve(self, step: int) -> None:
        """Drop what a killed training wrote of steps that will be done again."""
        if not (self.path / CURVE).exists():
            return
        with self._writing():
            lines = [_line(point) for point in read_curve(self.path) if point.step <= step]
            write_atomic(self.path / CURVE, "".join(lines).encode())

    def add_to_curve(self, point: Point) -> None:
        """Append a line."""
        with self._writing():
            self.path.mkdir(parents=True, exist_ok=True)
            with (self.path / CURVE).open("a") as file:
                file.write(_line(point))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as fault:
            raise InputError(f"{self.path} cannot be written: {reason(fault)}") from fault


def _line(point: Point) -> str:
    return f"{point.model_dump_json()}\n"
