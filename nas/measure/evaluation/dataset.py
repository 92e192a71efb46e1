"""What a prepared dataset holds and how hard it is: ``nas data info``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nas.common.text import Progress, silent
from nas.data.store import PairSet, Picture
from nas.measure.quality import lanczos_psnr_y
from search_spaces.architecture import SCALE


def describe(pair_set: PairSet, progress: Progress = silent) -> dict[str, Any]:
    """Describe a set: what it holds, what made it, how hard it is.

    Args:
        pair_set: the set.
        progress: called after every validation image; the first time each is upscaled by
            Lanczos at every QP, which takes about a second for a 4K image.

    Returns:
        A dictionary fit for JSON. ``per_qp`` has one entry a QP, and ``clean``: the bits per LR
        pixel over all images, and the mean PSNR-Y of Lanczos over the validation images that it
        does not upscale without any error; None if there is none.
    """
    return {
        "path": str(pair_set.path),
        "digest": pair_set.digest,
        "is_sample": pair_set.is_sample,
        "qps": list(pair_set.qps),
        "encoders": sorted({made for p in pair_set.pictures for made in p.entry.record.encoders}),
        "train": _extent(pair_set.train),
        "validation": _extent(pair_set.validation),
        "per_qp": _per_qp(pair_set, progress),
        "pictures": [
            {
                "name": picture.name,
                "source": picture.entry.source,
                "split": picture.split,
                "width": picture.width,
                "height": picture.height,
                "notes": list(picture.entry.record.notes),
            }
            for picture in pair_set.pictures
        ],
    }


def _extent(pictures: Sequence[Picture]) -> dict[str, Any]:
    pixels = sum(picture.width * picture.height for picture in pictures)
    return {"pictures": len(pictures), "megapixels": round(pixels / 1e6, 3)}


def _per_qp(pair_set: PairSet, progress: Progress) -> dict[str, dict[str, float | None]]:
    qps = (*pair_set.qps, None)
    found: dict[int | None, list[float]] = {qp: [] for qp in qps}
    for done, picture in enumerate(pair_set.validation, 1):
        for qp, value in lanczos_psnr_y(picture, qps).items():
            if math.isfinite(value):  # images of one colour come out exact
                found[qp].append(value)
        progress(done, len(pair_set.validation), picture.name)
    pixels = sum(picture.width * picture.height for picture in pair_set.pictures) / SCALE**2
    return {
        "clean" if qp is None else str(qp): {
            "bits_per_lr_pixel": round(sum(p.bits(qp) for p in pair_set.pictures) / pixels, 4),
            "lanczos_psnr_y_db": round(sum(values) / len(values), 4) if values else None,
        }
        for qp, values in found.items()
    }
