"""The pictures that a model does best and worst, shown beside Lanczos, a teacher and the truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from nas.data.store import lanczos
from nas.measure.colour import colour_words
from nas.measure.evaluation.evaluate import Evaluation, Figures, NamedPicture, Upscaler
from nas.measure.evaluation.images import Panel, Place, side_by_side, telling_place
from nas.measure.tiling import as_tensor
from search_spaces.architecture import SCALE

if TYPE_CHECKING:
    from teachers.loading import Teacher

Which = Literal["best", "worst"]

_MARGIN = 16  # LR pixels around a place that the teacher sees, so that it has no border there


def extremes(evaluation: Evaluation) -> Mapping[Which, Figures]:
    """Return the pictures of the highest and the lowest mean gain, each at its own extreme QP.

    A single picture is both: then it is there as the best alone.
    """
    averaged = evaluation.averaged
    gains = {f.picture: evaluation.gain_db_of(f.picture) for f in averaged}
    best, worst = max(gains, key=gains.__getitem__), min(gains, key=gains.__getitem__)
    found: dict[Which, Figures] = {
        "best": max((f for f in averaged if f.picture == best), key=lambda f: f.gain_db)
    }
    if worst != best:
        found["worst"] = min((f for f in averaged if f.picture == worst), key=lambda f: f.gain_db)
    return found


def draw(
    which: Which,
    figures: Figures,
    picture: NamedPicture,
    upscaler: Upscaler,
    teacher: Teacher | None = None,
    device: str = "cpu",
) -> Image.Image:
    """Draw a picture's most telling place: where the model wins or loses most against Lanczos.

    The teacher sees what it sees when it teaches: LR that no encoder touched, or what the model
    sees.

    Args:
        which: What the picture is among its set.
        figures: What was measured of it.
        picture: The picture.
        upscaler: The model.
        teacher: Shown too where there is one.
        device: Where the teacher works.
    """
    original = np.asarray(picture.hr())
    small = np.asarray(picture.lr(figures.qp))
    base = lanczos(small)
    ours = as_tensor(upscaler.upscale(small)).cpu().numpy()
    pair = (ours, base) if which == "best" else (base, ours)
    place = telling_place(*pair, original)
    level = "no compression" if figures.qp is None else f"QP {figures.qp}"
    panels = [Panel(f"Lanczos ({level})", place.of(base)), Panel(upscaler.name, place.of(ours))]
    if teacher is not None:
        (seen,) = teacher.levels((figures.qp,))
        told = f"{teacher.name} (teacher, {'clean LR' if seen is None else level})"
        lr = np.asarray(picture.lr(seen))
        panels.append(Panel(told, _taught(teacher, lr, place, device)))
    return side_by_side(
        f"{figures.picture}, {level}: {which} picture of {upscaler.name}",
        f"PSNR-Y of the whole picture: Lanczos {figures.lanczos.psnr_y_db:.2f} dB, "
        f"{upscaler.name} {figures.ours.psnr_y_db:.2f} dB ({figures.gain_db:+.3f} dB; "
        f"{colour_words(figures.gain_cb_db, figures.gain_cr_db)}). "
        f"Below: the place where it {'gains' if which == 'best' else 'loses'} most.",
        panels,
        original,
        place,
    )


def _taught(teacher: Teacher, lr: np.ndarray, place: Place, device: str) -> np.ndarray:
    """What a teacher makes of a place; the rest of the picture is spared."""
    from teachers.cache import upscale_pixels

    top, left = place.top // SCALE, place.left // SCALE
    bottom, right = top + place.height // SCALE, left + place.width // SCALE
    first, before = max(0, top - _MARGIN), max(0, left - _MARGIN)
    large = upscale_pixels(
        teacher, lr[first : bottom + _MARGIN, before : right + _MARGIN], device=device
    )
    inner = Place(SCALE * (top - first), SCALE * (left - before), place.height, place.width)
    return inner.of(large)
