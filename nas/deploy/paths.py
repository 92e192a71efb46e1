"""Input and output files of an upscaling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.common.errors import InputError
from nas.data.image_files import find_sources
from nas.deploy.images import FILE_FORMATS, READ
from search_spaces.architecture import SCALE


@dataclass(frozen=True, slots=True)
class Job:
    """One image to upscale."""

    source: Path
    target: Path


def format_for(output: Path | None, format: str | None, quality: int | None) -> str:
    """Return the format to write: the one given, else the one that the output is named after.

    Raises:
        InputError: it cannot be written, or the options contradict each other.
    """
    known = ", ".join(FILE_FORMATS)
    if format is not None and format not in FILE_FORMATS:
        raise InputError(f"--format '{format}' cannot be written; choose one of {known}")
    named = None
    if output is not None and not output.is_dir():
        named = _format_of(output)
        if named is None and output.suffix.lower() in READ:
            raise InputError(f"--output {output} cannot be written; choose one of {known}")
    if named and format and named != format:
        raise InputError(f"--output {output} is named as {named}, but --format says {format}")
    chosen = format or named or "png"
    if quality is not None and FILE_FORMATS[chosen].quality is None:
        raise InputError(f"{chosen} is lossless: leave out --quality")
    if quality is not None and not 1 <= quality <= 100:
        raise InputError(f"--quality {quality}: give a number from 1 to 100")
    return chosen


def plan(inputs: Sequence[Path], output: Path | None, format: str) -> list[Job]:
    """Return the jobs in order.

    An output with the suffix of an image is a file, for one input. Any other is a folder, in which
    inputs keep their names, and images of folders their subfolders. Without an output, ``NAME-4x``
    is created beside the input. Where two images would have the same output, such as ``a.png`` and
    ``a.jpg``, each keeps its suffix inside the name.

    Raises:
        InputError: an input is not there, a folder holds no image, or the output is an input.
    """
    one = output is not None and not output.is_dir() and _format_of(output) is not None
    if one and (len(inputs) > 1 or inputs[0].is_dir()):
        raise InputError(f"--output {output} is one file: name a folder for several pictures")
    if one and output is not None:
        return _safe([Job(_there(inputs[0]), output)])
    placed: list[_Placed] = []
    for given in map(_there, inputs):
        name = given.resolve().name if given.is_dir() else given.stem
        beside = f"{name}-{SCALE}x"
        if given.is_dir():
            root = output or given.resolve().with_name(beside)
            for source in find_sources(given, root, READ):
                inside = source.path.relative_to(given).parent
                placed.append(_Placed(source.path, root / inside, source.path.stem))
        elif output:
            placed.append(_Placed(given, output, given.stem))
        else:
            placed.append(_Placed(given, given.parent, beside))
    return _safe(_distinct(placed, FILE_FORMATS[format].suffixes[0]))


@dataclass(frozen=True, slots=True)
class _Placed:
    """An input and its output without suffix."""

    source: Path
    folder: Path
    stem: str


def _there(path: Path) -> Path:
    if not path.is_file() and not path.is_dir():  # reading a pipe would never end
        raise InputError(f"there is no picture or folder {path}")
    return path


def _distinct(placed: Sequence[_Placed], suffix: str) -> list[Job]:
    placed = list(dict.fromkeys(placed))  # an image can be named twice
    taken = Counter((each.folder, each.stem) for each in placed)
    jobs = []
    for each in placed:
        own = each.source.suffix if taken[each.folder, each.stem] > 1 else ""
        jobs.append(Job(each.source, each.folder / f"{each.stem}{own}{suffix}"))
    return jobs


def _safe(jobs: list[Job]) -> list[Job]:
    """Check that no job overwrites an input or the output of another job."""
    for target, count in Counter(job.target for job in jobs).items():
        if count > 1:
            raise InputError(f"several pictures would become {target}: upscale them one by one")
    sources = {_identity(job.source) for job in jobs}
    for job in jobs:
        if job.target.is_dir():
            raise InputError(f"{job.target} is a folder: name another output")
        if job.target.exists() and _identity(job.target) in sources:
            raise InputError(f"{job.target} is an input, which is never overwritten")
    return jobs


def _identity(path: Path) -> tuple[int, int] | None:
    """Identity of the file behind a path, None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _format_of(path: Path) -> str | None:
    suffix = path.suffix.lower()
    return next((name for name, kind in FILE_FORMATS.items() if suffix in kind.suffixes), None)
