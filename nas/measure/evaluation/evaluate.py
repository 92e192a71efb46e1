"""Models on whole validation images: all metrics of every image at every QP, beside Lanczos.

A 4K image takes a minute on a CPU, so each result is cached by weights, device and pixels, and a
killed evaluation resumes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch

from nas.common.checked_files import read_json, write_json
from nas.common.errors import InputError
from nas.common.files import cache_root
from nas.common.text import Progress, silent
from nas.data.store import lanczos
from nas.measure.metrics import Fidelity, fidelity
from nas.measure.quality import PictureLike, digest
from nas.measure.tiling import Pixels, as_tensor, upscale_picture
from search_spaces.model_file import Model, model_bytes

SSIM_WINDOW = 11


class NamedPicture(PictureLike, Protocol):
    """An image with a name; those of prepared sets are."""

    @property
    def name(self) -> str:
        """Unique among the images."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Upscaler:
    """A function that upscales images by 4."""

    name: str
    key: str
    """What its results depend on besides the LR image."""
    upscale: Callable[[np.ndarray], Pixels]
    """From uint8 (H, W, 3) to uint8 (4H, 4W, 3)."""


LANCZOS = Upscaler("Lanczos", "pillow-lanczos3", lanczos)


@dataclass(frozen=True, slots=True)
class Figures:
    """Metrics of one image at one QP; None is the uncompressed LR."""

    picture: str
    qp: int | None
    ours: Fidelity
    lanczos: Fidelity

    @property
    def gain_db(self) -> float:
        """PSNR-Y over Lanczos."""
        return self.ours.psnr_y_db - self.lanczos.psnr_y_db

    @property
    def gain_cb_db(self) -> float:
        """PSNR of Cb over Lanczos."""
        return self.ours.psnr_cb_db - self.lanczos.psnr_cb_db

    @property
    def gain_cr_db(self) -> float:
        """PSNR of Cr over Lanczos."""
        return self.ours.psnr_cr_db - self.lanczos.psnr_cr_db

    @property
    def is_finite(self) -> bool:
        """Whether both have errors: flat images are exact, with infinite PSNR."""
        return math.isfinite(self.ours.psnr_rgb_db) and math.isfinite(self.lanczos.psnr_rgb_db)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model on all images at all QPs."""

    name: str
    figures: tuple[Figures, ...]
    """One for each image and QP, in the order of the dataset."""

    @property
    def qps(self) -> tuple[int | None, ...]:
        """The measured QPs."""
        return tuple(dict.fromkeys(figure.qp for figure in self.figures))

    @property
    def averaged(self) -> tuple[Figures, ...]:
        """Those in the means: without the images in `exact`."""
        exact = self.exact
        return tuple(figure for figure in self.figures if figure.picture not in exact)

    @property
    def exact(self) -> tuple[str, ...]:
        """Flat images, which are upscaled without error at some QP."""
        return tuple(dict.fromkeys(f.picture for f in self.figures if not f.is_finite))

    def at(self, qp: int | None) -> tuple[Fidelity, Fidelity]:
        """Return means over images at a QP: the model's and Lanczos's."""
        here = [figure for figure in self.averaged if figure.qp == qp]
        return _means([f.ours for f in here]), _means([f.lanczos for f in here])

    def over(self, qps: Sequence[int | None] | None = None) -> tuple[Fidelity, Fidelity]:
        """Return means over QPs (all by default) of the means over images."""
        pairs = [self.at(qp) for qp in (self.qps if qps is None else qps)]
        return _means([ours for ours, _ in pairs]), _means([base for _, base in pairs])

    def gain_db(self, qps: Sequence[int | None] | None = None) -> float:
        """Return the PSNR-Y above Lanczos, mean over QPs (all by default) and images."""
        ours, base = self.over(qps)
        return ours.psnr_y_db - base.psnr_y_db

    def gain_cb_db(self, qps: Sequence[int | None] | None = None) -> float:
        """Return the PSNR of Cb above Lanczos, mean over QPs (all by default) and images."""
        ours, base = self.over(qps)
        return ours.psnr_cb_db - base.psnr_cb_db

    def gain_cr_db(self, qps: Sequence[int | None] | None = None) -> float:
        """Return the PSNR of Cr above Lanczos, mean over QPs (all by default) and images."""
        ours, base = self.over(qps)
        return ours.psnr_cr_db - base.psnr_cr_db

    def gain_db_of(self, picture: str) -> float:
        """Return an image's gain, mean over QPs."""
        gains = [figure.gain_db for figure in self.averaged if figure.picture == picture]
        return sum(gains) / len(gains)


