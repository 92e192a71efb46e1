"""How well predictions agree with truth: relative error and rank correlation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mape(predicted: Sequence[float], true: Sequence[float]) -> float:
    """Return the mean absolute error relative to the true values, as a fraction."""
    p, t = np.asarray(predicted, float), np.asarray(true, float)
    return float(np.mean(np.abs(p / t - 1)))


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Return Spearman's rank correlation; equal values share their mean rank."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """Return Kendall's tau-b, which corrects for equal values."""
    x, y = (np.sign(np.subtract.outer(v, v)) for v in (np.asarray(a), np.asarray(b)))
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def _ranks(values: Sequence[float]) -> np.ndarray:
    v = np.asarray(values, float)
    return (v[:, None] > v).sum(1) + (v[:, None] == v).sum(1) / 2
