"""Colour figures: gains of chroma over Lanczos, the lower of both, and how people read them.

Plain arithmetic without torch, so that tables of studies need nothing else.
"""

from __future__ import annotations

VISIBLE_LOSS_DB = 0.1
"""PSNR of Cb or Cr this far below Lanczos's is marked in tables."""


def colour_gain_db(gain_cb_db: float | None, gain_cr_db: float | None) -> float | None:
    """Return the lower gain of Cb and Cr over Lanczos in dB; None where one is not known."""
    if gain_cb_db is None or gain_cr_db is None:
        return None
    return min(gain_cb_db, gain_cr_db)


def db_cell(gain_db: float | None, digits: int = 3) -> str:
    """Return a gain in dB as a cell of a table; "-" where it is not known."""
    return "-" if gain_db is None else f"{gain_db:+.{digits}f}"


def colour_cell(
    gain_cb_db: float | None, gain_cr_db: float | None, tints: bool = False, digits: int = 3
) -> str:
    """Return the lower gain of Cb and Cr as a cell, marked where it is low or over the limit."""
    lower = colour_gain_db(gain_cb_db, gain_cr_db)
    low = lower is not None and lower < -VISIBLE_LOSS_DB
    return db_cell(lower, digits) + (" tints" if tints else " low" if low else "")


def colour_words(gain_cb_db: float | None, gain_cr_db: float | None, digits: int = 3) -> str:
    """Return both gains over Lanczos in words, such as ``Cb +0.120 dB, Cr -0.013 dB``."""
    if colour_gain_db(gain_cb_db, gain_cr_db) is None:
        return "Cb and Cr not measured"
    return f"Cb {db_cell(gain_cb_db, digits)} dB, Cr {db_cell(gain_cr_db, digits)} dB"
