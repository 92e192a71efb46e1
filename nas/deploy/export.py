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
from nas.deploy.exportable import Exportable, Program, program
from nas.deploy.formats import OPSETS, Format, Run, Source, formats
from search_spaces.architecture import SCALE
from search_spaces.model_file import Model

OPSET = 18
"""Default: read by every runtime since 2023. From 20 on ONNX has GELU as one operator."""

BOUND = {False: 1e-5, True: 2**-6}
"""Largest difference from PyTorch in float32 that passes the check, by whether the file is FP16:
rounding noise, and four steps of an 8-bit image. It grows with outputs that leave [0, 1]."""

_SIDES = ((0, 1), (5, 2), (29, 42))  # beyond the smallest side; odd and even, higher and wider


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written and checked: it computes what the network computes."""

    path: Path
    format: str
    half: bool
    """Whether weights, input and output are float16; float32 otherwise."""
    size: tuple[int, int] | None
    """LR height and width that it is for; None for any."""
    smallest: int
    """Smallest side of an LR image that it takes."""
    batch: bool
    """Whether it takes any number of images at once, or one."""
    opset: int | None
    """Of ONNX, else None."""
    error: float
    """Largest difference from the network in float32, of values in [0, 1]."""
    bound: float
    """Largest difference that passes."""


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
        model: the network; its facts are repeated in the file.
        path: the file; an existing one is replaced.
        format: a name in `formats`.
        half: float16 weights, input and output, instead of float32.
        size: LR height and width, for a file that takes one image of that size only.
        opset: of ONNX, within `OPSETS`.

    Raises:
        InputError: the format does not support this, lacks a package, or the file does not compute
            the same; then ``path`` is unchanged.
        OSError: it cannot be written.
    """
    chosen = _checked(format, size, opset)
    exportable = Exportable(model.network).eval()
    if half:
        exportable = exportable.half()
    graph = program(exportable, size)
    written_opset = opset if format == "onnx" else None
    source = Source(model, exportable, graph, _facts(model, half, written_opset), opset)
    with atomic_path(path) as aside:
        with _library_errors(path, format):
            chosen.write(source, aside)
            error, peak = _compare(chosen.load(aside), model, _images(graph), source.dtype)
        bound = BOUND[half] * max(1.0, peak)
        if not error <= bound:  # also NaN
            raise InputError(
                f"{path} was not written: as {format}{' FP16' if half else ''} the network "
                f"differs by {error:.2g} from itself in PyTorch, more than {bound:.2g}"
                + ("; leave out --half" if half else "")
            )
    return Exported(
        path, format, half, size, graph.smallest, graph.batch, written_opset, error, bound
    )


def format_of(path: Path) -> str | None:
    """Return the format of a file by its suffix, or None."""
    suffix = path.suffix.lower()
    return next((name for name, each in formats.items() if suffix in each.suffixes), None)


def _checked(format: str, size: tuple[int, int] | None, opset: int) -> Format:
    chosen = formats[format]
    if size is not None and not chosen.sized:
        raise InputError(f"a {format} file takes images of any size: leave out --size")
    low, high = OPSETS
    if not low <= opset <= high:
        raise InputError(f"opset {opset} is not on offer; choose one from {low} to {high}")
    return chosen


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


def _images(graph: Program) -> list[Tensor]:
    """Noise, which hides no error, in several sizes and a batch of two where possible."""
    shapes: list[tuple[int, ...]] = [(1, 3, *graph.size)] if graph.size else []
    if not graph.size:
        low = graph.smallest
        shapes = [(1, 3, low + down, low + right) for down, right in _SIDES]
    if graph.batch:
        shapes.append((2, *shapes[-1][1:]))
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(shape, generator=generator) for shape in shapes]


@contextmanager
def _library_errors(path: Path, format: str) -> Iterator[None]:
    """Turn a library's error, such as an operator that it lacks, into one sentence."""
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as fault:  # exporters and runtimes have no common base class
        detail = one_line(fault, 200)
        raise InputError(
            f"{path} was not written: this network cannot be a {format} file ({detail})"
        ) from fault


@torch.no_grad()
def _compare(
    run: Run, model: Model, images: Sequence[Tensor], dtype: torch.dtype
) -> tuple[float, float]:
    """The largest difference, and the largest magnitude of the network's own output."""
    errors, peaks = [], []
    for image in images:
        wanted = model.network(image)
        errors.append((run(image.to(dtype)).float() - wanted.clamp(0, 1)).abs().max())
        peaks.append(wanted.abs().max())
    return torch.stack(errors).max().item(), torch.stack(peaks).max().item()  # NaN stays NaN
