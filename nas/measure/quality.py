"""Quality of a network on images: PSNR of its 8-bit upscaling and its gain over Lanczos."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import nn

from nas.common.checked_files import read_json, write_json
from nas.common.files import cache_root
from nas.data.store import lanczos
from nas.measure.metrics import Difference, Psnr
from nas.measure.tiling import Pixels, as_tensor, upscale_picture


class PictureLike(Protocol):
    """An image pair; `nas.data.store.Picture` is one."""

    def hr(self) -> Pixels:
        """Return the original, (4H, 4W, 3)."""
        ...

    def lr(self, qp: int | None) -> Pixels:
        """Return the LR image at a QP, (H, W, 3); None is the uncompressed one."""
        ...


@dataclass(frozen=True, slots=True)
class Quality:
    """PSNR of a network and of Lanczos per QP: means over images in dB."""

    ours: dict[int | None, Psnr]
    lanczos: dict[int | None, Psnr]

    @classmethod
    def mean(cls, parts: Sequence[Quality]) -> Quality:
        """Return the mean over qualities of equally many images at the same QPs."""
        qps = parts[0].ours
        return cls(
            {qp: _mean_psnr([part.ours[qp] for part in parts]) for qp in qps},
            {qp: _mean_psnr([part.lanczos[qp] for part in parts]) for qp in qps},
        )

    @property
    def psnr_y_db(self) -> dict[int | None, float]:
        """PSNR-Y per QP."""
        return {qp: psnr.y for qp, psnr in self.ours.items()}

    @property
    def lanczos_psnr_y_db(self) -> dict[int | None, float]:
        """PSNR-Y of Lanczos per QP."""
        return {qp: psnr.y for qp, psnr in self.lanczos.items()}

    @property
    def gain_db_per_qp(self) -> dict[int | None, float]:
        """PSNR-Y above Lanczos."""
        return {qp: psnr.y - self.lanczos[qp].y for qp, psnr in self.ours.items()}

    @property
    def gain_db(self) -> float:
        """Mean over QPs of the gain over Lanczos: what the search maximises."""
        return _mean(list(self.gain_db_per_qp.values()))

    @property
    def gain_cb_db(self) -> float:
        """Mean over QPs of the gain of Cb over Lanczos."""
        return _mean([psnr.cb - self.lanczos[qp].cb for qp, psnr in self.ours.items()])

    @property
    def gain_cr_db(self) -> float:
        """Mean over QPs of the gain of Cr over Lanczos."""
        return _mean([psnr.cr - self.lanczos[qp].cr for qp, psnr in self.ours.items()])

    @property
    def colour_gain_db(self) -> float:
        """The lower gain of Cb and Cr; well below zero, the network tints."""
        return min(self.gain_cb_db, self.gain_cr_db)


def evaluate(
    network: nn.Module,
    pictures: Sequence[PictureLike],
    qps: Sequence[int | None],
    *,
    device: str | torch.device = "cpu",
) -> Quality:
    """Return the PSNR of a network's 8-bit upscalings and Lanczos's, per QP.

    The network is moved to ``device`` and keeps its mode. Lanczos's PSNR is cached by the content
    of the images.

    Raises:
        ValueError: there is no image or no QP.
    """
    if not pictures or not qps:
        raise ValueError("evaluating needs at least one image and one QP")
    network.to(device)
    ours: dict[int | None, list[Psnr]] = {qp: [] for qp in qps}
    base: dict[int | None, list[Psnr]] = {qp: [] for qp in qps}
    for picture in pictures:
        original = picture.hr()
        on_device = as_tensor(original).to(device)
        key = digest(original)
        for qp in qps:
            small = picture.lr(qp)
            ours[qp].append(Difference.of(upscale_picture(network, small), on_device).psnr())
            base[qp].append(_lanczos_psnr(small, original, key))
    means = ({qp: _mean_psnr(all_of) for qp, all_of in psnr.items()} for psnr in (ours, base))
    return Quality(*means)


def lanczos_psnr_y(picture: PictureLike, qps: Sequence[int | None]) -> dict[int | None, float]:
    """Return the PSNR-Y in dB of Lanczos's upscaling of an image per QP, cached."""
    original = picture.hr()
    key = digest(original)
    return {qp: _lanczos_psnr(picture.lr(qp), original, key).y for qp in qps}


def digest(*parts: Pixels | str) -> str:
    """Return a hash of images with their sizes, and of strings: 32 hex digits."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, str):
            state.update(part.encode())
        else:
            array = np.ascontiguousarray(_array(part))
            state.update(str(array.shape).encode())
            state.update(array.data)
    return state.hexdigest()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _mean_psnr(values: Sequence[Psnr]) -> Psnr:
    return Psnr(*(_mean(plane) for plane in zip(*values, strict=True)))


def _array(pixels: Pixels) -> np.ndarray:
    return pixels.cpu().numpy() if isinstance(pixels, torch.Tensor) else pixels


def _lanczos_psnr(small: Pixels, original: Pixels, original_key: str) -> Psnr:
    """PSNR of Lanczos's upscaling, cached."""
    key = digest("pillow-lanczos3 y cb cr", original_key, small)
    path = cache_root() / "baseline" / f"{key}.json"
    with suppress(KeyError, TypeError, ValueError):
        known = read_json(path) or {}
        return Psnr(*(float(known[f"psnr_{plane}_db"]) for plane in Psnr._fields))
    psnr = Difference.of(lanczos(_array(small)), _array(original)).psnr()
    with suppress(OSError):  # works without the cache
        write_json(path, {f"psnr_{plane}_db": value for plane, value in psnr._asdict().items()})
    return psnr
