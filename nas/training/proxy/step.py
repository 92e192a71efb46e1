"""One step of a proxy run, as kernels see it: what it moves, by how much, on which batch.

All that changes from step to step comes in tensors, and nothing of it is looked at from the CPU, so
that a GPU can replay the very same step (`nas.training.proxy.cuda_graph`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from nas.measure.latency.backends import compiled as by_compiler
from nas.training.data.patches import Choice, PatchBank, PatchBatch, cut
from nas.training.engine.optim import Ema, Muon, is_kernel
from nas.training.proxy.precision import Precision
from search_spaces.networks.network import Network
from search_spaces.networks.parts import LUMA, luma


class PhaseLoss:
    """Squared error of phases against truth and teacher.

    Fitting truth and teacher with weights 1 - w and w is, up to a constant, fitting their weighted
    mean: distillation by squared error costs nothing.

    Args:
        shuffle: factor r of the pixel-shuffle that the phases have before them.
        luma_weight: share of the luma error; the rest is that of RGB. No meaning for one plane.
        teacher_weight: share of the teacher in the target.
    """

    def __init__(self, shuffle: int, luma_weight: float, teacher_weight: float) -> None:
        self.shuffle, self.teacher_weight = shuffle, teacher_weight
        self._luma_weight = luma_weight

    def __call__(
        self,
        phases: Tensor,
        truths: Sequence[Tensor],
        taught: Sequence[Tensor] = (),
        *,
        pictures: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The loss of (N, 3 r^2, h, w) phases of RGB, or (N, r^2, h, w) of luma, and its gradient.

        Args:
            phases: detached from what made them.
            truths: uint8 pieces (n, 3, h r, w r) of N pictures.
            taught: the teacher's, in equal pieces, or none.
            pictures: how many the mean is over, if more than these.
        """
        made = phases.permute(0, 2, 3, 1).unflatten(-1, (-1, self.shuffle**2))
        planes = made.shape[-2]
        gradient = torch.empty(made.shape, dtype=made.dtype, device=made.device)
        scale = 2 / (made.numel() / planes / len(phases) * (pictures or len(phases)))
        share = self._luma_weight
        doubled: list[Tensor] = []
        done = 0
        for index, truth in enumerate(truths):
            part = slice(done, done + len(truth))
            done = part.stop
            target = target_phases(truth, self.shuffle)
            if taught and self.teacher_weight:
                target.lerp_(target_phases(taught[index], self.shuffle), self.teacher_weight)
            colours = target.unflatten(-1, (3, -1))
            if planes == 1:
                error = made[part] - _luma(colours)[..., None, :]
                weighted = torch.mul(error, scale, out=gradient[part])
            else:
                error = torch.sub(made[part], colours, out=colours)
                luma = _luma(error)
                weighted = torch.mul(error, scale * (1 - share) / 3, out=gradient[part])
                for channel, weight in enumerate(LUMA):
                    weighted[..., channel, :].add_(luma, alpha=scale * share * weight)
            doubled.append(torch.dot(weighted.flatten(), error.flatten()))
        return torch.stack(doubled).sum() / 2, gradient.flatten(3).permute(0, 3, 1, 2)


def _luma(colours: Tensor) -> Tensor:
    """(..., 3, r^2) to (..., r^2)."""
    luma = colours[..., 0, :] * LUMA[0]
    for channel in (1, 2):
        luma.add_(colours[..., channel, :], alpha=LUMA[channel])
    return luma