def upscaler_of(model: Model, device: str | torch.device = "cpu") -> Upscaler:
    """Return a model on a device as an upscaler; its network is moved there."""
    weights = model.digest or hashlib.sha256(model_bytes(model.network, "")).hexdigest()
    model.network.to(device)
    key = f"{weights} {torch.device(device).type}"
    return Upscaler(model.name, key, partial(upscale_picture, model.network))


def evaluate_all(
    upscalers: Sequence[Upscaler],
    pictures: Sequence[NamedPicture],
    qps: Sequence[int | None],
    *,
    device: str | torch.device = "cpu",
    with_ssim: bool = True,
    progress: Progress = silent,
) -> tuple[Evaluation, ...]:
    """Measure upscalers on whole images.

    Args:
        upscalers: What to measure.
        pictures: Validation images.
        qps: None is the uncompressed LR.
        device: Of the metrics; upscalers have their own.
        with_ssim: Whether to compute SSIM, which takes most of the time.
        progress: Called after every image and QP; its note is the gain so far.

    Raises:
        InputError: There is no image, one is too small for SSIM, or all are flat.
    """
    if not pictures or not qps:
        raise InputError("evaluating needs at least one held-out picture and one QP")
    for picture in pictures if with_ssim else ():
        if min(height_width := picture.hr().shape[:2]) < SSIM_WINDOW:
            raise InputError(
                f"the picture {picture.name} has {height_width[0]}x{height_width[1]} pixels and "
                f"SSIM needs {SSIM_WINDOW}x{SSIM_WINDOW}: leave it out, or measure PSNR alone"
            )
    found: list[list[Figures]] = [[] for _ in upscalers]
    done = 0
    for picture in pictures:
        original = picture.hr()
        scene = _Scene(digest(original), as_tensor(original).to(device), with_ssim)
        for qp in qps:
            small = np.asarray(picture.lr(qp))
            base = scene.fidelity(LANCZOS, small)
            for upscaler, figures in zip(upscalers, found, strict=True):
                ours = scene.fidelity(upscaler, small)
                figures.append(Figures(picture.name, qp, ours, base))
            done += 1
            progress(done, len(pictures) * len(qps), _note(found, upscalers))
    evaluations = tuple(
        Evaluation(upscaler.name, tuple(figures))
        for upscaler, figures in zip(upscalers, found, strict=True)
    )
    if not all(evaluation.averaged for evaluation in evaluations):
        raise InputError("every held-out picture is flat: there is no error to measure")
    return evaluations


@dataclass(frozen=True, slots=True)
class _Scene:
    """An original image, the reference of upscalings."""

    key: str
    original: torch.Tensor
    with_ssim: bool

    def fidelity(self, upscaler: Upscaler, small: np.ndarray) -> Fidelity:
        """Metrics of an upscaling, cached."""
        key = digest(f"{_LAYOUT} {upscaler.key} {self.key}", small)
        path = cache_root() / "evaluation" / f"{key}.json"
        with suppress(OSError, ValueError, TypeError):  # missing, damaged, or of another layout
            known = Fidelity(**(read_json(path) or {}))
            if not self.with_ssim:
                return replace(known, ssim_rgb=None, ssim_y=None, ssim_y_organiser=None)
            if known.ssim_rgb is not None:
                return known
        large = as_tensor(upscaler.upscale(small)).to(self.original.device)
        value = fidelity(large, self.original, with_ssim=self.with_ssim)
        with suppress(OSError):  # works without the cache
            write_json(path, asdict(value))
        return value


_LAYOUT = 1  # raise it when metrics of the same weights and pixels change


def _note(found: Sequence[Sequence[Figures]], upscalers: Sequence[Upscaler]) -> str:
    """The gain so far of the best upscaler."""
    gains = [
        sum(gains) / len(gains) if (gains := [f.gain_db for f in figures if f.is_finite]) else 0.0
        for figures in found
    ]
    best = max(range(len(gains)), key=gains.__getitem__)
    return f"{gains[best]:+.3f} dB so far, {upscalers[best].name}"


def _means(values: Sequence[Fidelity]) -> Fidelity:
    def mean(column: tuple[Any, ...]) -> Any:
        return None if None in column else sum(column) / len(column)

    return Fidelity(*map(mean, zip(*map(astuple, values), strict=True)))
