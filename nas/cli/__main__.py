"""``python -m nas.cli``: the same as ``nas``, for torchrun."""

from nas.cli import main

main()
