"""Memory of maps is kept for the next ones: the system soon maps their pages no longer again.

"Soon": small objects that come to lie in a freed map's place make the next map find another one. By
where a process happened to be loaded, up to eight such places were seen.
"""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

MAPS = """
import resource, torch
{first}
for _ in range(20):
    torch.ones(10_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(10_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(first: str) -> int:
    code = MAPS.format(first=first)
    return int(subprocess.check_output([sys.executable, "-c", code], text=True))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
@pytest.mark.parametrize(
    "user",
    [
        "from nas.measure.device import keep_memory; keep_memory()",
        "from nas.measure.latency.measure import ANCHOR_NETWORK, measure_cpu; "
        "measure_cpu(ANCHOR_NETWORK, height=8, width=8, rounds=1)",
        "from nas.deploy.models import find_model; from nas.deploy.upscale import ready; "
        "ready(find_model('avif4x').network, 'cpu')",
    ],
    ids=["asked for", "measuring", "upscaling"],
)
def test_pages_of_large_maps_are_soon_mapped_no_more(user):
    assert faults(user) < 0.1 * faults("")