def target_phases(hr: Tensor, shuffle: int) -> Tensor:
    """Undo a pixel-shuffle: uint8 (N, 3, 4H, 4W) to (N, 4H/r, 4W/r, 3 r^2) floats in [0, 1].

    Four bytes beside each other stay so: they move as one word.
    """
    words = hr.contiguous().view(torch.int32)
    blocks = words.unflatten(-1, (-1, shuffle // 4)).unflatten(-3, (-1, shuffle))
    moved = blocks.permute(0, 2, 4, 1, 3, 5).contiguous()
    return moved.view(torch.uint8).flatten(3).to(torch.float32).div_(255)


WINDOW = 25
"""Steps that are planned together, and whose losses are looked at together: on a GPU each look
waits for all that runs there."""


class Learner:
    """A network, its moving average and the optimisers of both kinds of parameters.

    Attributes:
        network: what is trained, in place.
        ema: its moving average.

    Args:
        network: on the device, in the form to train.
        loss: what is minimised.
        clip: longest gradient.
        decay: of the average.
        grey: patches of each batch that lose their colours, where the network predicts colours.
        precision: number format of the features, and memory layout.
        compiled: have `torch.compile` make kernels for the features.
    """

    def __init__(
        self,
        network: Network,
        loss: PhaseLoss,
        *,
        clip: float,
        decay: float,
        grey: int = 0,
        precision: Precision | None = None,
        compiled: bool = False,
    ) -> None:
        self.precision = precision = precision or Precision()
        self.network = network.to(memory_format=precision.layout)  # type: ignore[call-overload]
        self.ema = Ema(network, decay)
        self._features = by_compiler(network.features) if compiled else network.features
        self._loss, self._clip = loss, clip
        self._grey = grey if network.architecture.planes == 3 else 0
        self._parameters = list(network.parameters())
        others = [p for p in self._parameters if not is_kernel(p)]
        self._muon = Muon(filter(is_kernel, self._parameters))
        self._device = device = self._parameters[0].device
        self._adam_rate = torch.zeros((), device=device)
        self._adam: torch.optim.Adam | None = None
        if others:
            self._adam = torch.optim.Adam(
                others,
                lr=self._adam_rate,
                betas=(0.9, 0.99),
                fused=True,
                capturable=device.type == "cuda",
            )

    def learn(self, batch: PatchBatch, rates: Tensor) -> Tensor:
        """Do one step and return its loss.

        Args:
            batch: what to learn from.
            rates: those of Muon and of Adam, and the share by which the average follows.
        """
        self.forget_gradients()
        batch = batch.greyed(self._grey)
        pictures = len(batch.lr)
        losses = []
        for lr, truths, taught in self._parts(batch):
            phases = self._phases(lr)
            loss, gradient = self._loss(phases.detach(), truths, taught, pictures=pictures)
            phases.backward(gradient)
            losses.append(loss)
        nn.utils.clip_grad_norm_(self._parameters, self._clip)
        muon_rate, adam_rate, share = rates.unbind()
        self._muon.step(muon_rate)
        if self._adam is not None:
            self._adam_rate.copy_(adam_rate)
            self._adam.step()
        self.ema.move(share)
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def forget_gradients(self) -> None:
        """Free the gradients of the last step."""
        for parameter in self._parameters:
            parameter.grad = None

    def forget_steps(self) -> None:
        """Let the optimisers begin anew, in the same places of memory; the weights stay."""
        moving = list(self._muon.means)
        if self._adam is not None:
            moving += [tensor for state in self._adam.state.values() for tensor in state.values()]
        for tensor in moving:
            tensor.zero_()

    def _phases(self, lr: Tensor) -> Tensor:
        x = network_input(lr, self.precision.layout)
        with self.precision.autocast(lr.device.type):
            features = self._features(x)
        return trained_phases(self.network, features.float(), x)

    def _parts(
        self, batch: PatchBatch
    ) -> Iterator[tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]]:
        """Large batches go through a CPU in parts: gradients of a sum are the sum of gradients."""
        most = max(1, _CPU_PIXELS // batch.lr[0, 0].numel())
        if len(batch.lr) <= most or len(batch.hr) < len(batch.lr):
            yield batch.lr, batch.hr, batch.teacher
            return
        for start in range(0, len(batch.lr), most):
            part = slice(start, start + most)
            yield batch.lr[part], batch.hr[part], batch.teacher[part]


_CPU_PIXELS = 16 * 64 * 64
"""LR pixels that go through the network at once. Beyond it tensors outgrow 32 MB, which glibc takes
from the system anew each time: 64 patches at once took 1.2 to 1.4 times as long a patch as 16."""


def network_input(lr: Tensor, layout: torch.memory_format = torch.channels_last) -> Tensor:
    """Make uint8 (N, 3, H, W) a network's input: float in [0, 1].

    The layout channels_last makes a CPU's convolutions of few channels up to twice as fast.
    """
    return lr.to(torch.float32, memory_format=layout).div_(255)


def trained_phases(network: Network, features: Tensor, x: Tensor) -> Tensor:
    """The phases that a loss compares, from features and input: of RGB, or of luma alone."""
    return network.reconstruct(features, x if network.architecture.planes == 3 else luma(x))


class Stepper(Protocol):
    """Does the steps of a window that was planned.

    Attributes:
        learner: what the steps move.
        losses: of the steps of the window, (`WINDOW`,).
        way: how steps run, in words.
    """

    learner: Learner
    losses: Tensor
    way: str

    def plan(self, choices: Sequence[Choice], rates: Sequence[tuple[float, float, float]]) -> None:
        """Begin a window: what each of its steps sees, and its rates."""

    def step(self) -> None:
        """Do the next step of the window."""


class Stepwise:
    """A CPU's way: each batch is cut as it is needed."""

    def __init__(self, learner: Learner, bank: PatchBank, patch: int) -> None:
        self.learner, self.losses, self.way = learner, torch.zeros(WINDOW), "step by step, fp32"
        self._bank, self._patch = bank, patch
        self._choices: Sequence[Choice] = ()
        self._rates = torch.zeros(0, 3)
        self._next = 0

    def plan(self, choices: Sequence[Choice], rates: Sequence[tuple[float, float, float]]) -> None:
        """Begin a window."""
        self._choices, self._rates, self._next = choices, torch.tensor(rates), 0

    def step(self) -> None:
        """Do the next step of the window."""
        batch = cut(self._bank, self._choices[self._next], self._patch)
        self.losses[self._next] = self.learner.learn(batch, self._rates[self._next])
        self._next += 1
