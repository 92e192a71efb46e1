"""The sample dataset: photographs of installed packages, for a first run without download."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from nas.common.errors import InputError
from nas.common.files import cache_root
from nas.common.text import Progress, silent
from nas.data.image_files import Source
from nas.data.manifest import MANIFEST, VERSION, Record, read_manifest
from nas.data.prepare import prepare_sources

_FOLDERS = {
    "skimage": "data",
    "sklearn": "datasets/images",
    "matplotlib": "mpl-data/sample_data",
}

VALIDATION_PICTURES = ("sklearn/china.jpg", "skimage/coffee.png", "skimage/chelsea.png")
"""Held out: detailed colour photographs of a building among trees, of wood and metal, of fur."""

TRAINING_PICTURES = (
    "skimage/astronaut.png",
    "skimage/motorcycle_left.png",
    "skimage/motorcycle_right.png",
    "matplotlib/grace_hopper.jpg",
    "skimage/rocket.jpg",
    "sklearn/flower.jpg",
    "skimage/ihc.png",
    "skimage/hubble_deep_field.jpg",
    "skimage/brick.png",
    "skimage/grass.png",
    "skimage/gravel.png",
    "skimage/camera.png",
    "skimage/coins.png",
)
"""Trained on: colour photographs first, then grey ones with texture. The two
views of one scene are both here, never one of them held out; smooth images are left out."""


def sample_set(progress: Progress = silent) -> Path:
    """Return the folder of the sample dataset, prepared in the cache on first use.

    It is too small for choosing a network to ship; ``PairSet.is_sample`` marks it. Damaged files
    are prepared again.

    Raises:
        InputError: the packages that carry the photographs are missing, or the cache cannot be
            written.
    """
    folder = cache_root() / f"sample-{VERSION}"
    if not _whole(folder):
        sources = [*_found(VALIDATION_PICTURES), *_found(TRAINING_PICTURES)]
        prepare_sources(sources, folder, _choose, is_sample=True, progress=progress)
    return folder


def _whole(folder: Path) -> bool:
    """Whether the dataset is complete and undamaged: about 100 small files."""
    if not (folder / MANIFEST).exists():
        return False
    try:
        entries = read_manifest(folder).entries
    except InputError:
        (folder / MANIFEST).unlink(missing_ok=True)  # it is written again
        return False
    return all(file.whole(folder) for entry in entries for file in entry.record.files.values())


def _choose(records: Mapping[str, Record]) -> frozenset[str]:
    return frozenset(VALIDATION_PICTURES) & frozenset(records)


def _found(names: tuple[str, ...]) -> list[Source]:
    """Those that are installed: releases of the packages differ."""
    found = []
    for name in names:
        package, file = name.split("/")
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            path = Path(spec.origin).parent / _FOLDERS[package] / file
            if path.is_file():
                found.append(Source(path, name))
    if not found:
        raise InputError(
            "no photographs for the sample set: install scikit-image and scikit-learn, "
            "or prepare pictures of your own with: nas data prepare"
        )
    return found
