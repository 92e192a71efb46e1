"""Export: one trained network as a file for other programs, checked by running that file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from nas.common.errors import InputError, one_line
from nas.common.files import atomic_path
from nas.deploy.exportable import Portable, Program, program
from nas.deploy.formats import FORMATS, OPSETS, Format, Run, Source
from search_spaces.architecture import SCALE
from search_spaces.model_file import Model

OPSET = 18
"""Default: read by every runtime since 2023. From 20 on ONNX has GELU as one operator."""

BOUND = {False: 1e-5, True: 2**-6}
"""Largest difference from PyTorch in float32 that passes the check, by whether the file is FP16:
rounding noise, and four steps of an 8-bit picture. It grows with outputs that leave [0, 1]."""

_SIDES = ((0, 1), (5, 2), (29, 42))  # beyond the smallest side; odd and even, higher and wider


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written and found to compute what the network computes.

    Attributes:
        path: where it is.
        format: one of `FORMATS`.
        half: whether weights, input and output are float16; float32 otherwise.
        size: LR height and width that it is for; None for any.
        smallest: smallest side of an LR picture that it takes.
        batch: whether it takes any number of pictures at once, or one.
        opset: of ONNX, else None.
        error: largest difference from the network in float32, of values in [0, 1].
        bound: what the difference was allowed to be.
    """

    path: Path
    format: str
    half: bool
    size: tuple[int, int] | None
    smallest: int
    batch: bool
    opset: int | None
    error: float
    bound: float


def export(
    model: Model,
    path: Path,
    format: str,
    *,
    half: bool = False,
    size: tuple[int, int] | None = None,
    opset: int = OPSET,
) -> Exported:
    """Write a model in another format, run the file, and keep it if it computes the same.

    The file takes (N, 3, H, W) RGB in [0, 1] and gives (N, 3, 4H, 4W), clamped to [0, 1].

    Args:
        model: the network with what is known of it, which the file repeats.
        path: the file; one that is there is replaced.
        format: one of `FORMATS`.
        half: float16 weights, input and output, instead of float32.
        size: LR height and width, for a file that takes one such picture and no other.
        opset: of ONNX, within `OPSETS`.

    Raises:
        InputError: the format cannot do what is asked, lacks a package, or what was written does
            not compute the same; then ``path`` is as it was.
        OSError: it cannot be written.
    """
    chosen = _checked(format, size, opset)
    portable = Portable(model.network).eval()
    if half:
        portable = portable.half()
    graph = program(portable, size)
    written_opset = opset if format == "onnx" else None
    source = Source(model, portable, graph, _facts(model, half, written_opset), opset)
    with atomic_path(path) as aside:
        with _told(path, format):
            chosen.write(source, aside)
            error, peak = _compare(chosen.load(aside), model, _pictures(graph), source.dtype)
        bound = BOUND[half] * max(1.0, peak)
        if not error <= bound:  # also where it is no number
            raise InputError(
                f"{path} was not written: as {format}{' FP16' if half else ''} the network "
                f"differs by {error:.2g} from itself in PyTorch, more than {bound:.2g}"
                + ("; leave out --half" if half else "")
            )
    return Exported(
        path, format, half, size, graph.smallest, graph.batch, written_opset, error, bound
    )


def format_of(path: Path) -> str | None:
    """Return the format that a file's name tells, or None."""
    suffix = path.suffix.lower()
    return next((name for name, each in FORMATS.items() if suffix in each.suffixes), None)


def _checked(format: str, size: tuple[int, int] | None, opset: int) -> Format:
    if format not in FORMATS:
        raise InputError(f"there is no format '{format}'; choose one of {', '.join(FORMATS)}")
    if size is not None and not FORMATS[format].sized:
        raise InputError(f"a {format} file takes pictures of any size: leave out --size")
    low, high = OPSETS
    if not low <= opset <= high:
        raise InputError(f"opset {opset} is not on offer; choose one from {low} to {high}")
    return FORMATS[format]


def _facts(model: Model, half: bool, opset: int | None) -> dict[str, str]:
    precision = "float16" if half else "float32"
    facts = {
        **model.facts,
        "name": model.name,
        "scale": str(SCALE),
        "architecture": model.architecture.to_json(),
        "producer": f"nas-workbench {version('nas-workbench')}",
        "precision": precision,
        "input": f"(N, 3, H, W) {precision}, RGB in [0, 1]",
        "output": f"(N, 3, {SCALE}H, {SCALE}W) {precision}, RGB, clamped to [0, 1]",
    }
    return facts if opset is None else {**facts, "opset": str(opset)}


def _pictures(graph: Program) -> list[Tensor]:
    """Noise, which hides no error: several sizes and a batch of two, as far as they are taken."""
    shapes: list[tuple[int, ...]] = [(1, 3, *graph.size)] if graph.size else []
    if not graph.size:
        low = graph.smallest
        shapes = [(1, 3, low + down, low + right) for down, right in _SIDES]
    if graph.batch:
        shapes.append((2, *shapes[-1][1:]))
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(shape, generator=generator) for shape in shapes]


@contextmanager
def _told(path: Path, format: str) -> Iterator[None]:
    """Say in a sentence what a library says of an operator or an opset that it does not have."""
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as fault:  # exporters and runtimes have no base class of their own
        detail = one_line(fault, 200)
        raise InputError(
            f"{path} was not written: this network cannot be a {format} file ({detail})"
        ) from fault


@torch.no_grad()
def _compare(
    run: Run, model: Model, pictures: Sequence[Tensor], dtype: torch.dtype
) -> tuple[float, float]:
    """The largest difference, and the largest magnitude of the network's own output."""
    errors, peaks = [], []
    for picture in pictures:
        wanted = model.network(picture)
        errors.append((run(picture.to(dtype)).float() - wanted.clamp(0, 1)).abs().max())
        peaks.append(wanted.abs().max())
    return torch.stack(errors).max().item(), torch.stack(peaks).max().item()  # NaN stays NaN
