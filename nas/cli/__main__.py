"""``python -m nas.cli``: what torchrun needs, the same as ``nas``."""

from nas.cli import main

main()
