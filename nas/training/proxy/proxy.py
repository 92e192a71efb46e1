"""The proxy run: a short distilled training that ranks one candidate."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from nas.common.errors import InputError
from nas.common.text import Progress, silent
from nas.data.store import PairSet
from nas.data.windows import windows
from nas.measure.device_lock import Turns
from nas.measure.quality import PictureLike, Quality, evaluate
from nas.training.core.calibration import calibrate
from nas.training.data.patches import PatchBank, choose, cut_patches, draw
from nas.training.losses.phases import PhaseLoss, network_input
from nas.training.proxy.cuda_graph import Tabled, Way, fastest
from nas.training.proxy.step import WINDOW, Learner, Stepper, Stepwise
from nas.training.recipe.schedules import warmed_cosine
from search_spaces.architecture import Architecture
from search_spaces.model_file import model_bytes
from search_spaces.networks.factory import build, fuse
from search_spaces.networks.init import initialize
from search_spaces.networks.network import Network

if TYPE_CHECKING:
    from teachers.loading import Teacher

TRAINING_AREA = 1_200_000
"""LR pixels that candidates train on: what `cut_patches` takes of them are 2.4 million at most,
overlaps included, and the teacher needs a minute of a CPU core for them, whatever the set."""

HELD_OUT_AREA = 200_000
"""LR pixels that candidates are measured on: a few seconds of a core at five QPs."""

VERSION = 3
"""Raise it when equal settings train otherwise: results of before do not compare with new ones, so
that their studies are not continued."""


class Diverged(ArithmeticError):
    """The training left the rails; the message says how and at which step."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """How long and how a candidate is trained; ``docs/proxy.md`` says what each choice was worth.

    The budget is comparable across working resolutions: a network that works at 1/f of the LR
    resolution does f optimiser steps where others do one, because its kernels see each patch at
    fewer places. That brought Kendall's coefficient against the survey from .40 to .78.
    """

    steps: int = 600
    """Of networks at LR resolution. Ends a default search in minutes on two cores; more learn
    more."""
    batch: int = 4
    """More and smaller steps learned more from the same pixels than fewer and larger ones."""
    patch: int = 48
    """LR side of a training patch: a multiple of 12, so that every working factor divides it."""
    lr: float = 0.05
    """Peak step of the kernels (Muon). Half of it gives steadier rungs, and less at the end."""
    adam_lr: float = 1e-3
    """Peak step of biases and of depthwise kernels."""
    warmup: float = 0.1
    """Share of the steps in which the rate rises; then it falls as a cosine to zero."""
    clip: float = 1.0
    """Longest gradient; longer ones are shortened to it."""
    ema: float = 0.98
    """Decay of the moving average of the weights, which is what is measured and kept."""
    distil_weight: float = 0.1
    """Share of the teacher's output in the target; 0 ignores the teacher."""
    luma_weight: float = 0.8
    """Share of the luma error in the loss of networks that predict colours; the rest is that of
    RGB. PSNR-Y is what counts, and less of it costs PSNR-Y."""
    grey: float = 0.25
    """Share of their patches that lose their colours: it keeps chroma from going wrong, at no cost
    in PSNR-Y."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ProxyData:
    """What every candidate of a study trains on and is measured by.

    Attributes:
        bank: training patches on the device.
        validation: the most detailed windows of the held-out pictures.
        qps: QPs trained on and measured at.
        device: where candidates are trained.
    """

    bank: PatchBank
    validation: tuple[PictureLike, ...]
    qps: tuple[int, ...]
    device: str


@dataclass(frozen=True, slots=True)
class Rung:
    """An intermediate evaluation: training steps and seconds done, gain over Lanczos so far."""

    step: int
    gain_db: float
    seconds: float


@dataclass(frozen=True, slots=True)
class ProxyResult:
    """The end of a proxy run.

    Attributes:
        gain_db: PSNR-Y over Lanczos on the held-out pictures, mean over QPs, in dB.
        gain_db_per_qp: the same for each QP.
        psnr_y_db: PSNR-Y for each QP, in dB.
        gain_cb_db: PSNR of Cb over Lanczos, mean over QPs, in dB.
        gain_cr_db: the same of Cr.
        curve: the rungs passed, the end included.
        state: deploy weights as the content of a model's file; see `search_spaces.model_file`.
        seconds: training and measuring.
        steps: training steps done.
        loss_sum: the losses of all steps, summed: small for who learns fast (known as TSE).
        loss_end: their mean over the last third; not a number where nothing was trained.
        way: how steps ran, number format included; see `nas.training.proxy.cuda_graph`.
    """

    gain_db: float
    gain_db_per_qp: dict[int, float]
    psnr_y_db: dict[int, float]
    gain_cb_db: float
    gain_cr_db: float
    curve: tuple[Rung, ...]
    state: bytes
    seconds: float
    steps: int
    loss_sum: float
    loss_end: float
    way: str


def proxy_data(
    pair_set: PairSet,
    teacher: Teacher | None = None,
    device: str = "cpu",
    *,
    progress: Progress = silent,
) -> ProxyData:
    """Cut the training patches, and let the teacher upscale the places they come from once.

    Of large pictures the most detailed windows are used, see `nas.data.windows.windows`. The
    teacher works on ``device`` too. Everything is cached: a second call reads files.

    Raises:
        InputError: the set has no training picture of sufficient size or holds out none, or the
            cache cannot be written.
    """
    held_out = windows(pair_set.validation, HELD_OUT_AREA)
    if not held_out:
        raise InputError(
            f"{pair_set.path} holds out no picture of more than one colour to measure candidates on"
        )
    seen = windows(pair_set.train, TRAINING_AREA)
    outputs = None
    if teacher is not None:
        from teachers.cache import teacher_outputs

        shown = [window.lr(level) for window in seen for level in teacher.levels(pair_set.qps)]
        made = teacher_outputs(teacher, shown, pair_set.teacher_folder, progress, device=device)
        outputs = teacher.by_picture(made, pair_set.qps)
    key = pair_set.digest + (teacher.digest if teacher is not None else "")
    bank = cut_patches(seen, pair_set.qps, teacher_outputs=outputs, key=key, progress=progress)
    return ProxyData(bank.to(device), held_out, pair_set.qps, device)


def run_proxy(
    architecture: Architecture,
    data: ProxyData,
    settings: ProxySettings | None = None,
    rungs: Sequence[int] = (),
) -> Iterator[Rung | ProxyResult]:
    """Train one candidate; yield a `Rung` after each step count in ``rungs``, last a `ProxyResult`.

    Stop early by closing the generator.

    Raises:
        Diverged: loss or weights are no numbers any more, the loss exploded, or all features died.
    """
    settings = settings or ProxySettings()
    start = time.perf_counter()
    curve: list[Rung] = []
    with Turns(data.device) as turns:
        turns.next()
        network = starting_network(architecture, data.bank, settings)
        training = ProxyTraining(network, data.bank, settings)
        ema = training.ema
        for step in range(1, settings.steps + 1):
            for _ in range(architecture.factor):
                turns.next()
                training.step()
            if step in rungs and step < settings.steps:
                quality = _measure(ema.network, data)
                curve.append(Rung(step, quality.gain_db, time.perf_counter() - start))
                turns.release()
                yield curve[-1]
        training.check()
        if _has_died(ema.network, data.bank, settings):
            raise Diverged(
                "all its features died: what the tail reads does not depend on the image"
            )
        quality = _measure(ema.network, data)
    seconds = time.perf_counter() - start
    curve.append(Rung(settings.steps, quality.gain_db, seconds))
    facts = {"kind": "proxy", "steps": str(settings.steps), "gain_db": f"{quality.gain_db:.4f}"}
    yield ProxyResult(
        quality.gain_db,
        {qp: quality.gain_db_per_qp[qp] for qp in data.qps},
        {qp: quality.psnr_y_db[qp] for qp in data.qps},
        quality.gain_cb_db,
        quality.gain_cr_db,
        tuple(curve),
        model_bytes(ema.network, architecture.label, facts),
        seconds,
        settings.steps,
        loss_sum=sum(training.history),
        loss_end=_mean(training.history[2 * training.total // 3 :]),
        way=training.steps.way,
    )


def starting_network(
    architecture: Architecture, bank: PatchBank, settings: ProxySettings
) -> Network:
    """The network that the run trains, in deploy form, on the bank's device.

    Which branches a block has in training is a matter of the full training: they cost time and
    moved the ranking by less than the seed did. So equal deploy forms get equal results.
    """
    network = fuse(build(architecture, settings.seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        initialize(network)
    network.to(bank.lr.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(settings.seed)
    batch = draw(bank, _CALIBRATION_PATCHES, settings.patch, generator)
    calibrate(network, network_input(batch.lr), torch.cat(batch.hr).float().div_(255))
    return network.requires_grad_(True).train()


def _measure(network: Network, data: ProxyData) -> Quality:
    if not all(bool(tensor.isfinite().all()) for tensor in network.parameters()):
        raise Diverged("weights are no numbers any more")
    return evaluate(fuse(network), data.validation, data.qps, device=data.device)


@torch.no_grad()
def _has_died(network: Network, bank: PatchBank, settings: ProxySettings) -> bool:
    """Whether what the tail reads is the same at every place."""
    batch = draw(bank, settings.batch, settings.patch, torch.Generator().manual_seed(settings.seed))
    features = network.features(network_input(batch.lr))
    inside = features[..., _BORDER:-_BORDER, _BORDER:-_BORDER]  # zeros around it change the border
    return bool((inside.amax((0, 2, 3)) - inside.amin((0, 2, 3))).max() < _CONSTANT)


class ProxyTraining:
    """The moving parts of one run: steps, schedule, sampling, watch over the loss.

    Attributes:
        steps: does them.
        ema: the moving average of what is trained.
        done: steps done.
        history: their losses, as far as they were looked at.

    Args:
        network: as `starting_network` made it.
        bank: on the same device.
        settings: of the run.
    """

    def __init__(self, network: Network, bank: PatchBank, settings: ProxySettings) -> None:
        self.bank, self.settings = bank, settings
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.done = 0
        self.total = settings.steps * network.architecture.factor
        self.steps = stepper(network, bank, settings)
        self.ema = self.steps.learner.ema
        self.planned = self.checked = 0
        self.history: list[float] = []
        self.lowest = math.inf

    def step(self) -> None:
        """One step of the optimiser."""
        if self.done == self.planned:
            self.plan()
        self.steps.step()
        self.done += 1
        if self.done == self.planned:
            self.check()

    def plan(self) -> None:
        """Draw what the coming steps see, and say at what rates they move."""
        settings = self.settings
        coming = range(self.done, min(self.done + WINDOW, self.total))
        choices, rates = [], []
        for step in coming:
            rate = warmed_cosine(step / self.total, settings.warmup)
            share = self.ema.share(step + 1)
            choices.append(choose(self.bank, settings.batch, settings.patch, self.generator))
            rates.append((settings.lr * rate, settings.adam_lr * rate, share))
        self.steps.plan(choices, rates)
        self.planned = coming.stop

    def check(self) -> None:
        """Look at the losses since the last look.

        Raises:
            Diverged: they are no numbers, or far above what they were.
        """
        if self.checked == self.done:
            return
        # Windows begin where a check ended: its losses are the first ones.
        losses = self.steps.losses[: self.done - self.checked].tolist()
        self.checked = self.done
        mean = _mean(losses)
        if self.lowest == math.inf:
            self.lowest = losses[0]  # before the first step: nothing can have exploded yet
        self.history += losses
        if not math.isfinite(mean):
            raise Diverged(f"the loss is {mean} before step {self.done}")
        if mean > _EXPLODED * self.lowest:
            raise Diverged(
                f"the loss rose from {self.lowest:.2g} to {mean:.2g} before step {self.done}"
            )
        self.lowest = min(self.lowest, mean)


def stepper(network: Network, bank: PatchBank, settings: ProxySettings) -> Stepper:
    """What does the steps of a run: on a GPU the fastest way that trying finds, on a copy.

    Args:
        network: as `starting_network` made it.
        bank: on the device.
        settings: of the run.
    """
    loss = PhaseLoss(network.shuffle, settings.luma_weight, settings.distil_weight)
    grey = round(settings.grey * settings.batch)
    if bank.lr.device.type != "cuda":
        learner = Learner(network, loss, clip=settings.clip, decay=settings.ema, grey=grey)
        return Stepwise(learner, bank, settings.patch)

    def make(way: Way) -> Tabled:
        learner = Learner(
            copy.deepcopy(network),
            loss,
            clip=settings.clip,
            decay=settings.ema,
            grey=grey,
            precision=way.precision,
            compiled=way.launch == "compiled",
        )
        return Tabled(learner, bank, settings.patch, settings.batch, str(way))

    return fastest(make, settings.steps * network.architecture.factor)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


_EXPLODED = 20.0
_CALIBRATION_PATCHES = 24
_BORDER, _CONSTANT = 4, 1e-9  # features left out at each side; small ones are alive
