"""Looks at a network under way: quick figures on windows of held-out pictures, and some pieces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from nas.common.errors import InputError
from nas.data.store import PairSet, lanczos
from nas.data.windows import Window, windows
from nas.measure.quality import Quality, evaluate
from nas.measure.tiling import upscale_picture
from nas.training.engine.events import Sample
from search_spaces.architecture import SCALE

AREA = 100_000
"""LR pixels of all windows: at five QPs a look takes a second or two of a core."""

PIECES = 3
PIECE_SIDE = 64  # LR pixels: 256 in the picture that a person sees


class Look:
    """The most detailed windows of a set's held-out pictures.

    Raises:
        InputError: it holds out none that is not of one colour.
    """

    def __init__(self, pair_set: PairSet) -> None:
        self.qps = pair_set.qps
        self.windows = windows(pair_set.validation, AREA)
        if not self.windows:
            raise InputError(
                f"{pair_set.path} holds out no picture of more than one colour "
                "to measure a training on"
            )

    def quality(self, network: nn.Module, device: str) -> Quality:
        """Measure a network on all windows at all QPs."""
        return evaluate(network, self.windows, self.qps, device=device)

    def samples(self, network: nn.Module) -> tuple[Sample, ...]:
        """Upscale the centres of a few windows, at the heaviest compression."""
        qp = self.qps[-1]
        return tuple(_piece(network, window, qp) for window in spread(self.windows, PIECES))


def spread(items: Sequence[Window], count: int) -> Sequence[Window]:
    """At most so many of them, evenly spaced."""
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def _piece(network: nn.Module, window: Window, qp: int) -> Sample:
    small, original = window.lr(qp), window.hr()
    starts = [max(0, (length - PIECE_SIDE) // 2) for length in small.shape[:2]]
    top, left = (slice(start, start + PIECE_SIDE) for start in starts)
    rows, columns = (slice(SCALE * s.start, SCALE * s.stop) for s in (top, left))
    ours = upscale_picture(network, small).cpu().numpy()
    plain = lanczos(small)
    return Sample(
        window.picture.name,
        qp,
        *(np.array(picture[rows, columns]) for picture in (plain, ours, original)),
    )
