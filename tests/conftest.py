"""What every test shares."""

from __future__ import annotations

import os

# The tensors here are tiny: a second thread only waits, and on a busy machine it spins.
os.environ.setdefault("OMP_NUM_THREADS", "1")
