"""``nas export``: a trained network as a file for other programs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.models import ModelArgument, ModelSources, takes_models
from nas.cli.options import AsJson


@takes_models
def export(
    model: ModelArgument,
    sources: ModelSources,
    format: Annotated[
        str | None,
        typer.Option(
            help="onnx, pt2 (torch.export), torchscript or safetensors; "
            "default by the suffix of --output, else onnx."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File to write; default NAME here."),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Weights, input and output in FP16 instead of FP32.")
    ] = False,
    size: Annotated[
        str | None,
        typer.Option(help="Fix the LR size to height x width, such as 540x960."),
    ] = None,
    opset: Annotated[
        int | None, typer.Option(help="ONNX opset, 18 to 23; from 20 on GELU is one operator.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export a model for other programs, run the file, and compare it with PyTorch.

    The network in the file maps RGB images of any size, (N, 3, H, W) in [0, 1], to
    (N, 3, 4H, 4W) clamped to [0, 1]. Name, architecture, gain and license are in the metadata.
    """
    from nas.cli.terminal import print_json
    from nas.common.errors import InputError
    from nas.common.files import file_name
    from nas.deploy.export import OPSET, format_of
    from nas.deploy.export import export as write
    from nas.deploy.formats import formats

    found = sources.model(model)
    chosen = format or (format_of(output) if output else "onnx")
    if chosen is None:
        suffixes = ", ".join(suffix for each in formats.values() for suffix in each.suffixes)
        raise InputError(f"--output {output}: unknown suffix; choose one of {suffixes}")
    if opset is not None and chosen != "onnx":
        raise InputError(f"--opset applies to onnx only, and the format is {chosen}")
    if output is None and chosen in formats:
        output = Path(file_name(found.name) + formats[chosen].suffixes[0])
    if output is not None and (output.is_dir() or _is_same_file(output, model)):
        raise InputError(f"--output {output} is the model itself or a folder: give another file")
    exported = write(
        found,
        output or Path(found.name),
        chosen,
        half=half,
        size=None if size is None else _size(size),
        opset=OPSET if opset is None else opset,
    )
    precision = "float16" if exported.half else "float32"
    if as_json:
        print_json(
            {
                "name": found.name,
                "path": str(exported.path),
                "format": exported.format,
                "opset": exported.opset,
                "precision": precision,
                "size": None if exported.size is None else list(exported.size),
                "smallest_side": exported.smallest,
                "any_batch": exported.batch,
                "bytes": exported.path.stat().st_size,
                "error": exported.error,
                "error_bound": exported.bound,
            }
        )
        return
    sizes = f"at least {exported.smallest} pixels a side"
    if exported.size is not None:
        sizes = "{}x{} pixels".format(*exported.size)
    kind = exported.format if exported.opset is None else f"ONNX opset {exported.opset}"
    print(
        f"{exported.path}: {kind}, {precision}, for images of {sizes}, "
        f"{exported.path.stat().st_size / 1000:.0f} kB\n"
        f"largest difference from PyTorch in float32: {exported.error:.1e} "
        f"(limit {exported.bound:.1e})"
    )


def _is_same_file(output: Path, model: str) -> bool:
    return output.exists() and Path(model).exists() and output.samefile(model)


def _size(text: str) -> tuple[int, int]:
    from nas.common.errors import InputError

    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip().lower())
    if found is None or not all(8 <= int(side) <= 16384 for side in found.groups()):
        raise InputError(f"--size '{text}': give LR height x width from 8 to 16384, as in 540x960")
    return int(found[1]), int(found[2])
