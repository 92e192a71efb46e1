"""Families of teachers: how each is recognized, loaded and trained, and where its features are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from nas.common.errors import InputError
from nas.common.registry import Registry
from search_spaces.model_file import SUFFIX, is_model, load_model
from search_spaces.networks.network import Network
from teachers import spandrel
from teachers.hat import adapter as hat
from teachers.hat.network import HAT


@dataclass(frozen=True, slots=True)
class TeacherFamily:
    """One kind of network that can teach.

    Attributes:
        network: class of its networks.
        matches: whether a file with these tensors is of this family.
        load: name and network of such a file; raises InputError, naming the file.
        feature_layers: layers whose outputs are features at about LR resolution, in order.
        feature_map: output of such a layer and LR batch -> (N, C, H, W).
        presets: name -> new network with random weights; empty if it cannot be trained here.
    """

    network: type[nn.Module]
    matches: Callable[[Path, Mapping[str, Tensor]], bool]
    load: Callable[[Path, Mapping[str, Tensor]], tuple[str, nn.Module]]
    feature_layers: Callable[..., Sequence[nn.Module]]
    feature_map: Callable[[Tensor, Tensor], Tensor] = lambda output, lr: output
    presets: Mapping[str, Callable[[], nn.Module]] = field(default_factory=dict)


families: Registry[TeacherFamily] = Registry("teacher family")
"""In the order in which they are tried; what none of them matches is left to spandrel."""


def _load_model(path: Path, tensors: Mapping[str, Tensor]) -> tuple[str, nn.Module]:
    model = load_model(path)
    return model.name, model.network


families.add(
    "workbench",
    TeacherFamily(
        Network,
        lambda path, tensors: path.suffix == SUFFIX and is_model(path),
        _load_model,
        lambda network: list(network.body) or [network.stem],
    ),
)
families.add(
    "hat",
    TeacherFamily(
        HAT, hat.matches, hat.load, hat.feature_layers, hat.feature_map, presets=hat.PRESETS
    ),
)
_SPANDREL = TeacherFamily(
    nn.Module, lambda path, tensors: True, spandrel.load, spandrel.convolutions
)


def family_of_file(path: Path, tensors: Mapping[str, Tensor]) -> TeacherFamily:
    """Return the family of a file with these tensors."""
    return next((each for each in families.values() if each.matches(path, tensors)), _SPANDREL)


def family_of(network: nn.Module) -> TeacherFamily:
    """Return the family of a network."""
    return next((e for e in families.values() if isinstance(network, e.network)), _SPANDREL)


def new_teacher(preset: str) -> nn.Module:
    """A network with random weights, by the name of its preset in any case.

    Raises:
        InputError: there is no such preset.
    """
    presets = {name: make for each in families.values() for name, make in each.presets.items()}
    for name, make in presets.items():
        if name.lower() == preset.lower():
            return make()
    raise InputError(f"there is no teacher preset {preset!r}: choose from {', '.join(presets)}")
