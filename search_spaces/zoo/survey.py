"""The survey's 17 networks as architectures, with the figures of its Table 1.

Table 1 of "Real-Time 4K Super-Resolution of Compressed AVIF Images" (Conde et al., AIS 2024):
LR 960x540 to 3840x2160 on an RTX 4090 in FP16. Only RVSR, VPEG-S, ANUNet and CASR have public code;
the others are inferred from the survey's text and counts, and each entry's note says what the
counts cannot tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from search_spaces.architecture import Architecture, Stage, Tail

Fidelity = Literal["exact", "inferred", "approximate"]


@dataclass(frozen=True, slots=True)
class Table1:
    """One row of Table 1. PSNR in dB and SSIM pairs are means over 110 images at a QP."""

    score: float | None
    gain_db: float
    """Mean over QP31 and QP63 of the PSNR-Y above Lanczos (URPNet's is recomputed)."""
    macs_g: float
    runtime_ms: float
    params_m: float
    psnr_rgb_qp31: float
    psnr_rgb_qp63: float
    psnr_y_qp31: float
    psnr_y_qp63: float
    ssim_rgb_qp31: float
    ssim_rgb_qp63: float
    ssim_y_qp31: float
    ssim_y_qp63: float


@dataclass(frozen=True, slots=True)
class PublishedNetwork:
    """A network of the survey and what is known of it.

    ``exact``: public code or checkpoint agrees. ``inferred``: no code, the layout is solved from
    the published counts. ``approximate``: no natural layout meets the counts.
    """

    name: str
    team: str
    section: str
    architecture: Architecture
    fidelity: Fidelity
    note: str
    table1: Table1

    def agrees_params(self, params: int) -> bool:
        """Whether a count of parameters prints as Table 1 does, in M with three decimals."""
        return prints_as(params / 1e6, self.table1.params_m, 0.001, may_be_cut=self._may_be_cut)

    def agrees_macs(self, *macs: int) -> bool:
        """Whether one of several counts of MACs prints as Table 1 does, in G with three digits.

        Give the convolutions' and the challenge's count: its hooks add one for each output of a
        ReLU-type module and see none that a team calls as a function, so a row holds either.
        """
        printed = self.table1.macs_g
        unit = 10.0 ** (math.floor(math.log10(printed)) - 2)
        return any(
            prints_as(count / 1e9, printed, unit, may_be_cut=self._may_be_cut) for count in macs
        )

    @property
    def _may_be_cut(self) -> bool:
        """An approximate layout was chosen for its counts: cutting is no evidence for it."""
        return self.fidelity != "approximate"


def prints_as(value: float, printed: float, unit: float, *, may_be_cut: bool = True) -> bool:
    """Whether ``value`` rounds to ``printed`` in units of its last digit, or is cut to it.

    The survey rounds, but cuts figures of ANUNet, URPNet, IVP, IMDN and RLFN.
    """
    cut = may_be_cut and 0 <= value - printed < unit
    return cut or abs(value - printed) <= unit / 2


def _entries() -> Iterator[PublishedNetwork]:
    yield PublishedNetwork(
        "BasicVision",
        "BasicVision",
        "3.10",
        Architecture(width=16, stages=(Stage("ecb", 16, 2),), activation="gelu"),
        "inferred",
        "Activation (GELU as in the team's later work), bias and the middle block are guesses.",
        Table1(
            27.27, 0.350, 6.20, 0.874, 0.012, 30.85, 26.83, 33.30, 29.27, 0.807, 0.719, 0.850, 0.777
        ),
    )
    yield PublishedNetwork(
        "CMVG",
        "CMVG",
        "3.10",
        Architecture(width=14, stages=(Stage("ecb", 14, 2),), activation="gelu"),
        "inferred",
        "KREN's student; activation and bias are guesses.",
        Table1(
            27.55, 0.330, 5.16, 0.833, 0.010, 30.84, 26.82, 33.27, 29.26, 0.807, 0.719, 0.849, 0.777
        ),
    )
    yield PublishedNetwork(
        "IVP",
        "IVP",
        "3.10",
        Architecture(width=14, stages=(Stage("ecb", 14, 3),), activation="gelu"),
        "inferred",
        "RDEN; activation and bias are guesses. The x2 head of its training is not deployed.",
        Table1(
            27.08, 0.365, 6.07, 0.905, 0.011, 30.85, 26.83, 33.33, 29.27, 0.808, 0.719, 0.851, 0.777
        ),
    )
    yield PublishedNetwork(
        "RVSR",
        "XJTU-AIR",
        "3.5",
        Architecture(
            width=16,
            stem_activation=False,
            stages=(Stage("repvit", 16, 8),),
            activation="none",
            skip="long",
            neck="rvsr",
            tail=Tail(kernel=1),
            residual="bilinear",
        ),
        "exact",
        "Works on [0, 1] where the public code maps to [-1, 1]: the same family of functions "
        "except for what zero padding means at the border.",
        Table1(
            12.00, 0.720, 15.6, 7.542, 0.033, 31.52, 27.01, 33.88, 29.43, 0.820, 0.725, 0.859, 0.781
        ),
    )
    yield PublishedNetwork(
        "VPEG-R",
        "VPEG",
        "3.3",
        Architecture(
            stem="unshuffle2",
            width=6,
            stem_activation=False,
            stages=(Stage("reprb", 6, 3),),
            activation="relu",
        ),
        "inferred",
        "RepRB's branches stand in a figure only; ReLU could be another ReLU-like activation.",
        Table1(
            25.77, 0.100, 1.56, 0.692, 0.012, 30.59, 26.70, 32.94, 29.13, 0.803, 0.714, 0.845, 0.773
        ),
    )
    yield PublishedNetwork(
        "VPEG-S",
        "VPEG",
        "3.3",
        Architecture(
            width=32,
            stem_activation=False,
            stages=(Stage("safmnpp", 32, 2),),
            activation="none",
            bias=False,
            skip="long",
        ),
        "exact",
        "SAFMN++.",
        Table1(
            16.15, 0.735, 34.2, 4.251, 0.066, 31.57, 26.99, 33.93, 29.41, 0.821, 0.725, 0.859, 0.781
        ),
    )
    yield PublishedNetwork(
        "ANUNet",
        "LeRTSR",
        "3.6",
        Architecture(
            stem="unshuffle2",
            width=28,
            stem_block="ecb",
            stages=(Stage("nrb", 28, 3),),
            activation="gelu",
            tail=Tail(block="ecb"),
            residual="nearest",
        ),
        "exact",
        "Deploy form exact; the inner eECB of NRB has unpublished branches in training.",
        Table1(
            22.77, 0.545, 9.40, 1.642, 0.072, 31.27, 26.86, 33.66, 29.30, 0.814, 0.719, 0.855, 0.778
        ),
    )
    yield PublishedNetwork(
        "RESR",
        "FZUQXT",
        "3.7",
        Architecture(
            stem="unshuffle2",
            width=32,
            stem_block="resr",
            stages=(Stage("resr", 32, 3),),
            activation="relu",
            tail=Tail(cascade=8, block="resr"),
        ),
        "inferred",
        "Skips and the kind of ReLU are guesses; the block's exact widths stand in a figure only.",
        Table1(
            28.68, 0.455, 7.04, 0.914, 0.044, 31.16, 26.87, 33.50, 29.28, 0.813, 0.720, 0.853, 0.777
        ),
    )
    yield PublishedNetwork(
        "Megastudy",
        "MegastudyEdu",
        "3.11",
        Architecture(
            inputs="gradient",
            width=24,
            stem_block="etds_ecb_stem",
            stages=(Stage("etds_ecb", 24, 5),),
            activation="relu",
            tail=Tail(block="etds_ecb_clip"),
        ),
        "inferred",
        "ETDS + FEM + ECB; the gradient operator and its share of the stem are guesses. Keeps the "
        "1x1 clamp convolution, 1.19 G of the published MACs for what a clamp does.",
        Table1(
            13.12, 0.210, 20.7, 3.109, 0.040, 30.76, 26.87, 33.01, 29.28, 0.801, 0.721, 0.842, 0.778
        ),
    )
    yield PublishedNetwork(
        "CASR",
        "Z6",
        "3.4",
        Architecture(
            stem="unshuffle3",
            width=32,
            stem_block="casr",
            stages=(Stage("casr", 32, 1),),
            activation="gelu",
            bias=False,
            tail=Tail(cascade=3, block="casr", activation=False),
            residual="lr",
        ),
        "exact",
        "The bias-free form of its last training stage.",
        Table1(
            33.70, 0.205, 2.10, 0.468, 0.026, 30.64, 26.71, 33.11, 29.17, 0.806, 0.715, 0.848, 0.774
        ),
    )
    yield PublishedNetwork(
        "XiaomiMM",
        "XiaomiMM",
        "3.8",
        Architecture(
            width=16,
            stem_block="conv3xc",
            stages=(Stage("spab", 16, 2),),
            activation="silu",
            skip="concat",
            neck="conv3xc",
            tail=Tail(block="conv3xc"),
        ),
        "approximate",
        "SPAN-R: no natural layout meets its counts; this one, after the survey's equations, has "
        "0.47 % more MACs than published.",
        Table1(
            18.60, 0.690, 13.3, 3.010, 0.026, 31.41, 26.96, 33.85, 29.40, 0.819, 0.725, 0.857, 0.781
        ),
    )
    yield PublishedNetwork(
        "Team C3",
        "XiaomiMM C3",
        "3.8",
        Architecture(width=32, stages=(Stage("conv", 32, 1),), activation="relu"),
        "inferred",
        "Equal widths assumed; the activation is a guess.",
        Table1(
            20.35, 0.500, 12.4, 1.932, 0.024, 31.12, 26.90, 33.52, 29.35, 0.813, 0.723, 0.853, 0.780
        ),
    )
    yield PublishedNetwork(
        "USTC Noah",
        "USTC Noah Terminal Vision",
        "3.9",
        Architecture(
            stem="strided2x4",
            width=32,
            stem_block="dconv",
            stages=(Stage("dconv", 32, 2),),
            activation="gelu",
            bias=False,
            tail=Tail(cascade=16, block="dconv"),
        ),
        "inferred",
        "DConv's formulas, the activation and skips are guesses.",
        Table1(
            25.63, 0.485, 8.56, 1.193, 0.045, 31.18, 26.90, 33.52, 29.32, 0.814, 0.722, 0.854, 0.779
        ),
    )
    yield PublishedNetwork(
        "Lanczos++",
        "ZXVIP",
        "3.2",
        Architecture(
            stem="unshuffle3",
            width=32,
            stem_block="lanczospp",
            activation="relu",
            bias=False,
            tail=Tail(kernel=1),
        ),
        "inferred",
        "Depth and width are not unique: a deeper, narrower layout meets the counts as well.",
        Table1(
            33.24, 0.070, 1.25, 0.399, 0.022, 30.55, 26.71, 32.88, 29.13, 0.800, 0.714, 0.843, 0.772
        ),
    )
    yield PublishedNetwork(
        "PixelArtAI",
        "PixelArtAI",
        "3.1",
        Architecture(stem="strided2", width=32, stages=(Stage("ecb", 32, 2),), activation="relu"),
        "inferred",
        "Bias and the kind of ReLU are guesses.",
        Table1(
            33.32, 0.395, 9.68, 0.623, 0.075, 31.06, 26.84, 33.40, 29.26, 0.811, 0.719, 0.852, 0.777
        ),
    )
    yield PublishedNetwork(
        "RepTCN",
        "CameraAI",
        "3.1",
        Architecture(width=16, stages=(Stage("reprfn", 16, 1),), activation="relu", bias=False),
        "inferred",
        "The bias-free form of its last training stage.",
        Table1(
            30.91, 0.355, 5.02, 0.685, 0.010, 30.97, 26.83, 33.31, 29.27, 0.809, 0.719, 0.850, 0.777
        ),
    )
    yield PublishedNetwork(
        "URPNet",
        "402Lab",
        "3.12",
        Architecture(
            stem="unshuffle2",
            width=32,
            stem_block="lrsrn",
            activation="relu",
            bias=False,
            tail=Tail(kernel=1),
        ),
        "inferred",
        "Its RepConv is taken to be LRSRN's. Below Lanczos in PSNR-Y, hence without a score.",
        Table1(
            None, -0.080, 1.24, 0.621, 0.009, 30.33, 26.65, 32.64, 29.07, 0.798, 0.713, 0.842, 0.773
        ),
    )


published: Mapping[str, PublishedNetwork] = MappingProxyType({n.name: n for n in _entries()})
"""Name -> network, in the order of Table 1."""
