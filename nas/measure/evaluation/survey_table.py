"""The survey's Table 1 counted again: costs here beside the published ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nas.measure.cost import counts
from nas.measure.cost.cost import organiser_macs
from nas.measure.latency.predict import LatencyModel
from search_spaces.architecture import Architecture
from search_spaces.zoo.survey import PublishedNetwork, published


@dataclass(frozen=True, slots=True)
class Count:
    """One network at 540x960: what `nas.measure.cost.cost` says, without the tools beside it."""

    params: int
    macs: int
    macs_organiser: int
    runtime_ms: float
    """Predicted."""
    memory_mb: float
    """Computed peak of an eager pass in FP16, in units of 1e6 bytes."""


@dataclass(frozen=True, slots=True)
class Row:
    """A network of Table 1 and its counts here."""

    network: PublishedNetwork
    count: Count

    @property
    def agrees_params(self) -> bool:
        """Whether the parameters print as published."""
        return self.network.agrees_params(self.count.params)

    @property
    def agrees_macs(self) -> bool:
        """Whether one of the two counts of MACs prints as published."""
        return self.network.agrees_macs(self.count.macs, self.count.macs_organiser)

    @property
    def macs_difference(self) -> float:
        """How far the nearer count of MACs lies from the published figure, as a fraction."""
        figure = self.network.table1.macs_g * 1e9
        nearer = min(
            (self.count.macs, self.count.macs_organiser), key=lambda count: abs(count - figure)
        )
        return nearer / figure - 1


def table1(model: LatencyModel) -> Iterator[Row]:
    """Count the survey's networks one after the other."""
    for network in published.values():
        yield Row(network, count(network.architecture, model))


def count(architecture: Architecture, model: LatencyModel) -> Count:
    """Count the deploy form of one architecture and predict its runtime from the same trace."""
    counted = counts.count(architecture)
    return Count(
        params=counted.params,
        macs=counted.macs,
        macs_organiser=organiser_macs(counted.layers),
        runtime_ms=model.predict_ms(counted.layers),
        memory_mb=counted.memory_mb,
    )
