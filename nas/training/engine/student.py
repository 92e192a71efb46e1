"""Student: a network with the training-only heads of a stage, and its form in each stage."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from nas.common.errors import InputError
from nas.training.core.calibration import calibrate
from nas.training.losses.losses import losses
from nas.training.recipe.recipe import Recipe
from nas.training.recipe.stage import Stage
from search_spaces.architecture import Architecture
from search_spaces.blocks import Foldable
from search_spaces.model_file import Model
from search_spaces.networks.factory import fuse, layout
from search_spaces.networks.init import initialize
from search_spaces.networks.network import ImageHead, Network
from search_spaces.networks.unfold import load_deploy_weights, training_form

HALF = "x2"
VARIANCE = "log_variance"

FIRST_LOG_VARIANCE = -6.0
"""Squared errors of 0.0025, slightly more than at the start, so that no pixel is ignored."""


class Student(nn.Module):
    """A network in training or deploy form, and heads that are never deployed."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.heads = nn.ModuleDict()

    def trained(self) -> list[nn.Parameter]:
        """Parameters that require gradients."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


def with_bias_if_removed_later(architecture: Architecture, recipe: Recipe) -> Architecture:
    """The architecture of the first stage: with biases if a later stage removes them."""
    return replace(architecture, bias=True) if recipe.removes_bias else architecture


def initial_student(architecture: Architecture, seed: int) -> Student:
    """A student in training form, with random weights."""
    return Student(training_form(architecture, seed))


def start_at_baseline(student: Student, lr: Tensor, hr: Tensor, seed: int) -> None:
    """Set the weights so that training starts at the interpolation baseline, or near it.

    The features pass the image through where they can, and the tail is the best linear readout
    of them on some crops, as in the proxy run.

    Args:
        student: from `initial_student`.
        lr: (N, 3, H, W) floats in [0, 1], sides multiples of the working factor.
        hr: (N, 3, 4H, 4W) floats.
        seed: of the random kernels.
    """
    deploy = fuse(student.network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        initialize(deploy)
    calibrate(deploy, lr, hr)
    load_deploy_weights(student.network, deploy)


def start_from(student: Student, model: Model) -> None:
    """Set the weights so that the student computes the same as a trained model.

    Raises:
        InputError: the model has other layers.
    """
    theirs, ours = model.architecture, student.network.architecture
    same = layout(replace(theirs, bias=True)) == layout(replace(ours, bias=True))
    if not same or (theirs.bias and not ours.bias):
        raise InputError(
            f"--start {model.name} is {layout(theirs).label}, which is not the network to train "
            f"({layout(ours).label}): start from a model with the same layers"
        )
    load_deploy_weights(student.network, model.network)


def enter_stage(student: Student, stage: Stage, seed: int) -> Student:
    """The student in the form that a stage trains.

    Folding does not change its output; removing biases does. ``seed`` is for new heads.
    """
    network = student.network
    if stage.remove_bias and network.architecture.bias:
        network = without_bias(network)
    if stage.fold:
        network = fuse(network)
    entered = Student(network)
    a = network.architecture
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if stage.auxiliary_x2:
            entered.heads[HALF] = ImageHead(a, a.planes, 2)
        if any(losses[name].uncertain for name in stage.losses):
            entered.heads[VARIANCE] = _variance_head(a)
    entered.to(next(network.parameters()).device)
    for name, head in student.heads.items():  # continue with those of the previous stage
        if name in entered.heads:
            entered.heads[name].load_state_dict(head.state_dict())
    entered.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    set_trainable(entered, stage.freeze)
    return entered.train()


def _variance_head(architecture: Architecture) -> ImageHead:
    head = ImageHead(architecture, 1, 4)
    assert head.bias is not None
    nn.init.zeros_(head.weight)
    nn.init.constant_(head.bias, FIRST_LOG_VARIANCE)
    return head


def without_bias(network: Network) -> Network:
    """The same network, in the same form, without the biases of its description."""
    bare = replace(network.architecture, bias=False)
    fresh = training_form(bare, 0)
    if _is_folded(network):
        fresh = fuse(fresh)
    state = network.state_dict()
    kept = {name: state[name] for name in fresh.state_dict()}
    if "tail.0.bias" in kept:  # a folded clipped tail is stored as 1 - y
        kept["tail.0.bias"] = torch.ones_like(kept["tail.0.bias"])
    fresh.load_state_dict(kept)
    return fresh.to(next(network.parameters()).device)


def _is_folded(network: Network) -> bool:
    """Whether a network is in deploy form."""
    return not any(isinstance(module, Foldable) for module in network.modules())


def set_trainable(student: Student, freeze: tuple[str, ...]) -> None:
    """Freeze parameters by patterns of names.

    Raises:
        InputError: a pattern matches none, or all are frozen.
    """
    student.requires_grad_(True)
    names = [name for name, _ in student.network.named_parameters()]
    for pattern in freeze:
        if not any(fnmatchcase(name, pattern) for name in names):
            shown = ", ".join(sorted({name.split(".")[0] + ".*" for name in names}))
            raise InputError(f"freeze: '{pattern}' fits no parameter of the network; try {shown}")
    # The 1x1 behind a folded clipped tail is a constant, 1 - y.
    constant = ("tail.2.*",) if isinstance(student.network.tail, nn.Sequential) else ()
    for name, parameter in student.network.named_parameters():
        if any(fnmatchcase(name, pattern) for pattern in (*freeze, *constant)):
            parameter.requires_grad_(False)
    if not student.trained():
        raise InputError("freeze: everything is frozen, so there is nothing to train")
