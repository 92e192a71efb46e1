"""``nas export``: a trained network as a file that other programs run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.model_arguments import ModelArgument
from nas.cli.options import AsJson, Plugins, Storage, TrackingUri
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING


def export(
    model: ModelArgument,
    format: Annotated[
        str | None,
        typer.Option(
            help="onnx, pt2 (torch.export), torchscript or safetensors; "
            "default what the name of --output says, else onnx."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file; default the model's name here.")
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="FP16 weights, input and output instead of FP32.")
    ] = False,
    size: Annotated[
        str | None,
        typer.Option(help="LR height x width, such as 540x960, for pictures of that size only."),
    ] = None,
    opset: Annotated[
        int | None, typer.Option(help="Of ONNX, 18 to 23; from 20 on GELU is one operator.")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = DEFAULT_TRACKING,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Write a model for other programs, check it by running it, and say how exact it is.

    The file takes a batch of RGB pictures of any size, (N, 3, H, W) in [0, 1], and gives
    (N, 3, 4H, 4W) clamped to [0, 1]. Name, architecture, gain and licence stand in it.
    """
    from nas.cli.model_arguments import model as load
    from nas.cli.terminal import print_json
    from nas.common.errors import InputError
    from nas.common.files import file_name
    from nas.deploy.export import OPSET, format_of
    from nas.deploy.export import export as write
    from nas.deploy.formats import formats

    found = load(model, storage=storage, tracking_uri=tracking_uri, plugins=plugin)
    chosen = format or (format_of(output) if output else "onnx")
    if chosen is None:
        suffixes = ", ".join(suffix for each in formats.values() for suffix in each.suffixes)
        raise InputError(f"--output {output}: its name tells no format; end it in {suffixes}")
    if opset is not None and chosen != "onnx":
        raise InputError(f"--opset is for onnx; leave it out for {chosen}")
    if output is None and chosen in formats:
        output = Path(file_name(found.name) + formats[chosen].suffixes[0])
    if output is not None and (output.is_dir() or _same(output, model)):
        raise InputError(f"--output {output} is the model itself or a folder; name another file")
    made = write(
        found,
        output or Path(found.name),
        chosen,
        half=half,
        size=None if size is None else _size(size),
        opset=OPSET if opset is None else opset,
    )
    precision = "float16" if made.half else "float32"
    if as_json:
        print_json(
            {
                "name": found.name,
                "path": str(made.path),
                "format": made.format,
                "opset": made.opset,
                "precision": precision,
                "size": None if made.size is None else list(made.size),
                "smallest_side": made.smallest,
                "any_batch": made.batch,
                "bytes": made.path.stat().st_size,
                "error": made.error,
                "error_bound": made.bound,
            }
        )
        return
    sizes = f"{made.smallest} pixels a side and more"
    if made.size is not None:
        sizes = "{}x{} only".format(*made.size)
    kind = made.format if made.opset is None else f"ONNX opset {made.opset}"
    print(
        f"{made.path}: {kind}, {precision}, for pictures of {sizes}, "
        f"{made.path.stat().st_size / 1000:.0f} kB\n"
        f"run and compared with PyTorch in float32: differs by {made.error:.1e} at most "
        f"(allowed {made.bound:.1e})"
    )


def _same(output: Path, model: str) -> bool:
    return output.exists() and Path(model).exists() and output.samefile(model)


def _size(text: str) -> tuple[int, int]:
    from nas.common.errors import InputError

    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip().lower())
    if found is None or not all(8 <= int(side) <= 16384 for side in found.groups()):
        raise InputError(f"--size '{text}': give LR height x width from 8 to 16384, as in 540x960")
    return int(found[1]), int(found[2])
