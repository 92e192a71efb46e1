"""Least squares with coefficients that may not be negative, and the same for robust losses."""

from __future__ import annotations

import numpy as np


def nonnegative_least_squares(matrix: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return x >= 0 that minimises ``|matrix @ x - target|``.

    Lawson and Hanson's active-set method: columns enter by their gradient, and leave where the
    unconstrained solution on the active ones would turn negative.
    """
    columns = matrix.shape[1]
    x = np.zeros(columns)
    active = np.zeros(columns, bool)
    scale = np.abs(matrix.T @ target).max(initial=0.0) or 1.0
    for _ in range(10 * columns):
        gradient = matrix.T @ (target - matrix @ x)
        gradient[active] = -np.inf
        if gradient.max() <= 1e-12 * scale:
            break
        active[gradient.argmax()] = True
        while True:
            trial = np.zeros(columns)
            trial[active] = np.linalg.lstsq(matrix[:, active], target, rcond=None)[0]
            falling = active & (trial <= 0)
            if not falling.any():
                x = trial
                break
            step = (x[falling] / (x[falling] - trial[falling])).min()
            x = x + step * (trial - x)
            active &= x > 1e-15
            x[~active] = 0
    return x


def robust_nonnegative(
    matrix: np.ndarray, target: np.ndarray, *, quadratic_to: float, rounds: int = 200
) -> np.ndarray:
    """Return x >= 0 that minimises the Huber loss of ``matrix @ x - target``.

    Errors beyond ``quadratic_to`` count by their size and not by its square, so that a few rows
    that no choice of x explains do not bend it for all others. Iteratively reweighted.
    """
    weight = np.ones(len(target))
    x = np.zeros(matrix.shape[1])
    for _ in range(rounds):
        previous = x
        x = nonnegative_least_squares(matrix * weight[:, None], target * weight)
        if np.allclose(x, previous, rtol=1e-10, atol=1e-12):
            break
        error = np.abs(matrix @ x - target)
        weight = 1 / np.sqrt(np.maximum(error, quadratic_to))
    return x
