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
from nas.training.core.optim import Ema, Optimizer
from nas.training.core.precision import Precision
from nas.training.data.patches import Choice, PatchBank, PatchBatch, cut
from nas.training.losses.phases import PhaseLoss, network_input, trained_phases
from search_spaces.networks.network import Network

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
        self._optimizer = Optimizer(self._parameters, tensor_rates=True)

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
        lr, adam_lr, share = rates.unbind()
        self._optimizer.step(lr, adam_lr)
        self.ema.move(share)
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def forget_gradients(self) -> None:
        """Free the gradients of the last step."""
        for parameter in self._parameters:
            parameter.grad = None

    def reset_optimizer(self) -> None:
        """Zero the optimizer's state in place; the weights stay."""
        self._optimizer.reset_state()

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
