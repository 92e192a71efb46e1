"""The networks that the survey and its teams compare with, where their layout is public."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from search_spaces.architecture import Architecture, Stage, Tail


@dataclass(frozen=True, slots=True)
class ReferenceNetwork:
    """A comparator, exact in its deploy form."""

    name: str
    source: str
    architecture: Architecture
    params: int
    """Parameters of the deploy form, as in the public code or the survey."""
    note: str = ""


def _entries() -> Iterator[ReferenceNetwork]:
    yield ReferenceNetwork(
        "LRSRN",
        "Gankhuyag et al., CVPRW 2023",
        Architecture(
            width=32,
            stem_block="lrsrn",
            stages=(Stage("lrsrn", 32, 4),),
            activation="relu",
            skip="long",
            tail=Tail(block="lrsrn"),
        ),
        51_760,
    )
    for blocks, width, params in ((4, 16, 16_768), (4, 32, 51_920), (6, 40, 105_368)):
        yield ReferenceNetwork(
            f"ECBSR-M{blocks}C{width}",
            "Zhang et al., ACM MM 2021",
            Architecture(
                width=width,
                stem_block="ecb",
                stages=(Stage("ecb", width, blocks),),
                activation="prelu",
                tail=Tail(block="ecb"),
                residual="nearest",
            ),
            params,
            "The RGB form; published for luma.",
        )
    sizes = ((5, 16, 21_360), (4, 32, 54_112), (5, 24, 39_480), (6, 32, 72_608), (7, 48, 169_968))
    for blocks, width, params in sizes:
        yield ReferenceNetwork(
            f"ETDS-M{blocks}C{width}",
            "Chao et al., CVPR 2023",
            Architecture(
                width=width,
                stem_block="etds_stem",
                stages=(Stage("etds", width, blocks),),
                activation="relu",
                tail=Tail(block="etds_clip"),
            ),
            params,
            "The team Megastudy's control." if (blocks, width) == (5, 24) else "",
        )
    yield ReferenceNetwork(
        "Bicubic++",
        "Bilecen and Ayazoglu, CVPRW 2023",
        Architecture(
            stem="strided2",
            width=32,
            stages=(Stage("conv", 32, 2),),
            activation="leaky_relu",
            bias=False,
            skip="long",
        ),
        74_592,
    )
    yield ReferenceNetwork(
        "SAFMN",
        "Sun et al., ICCV 2023",
        Architecture(
            width=36,
            stem_activation=False,
            stages=(Stage("safmn", 36, 8),),
            activation="none",
            skip="long",
        ),
        239_520,
    )
    yield ReferenceNetwork(
        "SPAN",
        "Wan et al., CVPRW 2024",
        Architecture(
            width=48,
            stem_block="conv3xc",
            stem_activation=False,
            stages=(Stage("span_body", 48),),
            activation="none",
        ),
        426_288,
        "On [0, 1], without the public code's mean shift and scale of 255.",
    )
    yield ReferenceNetwork(
        "RLFN",
        "Kong et al., CVPRW 2022",
        Architecture(
            width=46,
            stem_activation=False,
            stages=(Stage("rlfb", 46, 4), Stage("flat", 46)),
            activation="none",
            skip="long",
        ),
        317_218,
        "The NTIRE 2022 entry, which the survey's comparison uses.",
    )
    yield ReferenceNetwork(
        "RFDN",
        "Liu et al., AIM 2020",
        Architecture(
            width=50,
            stem_activation=False,
            stages=(Stage("rfdn_body", 50), Stage("flat", 50)),
            activation="none",
            skip="long",
        ),
        433_448,
    )
    yield ReferenceNetwork(
        "IMDN",
        "Hui et al., ACM MM 2019",
        Architecture(
            width=64,
            stem_activation=False,
            stages=(Stage("imdb", 64, 8), Stage("flat", 64)),
            activation="none",
            skip="long",
        ),
        893_936,
        "The simplified form of the NTIRE 2022 baseline, which the survey's comparison uses.",
    )


references: Mapping[str, ReferenceNetwork] = MappingProxyType({n.name: n for n in _entries()})
"""Name -> network."""
