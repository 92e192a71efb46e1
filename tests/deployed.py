"""Deploy forms to try: the survey's networks, with weights that all take part."""

from __future__ import annotations

import torch

from search_spaces import Architecture, Stage, Tail, build, fuse, published
from search_spaces.zoo.references import references

LUMA = {
    "luma": {"residual": "bicubic"},
    "luma of luma": {"residual": "lanczos", "inputs": "luma", "tail": Tail(kernel=1)},
    "luma, unshuffled": {"stem": "unshuffle2", "residual": "nearest"},
    "luma of luma, unshuffled": {"stem": "unshuffle3", "residual": "bilinear", "inputs": "luma"},
    "luma, strided cascade": {"stem": "strided2", "residual": "bicubic", "tail": Tail(cascade=3)},
}
"""Networks that predict one plane, of each kind of end."""

NETWORKS = (
    {name: each.architecture for name, each in published.items()}
    | {name: references[name].architecture for name in ("ECBSR-M4C16", "ETDS-M5C16", "LRSRN")}
    | {
        name: Architecture(width=8, stages=(Stage("conv", 8),), output="luma", **fields)
        for name, fields in LUMA.items()
    }
)

ENDS = ("RepTCN", "ANUNet", "CASR", "VPEG-R", "URPNet", "Lanczos++", "ETDS-M5C16", *LUMA)
"""One of each kind of end, where all networks would take minutes to compile."""


def trained(architecture):
    """A deploy form whose every weight takes part: a fresh one has tails of zeros."""
    network = fuse(build(architecture, seed=0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if not name.startswith(("tail.2", "lift.1.2")):  # the 1x1 of a clamp is no weight
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.02)
    return network
