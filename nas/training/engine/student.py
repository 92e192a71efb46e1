"""What is trained: a network with the heads of a stage, and how stages change its form."""

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
"""Of squared errors of 0.0025, somewhat above what training starts with: no pixel is ignored."""


class Student(nn.Module):
    """A network, and beside it heads that are never deployed.

    Attributes:
        network: in training or deploy form.
        heads: by name; empty in most stages.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.heads = nn.ModuleDict()

    def trained(self) -> list[nn.Parameter]:
        """The parameters that move."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


def with_bias_if_removed_later(architecture: Architecture, recipe: Recipe) -> Architecture:
    """What the first stage trains: with biases, where a later one takes them away."""
    return replace(architecture, bias=True) if recipe.removes_bias else architecture


def initial_student(architecture: Architecture, seed: int) -> Student:
    """The form of a student in which its first stage finds it, with no thought for the weights."""
    return Student(training_form(architecture, seed))


def start_at_baseline(student: Student, lr: Tensor, hr: Tensor, seed: int) -> None:
    """Set the weights so that training starts at the interpolation baseline, or near it.

    The features carry the image where they can, and the tail is the best linear readout on some
    pictures: how the proxy run starts.

    Args:
        student: in its `initial_student`.
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
    """Set the weights so that the student computes what a trained model does.

    Raises:
        InputError: the model is another network.
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

    Folding changes nothing of what it computes; taking away biases does. ``seed`` is that of new
    heads.
    """
    network = student.network
    if stage.remove_bias and network.architecture.bias:
        network = without_bias(network)
    if stage.fold:
        network = fuse(network)
    changed = Student(network)
    a = network.architecture
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if stage.auxiliary_x2:
            changed.heads[HALF] = ImageHead(a, a.planes, 2)
        if any(losses[name].uncertain for name in stage.losses):
            changed.heads[VARIANCE] = _variance_head(a)
    changed.to(next(network.parameters()).device)
    for name, head in student.heads.items():  # go on with those that the stage before had
        if name in changed.heads:
            changed.heads[name].load_state_dict(head.state_dict())
    changed.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    set_trainable(changed, stage.freeze)
    return changed.train()


def _variance_head(architecture: Architecture) -> ImageHead:
    head = ImageHead(architecture, 1, 4)
    assert head.bias is not None
    nn.init.zeros_(head.weight)
    nn.init.constant_(head.bias, FIRST_LOG_VARIANCE)
    return head


def without_bias(network: Network) -> Network:
    """The same network, in the same form, without the biases that its description speaks of."""
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
    """Say which parameters the stage trains.

    Raises:
        InputError: a pattern fits none, or all are frozen.
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
