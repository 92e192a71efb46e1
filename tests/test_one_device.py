"""What a GPU would refuse, found without one.

Everything runs on the device ``meta``, whose tensors have shapes and no values: who looks at a
value on the way (a GPU would have to be waited for, and a CUDA graph cannot hold that) gets an
error, and so does here who mixes tensors of two devices.
"""

from __future__ import annotations

import pytest
import torch
from small_training import SMALL, TWO_STAGES
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nas.deploy.uint8_network import EightBit
from nas.training.core.precision import Precision
from nas.training.core.runtime import SINGLE
from nas.training.data.batches import CropSource
from nas.training.data.crops import Crops
from nas.training.data.patches import PatchBank
from nas.training.engine.objective import StudentTask
from nas.training.engine.stage import StageTrainer
from nas.training.engine.student import initial_student
from nas.training.losses.distillation import affinity, contrastive, lanczos_up
from nas.training.losses.losses import losses
from nas.training.losses.phases import PhaseLoss
from nas.training.proxy.cuda_graph import Tabled
from nas.training.proxy.step import Learner
from search_spaces import Architecture, Stage, build, fuse, published
from search_spaces.architecture import SCALE
from search_spaces.components import residuals
from teachers.hat.network import HAT, HATSettings
from teachers.tiling import upscale

DEVICE = torch.device("meta")
FP32 = Precision()


class OneDevice(TorchDispatchMode):
    """Refuses operators that read tensors of two devices; a CPU's single numbers are no tensors."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        devices = {leaf.device.type for leaf in read if leaf.dim()}
        moves = func.overloadpacket.__name__ in ("copy_", "_to_copy")
        assert moves or len(devices) < 2, f"{func} reads from {' and '.join(sorted(devices))}"
        return func(*args, **(kwargs or {}))


class PlainSteps:
    """In place of Adam, which looks at its rate when it is made and knows no ``meta``."""

    def __init__(self, parameters, lr, **_):
        self.parameters, self.lr, self.state = list(parameters), lr, {}

    @torch.no_grad()
    def step(self):
        for parameter in self.parameters:
            parameter.sub_(parameter.grad * self.lr)


def pixels(*shape: int) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.uint8, device=DEVICE)


def pictures(*shape: int, **options) -> torch.Tensor:
    return torch.empty(shape, device=DEVICE, **options)


ARCHITECTURES = {name: network.architecture for name, network in published.items()}
ARCHITECTURES |= {
    f"{residual} residual": Architecture(
        "unshuffle2", 8, (Stage("conv", 8, 1),), inputs="gradient", residual=residual
    )
    for residual in residuals()
    if residual != "lr"
}


def test_it_would_be_seen():
    with OneDevice(), pytest.raises(AssertionError, match="cpu and meta"):
        torch.conv2d(pictures(1, 3, 8, 8), torch.ones(3, 3, 3, 3))
    with pytest.raises(RuntimeError):
        bool(pictures(1).isfinite().all())


@pytest.mark.parametrize("heard", [1, 5], ids=["clean teacher", "compressed teacher"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_proxy_step_looks_at_no_value_and_stays_on_its_device(name, heard, monkeypatch):
    monkeypatch.setattr(torch.optim, "Adam", PlainSteps)
    bank = PatchBank(pixels(6, 5, 3, 56, 56), pixels(6, 3, 224, 224), pixels(6, heard, 3, 224, 224))
    network = fuse(build(ARCHITECTURES[name], seed=0)).to(DEVICE).requires_grad_(True).train()
    loss = PhaseLoss(network.shuffle, 0.5, 0.5)
    learner = Learner(network, loss, clip=1.0, decay=0.98, precision=Precision())
    steps = Tabled(learner, bank, patch=48, batch=4)
    with OneDevice():
        steps.idle()
    assert steps.losses.device == DEVICE


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
def test_a_training_goes_on_from_a_checkpoint_on_its_device():
    """It is read on the CPU, and may have been written between two looks at the losses."""

    def under_way(device: torch.device) -> StageTrainer:
        student = initial_student(SMALL, 0).to(device)
        crops = CropSource(Crops((), 16))
        task = StudentTask(TWO_STAGES.stages[1], student, 0, 1, 0)
        return StageTrainer(task, crops, str(device), SINGLE, FP32)

    run = under_way(DEVICE)
    run.load_state_dict(under_way(torch.device("cpu")).state_dict() | {"losses": [torch.ones(())]})
    assert {loss.device for loss in run.state_dict()["losses"]} == {DEVICE}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_picture_passes_through_the_deployed_network_on_its_device(name):
    network = EightBit(build(ARCHITECTURES[name], seed=0)).to(DEVICE, torch.float16).eval()
    with OneDevice(), torch.no_grad():
        larger = network.plain(pictures(1, 3, 25, 38, dtype=torch.float16))
    assert larger.shape == (100, 152, 3) and larger.dtype == torch.uint8


@pytest.mark.parametrize("name", losses)
def test_losses_stay_on_the_device_of_the_pictures(name):
    loss, given = losses[name], [pictures(2, 3, 48, 64, requires_grad=True), pictures(2, 3, 48, 64)]
    with OneDevice():
        loss.function(*given, *([pictures(2, 1, 48, 64)] if loss.uncertain else [])).backward()
    assert given[0].grad.device == DEVICE


def test_what_is_learned_from_a_teacher_stays_on_its_device():
    lr, sr = pixels(2, 3, 12, 16), pictures(2, 3, 48, 64, requires_grad=True)
    with OneDevice():
        contrastive(sr, pictures(2, 3, 48, 64), lanczos_up(lr)).backward()
        affinity([pictures(2, 8, 12, 16)], [pictures(2, 5, 3, 4)])


def test_a_teacher_upscales_in_tiles_on_its_device():
    small = HATSettings(8, (2,), (1,), window=4, compress=1, squeeze=2, features=4, image_skip=True)
    network = HAT(small).to(DEVICE).eval()
    with OneDevice():
        whole = upscale(network, pictures(1, 3, 70, 90), tile=64, overlap=16)
    assert (whole.shape, whole.device) == ((1, 3, SCALE * 70, SCALE * 90), DEVICE)
