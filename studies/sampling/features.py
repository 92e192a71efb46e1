"""Features of a deploy form that its gain depends on, and the shipped table of trainings."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from search_spaces.architecture import INPUTS, SKIPS, Architecture

TABLE = Path(__file__).parent / "tables" / "lightweight.csv"
"""Trainings of 600 steps on the sample set, of networks drawn over the whole space."""

_STEMS = ("conv", "unshuffle2", "unshuffle3", "unshuffle4", "strided2", "strided2x4")
_RESIDUALS = ("none", "nearest", "bilinear", "bicubic", "lanczos", "learned", "lr")
_ACTIVATIONS = ("relu", "leaky_relu", "prelu", "gelu", "silu", "none")
"""The choices that the table was trained with; those of plugins have no feature."""


@dataclass(frozen=True, slots=True)
class Training:
    """One row of the table.

    Attributes:
        architecture: What was trained.
        gain_db: PSNR-Y over Lanczos.
        macs: Of the deploy form, for one 540x960 picture.
        params: Of the deploy form.
    """

    architecture: Architecture
    gain_db: float
    macs: int
    params: int


def read_table(path: Path = TABLE) -> list[Training]:
    """Read a table of trainings; lines that begin with # say where it is from."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return [
        Training(
            Architecture.from_dict(json.loads(row["architecture"])),
            float(row["gain_db"]),
            int(row["macs"]),
            int(row["params"]),
        )
        for row in csv.DictReader(lines)
    ]


def table_arrays(rows: Sequence[Training]) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, F) and gains in dB (N,) of rows of the table."""
    inputs = [features(row.architecture, row.macs, row.params) for row in rows]
    return np.array(inputs), np.array([row.gain_db for row in rows])


def features(architecture: Architecture, macs: float, params: float) -> np.ndarray:
    """What the deploy form decides: sizes, where it works, how it starts and ends.

    Candidates of one deploy form train alike, so how their blocks are re-parameterised is no part
    of it; blocks that do not fold count as kinds of their own, by their share of the depth.
    """
    a = architecture
    depth = a.depth
    attention = sum(stage.depth for stage in a.stages if not _folds(stage.block))
    numbers = [
        math.log(macs),
        math.log(params),
        math.log2(a.width),
        math.log2(a.body_width),
        math.sqrt(depth),
        math.log2(a.factor),
        math.log2(1 + depth * a.factor),
        math.log2(a.width / (a.planes * a.factor**2)),
        math.log2(1 + a.tail.cascade),
        attention / max(depth, 1),
    ]
    kinds = [
        *(a.stem == stem for stem in _STEMS),
        *(a.residual == residual for residual in _RESIDUALS),
        *(a.activation == activation for activation in _ACTIVATIONS),
        *(a.skip == skip for skip in SKIPS),
        *(a.inputs == inputs for inputs in INPUTS),
        a.output == "luma",
        a.tail.kernel == 1,
        a.tail.cascade > 0,
        a.bias,
        a.stem_activation,
        a.neck != "none",
        not a.stages,
    ]
    return np.array([*numbers, *map(float, kinds)])


def _folds(block: str) -> bool:
    from search_spaces.blocks import linear_sizes

    return bool(linear_sizes(block))
