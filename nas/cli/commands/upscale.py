"""``nas upscale``: images at four times their size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.models import ModelSources, takes_models
from nas.cli.options import AsJson, Device

if TYPE_CHECKING:
    from nas.deploy.upscale import Result


@takes_models
def upscale(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="IN...", help="Image files, and folders of them."),
    ],
    sources: ModelSources,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="File or folder to write; default NAME-4x beside the input."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Any MODEL as in 'nas export'; default the first shipped model."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(help="png, avif, jpeg or webp; default by the suffix of --output, else png."),
    ] = None,
    quality: Annotated[
        int | None, typer.Option(help="1 to 100; default avif 80, jpeg 92, webp 90.")
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            help="Process N x N input pixels at a time, to save memory. The result is the same."
        ),
    ] = None,
    max_megapixels: Annotated[
        float, typer.Option(help="Largest input that is accepted; at most 134.")
    ] = 40.0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing outputs.")] = False,
    device: Device = None,
    half: Annotated[bool, typer.Option("--half", help="Compute in FP16; CUDA only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Upscale images by 4: AVIF, PNG, JPEG, WebP, TIFF, GIF and BMP.

    Orientation is applied; transparency, colour profile and EXIF data are kept. Existing outputs
    are skipped, so that a command that was stopped continues.
    """
    from nas.cli.terminal import print_json, progress_bar, say
    from nas.common.errors import InputError
    from nas.deploy.models import shipped
    from nas.deploy.paths import format_for, plan
    from nas.deploy.upscale import STRIP_PIXELS, STRIP_PIXELS_CUDA, Settings, ready, upscale_files
    from nas.measure.device import usable_device

    chosen = format_for(output, format, quality)
    jobs = plan(inputs, output, chosen)
    if tile is not None and tile < 64:
        raise InputError(f"--tile {tile}: give at least 64 pixels")
    if not 0 < max_megapixels <= 134:
        raise InputError(f"--max-megapixels {max_megapixels:g}: give more than 0 and at most 134")
    named = model or next(iter(shipped()), None)
    if named is None:
        raise InputError("no model is installed: give one with --model")
    found = sources.model(named)
    device = usable_device(device)
    on_gpu = device.startswith("cuda")
    if half and not on_gpu:
        raise InputError("--half is for CUDA only: CPUs are slower in FP16 than in FP32")
    network = ready(found.network, device, half=half)
    if tile is not None and network.field is None:
        say(f"{found.name} needs the whole image at once: --tile has no effect", mark="note")
    at_once = STRIP_PIXELS_CUDA if on_gpu else STRIP_PIXELS
    settings = Settings(
        format=chosen,
        quality=quality,
        strip_pixels=at_once if tile is None else tile * tile,
        max_pixels=int(max_megapixels * 1e6),
        force=force,
    )
    results = []
    with progress_bar("upscaling") as progress:
        for result in upscale_files(jobs, network, settings, progress=progress):
            results.append(result)
            if len(jobs) > 1 or result.status != "failed":
                _report(result)
    if as_json:
        print_json({"model": found.name, "pictures": [_entry(result) for result in results]})
    else:
        _summarise(results)
    failed = [result for result in results if result.status == "failed"]
    if failed and len(jobs) == 1:
        raise InputError(f"{jobs[0].source}: {failed[0].notes[0]}")
    if failed:
        raise InputError(f"{len(failed)} of {len(jobs)} images could not be upscaled, see above")


def _report(result: Result) -> None:
    """Print on stderr what differs from a plain upscaling."""
    from nas.cli.terminal import say

    if result.status == "failed":
        say(f"{result.job.source}: {result.notes[0]}", mark="skipped")
    elif result.status == "there":
        say(f"{result.job.target} exists already; use --force to overwrite it", style="dim")
    elif result.notes:
        say(f"{result.job.source}: {', '.join(result.notes)}", mark="note")


def _summarise(results: Sequence[Result]) -> None:
    made = [result for result in results if result.size is not None]
    if len(results) == 1 and made:
        height, width = made[0].size or (0, 0)
        print(f"{made[0].job.target}: {width}x{height}")
    elif len(results) > 1:
        counts = Counter(result.status for result in results)
        print(
            f"{counts['made']} images upscaled, {counts['there']} already there, "
            f"{counts['failed']} skipped"
        )


def _entry(result: Result) -> dict[str, object]:
    height, width = result.size or (None, None)
    return {
        "source": str(result.job.source),
        "target": str(result.job.target),
        "status": result.status,
        "height": height,
        "width": width,
        "notes": list(result.notes),
    }
