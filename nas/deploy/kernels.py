"""The end of a network as one CUDA kernel, in Triton.

Import this only where Triton is installed. With ``TRITON_INTERPRET=1`` in the environment before
that, it runs on a CPU, slowly.
"""

# Triton's compiler reads the annotations: those of its compile-time constants are all there can be.
# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tail_kernel(
    features,
    weight,
    bias,
    picture,
    taps,
    out,
    height,
    width,
    picture_height,
    picture_width,
    out_height,
    out_width,
    CHANNELS: tl.constexpr,
    KERNEL: tl.constexpr,
    DEPTH: tl.constexpr,
    PLANES: tl.constexpr,
    STEP: tl.constexpr,
    TAP_SIDE: tl.constexpr,
    TAP_REACH: tl.constexpr,
    TAP_DEPTH: tl.constexpr,
    SIDE: tl.constexpr,
    PHASES: tl.constexpr,
    BYTES: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_PHASES: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
    TAP_BLOCK: tl.constexpr,
):
    """Convolution, residual, pixel-shuffle by ``SIDE``, and to bytes a clamp and rounding.

    Both convolutions are matrix products: a tile of positions of one row of the features times
    what each of them sees, by what it sees times phases. Phases are ordered (row, column, colour),
    or (row, column) where ``PLANES`` is 1: then the convolution makes one plane, which is added to
    the residual of each colour. In float32 the first product is done as cuDNN does convolutions, in
    TF32; the image keeps its digits. Without tensor cores both would be unrolled to 50,000
    instructions, half a minute to compile.

    What it reads and writes lies in memory without gaps::

        features: (height, width, CHANNELS), zero beyond its borders.
        weight: (KERNEL, KERNEL, DEPTH, PHASES), channels and phases padded with zeros.
        bias: (PHASES).
        picture: (image_height, image_width, 3), its border repeated beyond; STEP pixels a side
            are one position. Not read where TAP_SIDE is 0.
        taps: (TAP_DEPTH, PHASES) of the residual: rows are (down, right, colour) of TAP_SIDE pixels
            a side, (down, right) for one plane, padded with zeros; the first is TAP_REACH above and
            left of the position.
        out: (out_height, out_width, 3) in bytes, as words of four, or (3, out_height, out_width) in
            float16 or 32. May be smaller than the phases; what is beyond is not written.
    """
    blocks = tl.cdiv(width, BLOCK)
    row = tl.program_id(0) // blocks
    column = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    phase = tl.program_id(1) * BLOCK_PHASES + tl.arange(0, BLOCK_PHASES)
    total = tl.zeros((BLOCK, BLOCK_PHASES), tl.float32)

    channel = tl.arange(0, BLOCK_CHANNELS)
    for tap in tl.static_range(KERNEL * KERNEL):
        line = row + tap // KERNEL - KERNEL // 2
        place = column + tap % KERNEL - KERNEL // 2
        end = tl.where((line >= 0) & (line < height), width, 0)
        inside = (place >= 0) & (place < end)
        begin = features + (line.to(tl.int64) * width + tap % KERNEL - KERNEL // 2) * CHANNELS
        for first in tl.static_range(0, DEPTH, BLOCK_CHANNELS):
            known = inside[:, None] & (first + channel < CHANNELS)[None, :]
            offset = column[:, None] * CHANNELS + (first + channel)[None, :]
            sight = tl.load(begin + offset, mask=known, other=0.0)
            k = tap * DEPTH + first + channel
            part = tl.load(weight + k[:, None] * PHASES + phase[None, :])
            total = tl.dot(sight, part, total, input_precision="tf32")
    total += tl.load(bias + phase)[None, :]

    # fmt: off
    if PLANES == 3:
        total = _add_residual(
            total, picture, taps, row, column, phase, 0, picture_height, picture_width,
            STEP, TAP_SIDE, TAP_REACH, TAP_DEPTH, PHASES, PLANES, TAP_BLOCK,
        )
        if BYTES:
            four = tl.reshape(_levels(total), (BLOCK, BLOCK_PHASES // 4, 4))
            words = tl.sum(four << (8 * tl.arange(0, 4))[None, None, :], axis=2)
            word = tl.program_id(1) * (BLOCK_PHASES // 4) + tl.arange(0, BLOCK_PHASES // 4)
            _store_words(out, words, row, column, word, width, out_height, out_width, SIDE)
        else:
            across = phase % (3 * SIDE)
            _store_floats(
                out, total, row, column, phase // (3 * SIDE), across // 3, across % 3,
                width, out_height, out_width, SIDE,
            )
    else:
        red = _add_residual(
            total, picture, taps, row, column, phase, 0, picture_height, picture_width,
            STEP, TAP_SIDE, TAP_REACH, TAP_DEPTH, PHASES, PLANES, TAP_BLOCK,
        )
        green = _add_residual(
            total, picture, taps, row, column, phase, 1, picture_height, picture_width,
            STEP, TAP_SIDE, TAP_REACH, TAP_DEPTH, PHASES, PLANES, TAP_BLOCK,
        )
        blue = _add_residual(
            total, picture, taps, row, column, phase, 2, picture_height, picture_width,
            STEP, TAP_SIDE, TAP_REACH, TAP_DEPTH, PHASES, PLANES, TAP_BLOCK,
        )
        if BYTES:
            # Four pixels of a row are three words.
            pixels = tl.program_id(1) * (BLOCK_PHASES // 4) + tl.arange(0, BLOCK_PHASES // 4)
            for which in tl.static_range(3):
                words = _bytes_of(red, 0, which, BLOCK, BLOCK_PHASES)
                words += _bytes_of(green, 1, which, BLOCK, BLOCK_PHASES)
                words += _bytes_of(blue, 2, which, BLOCK, BLOCK_PHASES)
                word = 3 * pixels + which
                _store_words(out, words, row, column, word, width, out_height, out_width, SIDE)
        else:
            down, right = phase // SIDE, phase % SIDE
            _store_floats(
                out, red, row, column, down, right, 0 * phase, width, out_height, out_width, SIDE
            )
            _store_floats(
                out, green, row, column, down, right, 0 * phase + 1,
                width, out_height, out_width, SIDE,
            )
            _store_floats(
                out, blue, row, column, down, right, 0 * phase + 2,
                width, out_height, out_width, SIDE,
            )
    # fmt: on


@triton.jit
def _add_residual(
    total,
    picture,
    taps,
    row,
    column,
    phase,
    colour,
    picture_height,
    picture_width,
    STEP: tl.constexpr,
    TAP_SIDE: tl.constexpr,
    TAP_REACH: tl.constexpr,
    TAP_DEPTH: tl.constexpr,
    PHASES: tl.constexpr,
    PLANES: tl.constexpr,
    TAP_BLOCK: tl.constexpr,
):
    """The interpolated image, of all colours or of one, added to the phases of positions."""
    if TAP_SIDE > 0:
        for start in tl.static_range(0, TAP_DEPTH, TAP_BLOCK):
            k = start + tl.arange(0, TAP_BLOCK)
            across = k % (PLANES * TAP_SIDE)
            y = row * STEP + k // (PLANES * TAP_SIDE) - TAP_REACH
            y = tl.minimum(tl.maximum(y, 0), picture_height - 1)
            x = column[:, None] * STEP + (across // PLANES)[None, :] - TAP_REACH
            x = tl.minimum(tl.maximum(x, 0), picture_width - 1)
            begin = y.to(tl.int64) * picture_width * 3 + colour + across % PLANES
            known = (k < PLANES * TAP_SIDE * TAP_SIDE)[None, :]
            sight = tl.load(picture + begin[None, :] + x * 3, mask=known, other=0.0)
            part = tl.load(taps + k[:, None] * PHASES + phase[None, :])
            total = tl.dot(sight, part, total, input_precision="tf32x3")
    return total


@triton.jit
def _levels(total):
    """Clamped to bytes and rounded half to even."""
    level = tl.minimum(tl.maximum(total, 0.0), 255.0)
    return ((level + 8388608.0) - 8388608.0).to(tl.int32)  # from 2**23 on floats are whole


@triton.jit
def _bytes_of(
    total,
    colour: tl.constexpr,
    which: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_PHASES: tl.constexpr,
):
    """What one colour of four pixels beside each other puts into one of their three words."""
    four = tl.reshape(_levels(total), (BLOCK, BLOCK_PHASES // 4, 4))
    byte = 3 * tl.arange(0, 4) + colour
    shifted = four << (8 * (byte % 4))[None, None, :]
    return tl.sum(tl.where((byte // 4 == which)[None, None, :], shifted, 0), axis=2)


@triton.jit
def _store_words(out, words, row, column, word, width, out_height, out_width, SIDE: tl.constexpr):
    """Words (positions, words of a position): the rows of its pixels, one after the other."""
    row_words: tl.constexpr = 3 * SIDE // 4
    y = row * SIDE + word // row_words
    x = column[:, None] * row_words + (word % row_words)[None, :]
    written = (x < out_width // 4 * 3) & (column < width)[:, None]
    written = written & ((word < row_words * SIDE) & (y < out_height))[None, :]
    begin = y.to(tl.int64) * (out_width // 4 * 3)
    tl.store(out + begin[None, :] + x, words, mask=written)


@triton.jit
def _store_floats(
    out,
    total,
    row,
    column,
    down,
    right,
    colour,
    width,
    out_height,
    out_width,
    SIDE: tl.constexpr,
):
    """Phases at ``down`` and ``right`` of their positions, as pixels of ``colour``."""
    y = row * SIDE + down
    x = column[:, None] * SIDE + right[None, :]
    written = (x < out_width) & (column < width)[:, None]
    written = written & ((down < SIDE) & (y < out_height))[None, :]
    begin = (colour.to(tl.int64) * out_height + y) * out_width
    tl.store(out + begin[None, :] + x, total.to(out.dtype.element_ty), mask=written)
