"""The end of a network as one CUDA kernel, in Triton.

Import this only where Triton is installed. With ``TRITON_INTERPRET=1`` in the environment before
that, it runs on a CPU, slowly.
"""

# Triton's compiler reads the annotations: those of its compile-time constants are all there can be.
# ruff: noqa: ANN001, ANN201
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def end_kernel(
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
    what each of them sees, by what it sees times phases. Phases are ordered (row, column, colour).
    In float32 the first is done as cuDNN does convolutions, in TF32; the picture keeps its digits.
    Without tensor cores both would be unrolled to 50,000 instructions, half a minute to compile.

    What it reads and writes lies in memory without gaps::

        features: (height, width, CHANNELS), zero beyond its borders.
        weight: (KERNEL, KERNEL, DEPTH, PHASES), channels and phases padded with zeros.
        bias: (PHASES).
        picture: (picture_height, picture_width, 3), its border repeated beyond; STEP pixels a side
            are one position. Not read where TAP_SIDE is 0.
        taps: (TAP_DEPTH, PHASES) of the residual: rows are (down, right, colour) of TAP_SIDE pixels
            a side, padded with zeros; the first is TAP_REACH above and left of the position.
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

    if TAP_SIDE > 0:
        for start in tl.static_range(0, TAP_DEPTH, TAP_BLOCK):
            k = start + tl.arange(0, TAP_BLOCK)
            across = k % (3 * TAP_SIDE)
            y = row * STEP + k // (3 * TAP_SIDE) - TAP_REACH
            y = tl.minimum(tl.maximum(y, 0), picture_height - 1)
            x = column[:, None] * STEP + (across // 3)[None, :] - TAP_REACH
            x = tl.minimum(tl.maximum(x, 0), picture_width - 1)
            begin = y.to(tl.int64) * picture_width * 3 + across % 3
            known = (k < 3 * TAP_SIDE * TAP_SIDE)[None, :]
            sight = tl.load(picture + begin[None, :] + x * 3, mask=known, other=0.0)
            part = tl.load(taps + k[:, None] * PHASES + phase[None, :])
            total = tl.dot(sight, part, total, input_precision="tf32x3")

    total += tl.load(bias + phase)[None, :]
    if BYTES:
        # Four bytes of a row of the result are stored as one word.
        level = tl.minimum(tl.maximum(total, 0.0), 255.0)
        level = (level + 8388608.0) - 8388608.0  # 2**23, beyond which float32 holds whole numbers
        four = tl.reshape(level.to(tl.int32), (BLOCK, BLOCK_PHASES // 4, 4))
        words = tl.sum(four << (8 * tl.arange(0, 4))[None, None, :], axis=2)
        word = tl.program_id(1) * (BLOCK_PHASES // 4) + tl.arange(0, BLOCK_PHASES // 4)
        row_words: tl.constexpr = 3 * SIDE // 4
        y = row * SIDE + word // row_words
        x = column[:, None] * row_words + (word % row_words)[None, :]
        written = (x < out_width // 4 * 3) & (column < width)[:, None]
        written = written & ((word < row_words * SIDE) & (y < out_height))[None, :]
        begin = y.to(tl.int64) * (out_width // 4 * 3)
        tl.store(out + begin[None, :] + x, words, mask=written)
    else:
        across = phase % (3 * SIDE)
        y = row * SIDE + phase // (3 * SIDE)
        x = column[:, None] * SIDE + (across // 3)[None, :]
        written = (x < out_width) & (column < width)[:, None]
        written = written & ((phase < 3 * SIDE * SIDE) & (y < out_height))[None, :]
        begin = ((across % 3).to(tl.int64) * out_height + y) * out_width
        tl.store(out + begin[None, :] + x, total.to(out.dtype.element_ty), mask=written)
