"""The sample set: photographs that installed packages carry, for a first run without download."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from nas.data.cache import cache_root
from nas.data.making import Source
from nas.data.manifest import MANIFEST, VERSION, Record
from nas.data.prepare import prepare_sources
from search_spaces.errors import InputError
from search_spaces.progress import Progress, silent

_FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}

VALIDATION_PICTURES = ("sklearn/china.jpg", "skimage/coffee.png", "skimage/chelsea.png")
"""Held out: detailed colour photographs of buildings, objects and fur."""

TRAINING_PICTURES = (
    "skimage/astronaut.png",
    "skimage/motorcycle_left.png",
    "skimage/motorcycle_right.png",
    "skimage/rocket.jpg",
    "skimage/hubble_deep_field.jpg",
    "skimage/ihc.png",
    "skimage/retina.jpg",
    "sklearn/flower.jpg",
    "skimage/brick.png",
    "skimage/grass.png",
    "skimage/gravel.png",
    "skimage/camera.png",
)
"""Trained on: colour photographs first, then textures."""


def sample_set(progress: Progress = silent) -> Path:
    """Return the folder of the sample set, made on first use in the cache.

    It is small and of small pictures: good for seeing the workbench run, not for choosing a
    network to ship. ``PairSet.is_sample`` says so to whoever opens it.

    Args:
        progress: called after every picture made.

    Raises:
        InputError: the packages that carry the photographs are missing, or the cache cannot be
            written.
    """
    folder = cache_root() / f"sample-{VERSION}"
    if not (folder / MANIFEST).exists():
        sources = [*_found(VALIDATION_PICTURES), *_found(TRAINING_PICTURES)]
        prepare_sources(sources, folder, _choose, is_sample=True, progress=progress)
    return folder


def _choose(records: Mapping[str, Record]) -> frozenset[str]:
    return frozenset(VALIDATION_PICTURES) & frozenset(records)


def _found(names: tuple[str, ...]) -> list[Source]:
    """The pictures of these that are there: releases of the packages differ in what they carry."""
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
            "No photographs for the sample set: install scikit-image and scikit-learn, "
            "or prepare pictures of your own with: nas data prepare"
        )
    return found
