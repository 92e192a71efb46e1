"""Peak memory of one forward pass: weights, input, and the maps that live at the worst moment.

Computed, it is what eager PyTorch allocates: the pass runs on the meta device, where tensors have
sizes and no values, and every storage is counted from the operator that made it until Python lets
go of it. So an activation is charged for a second map unless it was built to work in place, a view
costs nothing, and a feature map lives as long as the code holds it. Libraries' work space (cuDNN's,
or oneDNN's when it changes the layout of a map) is beyond PyTorch's tensors and left out: that is
why on CUDA the figure is measured.
"""

from __future__ import annotations

import copy
import weakref
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nas.measure.cost.trace import inference_form
from nas.measure.device_lock import shared
from search_spaces.architecture import Architecture

Precision = Literal["float16", "float32"]


@dataclass(frozen=True, slots=True)
class Memory:
    """Peak memory of a forward pass in units of 1e6 bytes."""

    mb: float
    """Weights, input and live maps at the worst moment; the output is one of them."""
    weights_mb: float
    """Parameters and buffers, which are there all the time."""
    kind: Literal["computed", "measured"]
    precision: Precision


def compute_memory(
    network: nn.Module | Architecture,
    height: int = 540,
    width: int = 960,
    precision: Precision = "float16",
) -> Memory:
    """Compute what a pass on (1, 3, height, width) allocates in eager PyTorch.

    A network of ours is counted in its `inference_form`, any other module as it is.
    Takes some 20 ms at any size.
    """
    dtype = getattr(torch, precision)
    twin = copy.deepcopy(inference_form(network, "device")).to("meta", dtype).eval()
    living = Living()
    for weight in (*twin.parameters(), *twin.buffers()):
        living.add(weight)
    weights = living.peak
    picture = torch.empty(1, 3, height, width, dtype=dtype, device="meta")
    living.add(picture)
    with torch.no_grad(), living:
        twin(picture)
    return Memory(living.peak / 1e6, weights / 1e6, "computed", precision)


def measure_memory(
    network: nn.Module | Architecture,
    height: int = 540,
    width: int = 960,
    precision: Precision = "float16",
    device: str | torch.device = "cuda",
) -> Memory:
    """Measure what an eager pass takes on CUDA beyond what this process holds there already.

    Libraries' work space is in it, at the size that they ask for once they have chosen a kernel.

    Raises:
        torch.OutOfMemoryError: the network does not fit.
    """
    with shared(device):
        return allocated_memory(inference_form(network, "device"), height, width, precision, device)


def allocated_memory(
    module: nn.Module,
    height: int,
    width: int,
    precision: Precision,
    device: str | torch.device,
) -> Memory:
    """As `measure_memory`, for one who holds the device already."""
    device, dtype = torch.device(device), getattr(torch, precision)
    with torch.cuda.device(device), torch.no_grad():
        before = torch.cuda.memory_allocated()
        twin = copy.deepcopy(module).to(device, dtype).eval()
        weights = torch.cuda.memory_allocated() - before
        picture = torch.rand(1, 3, height, width, dtype=dtype, device=device)
        twin(picture)  # the first pass tries kernels out, with more work space than later ones take
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        twin(picture)
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() - before
    return Memory(peak / 1e6, weights / 1e6, "measured", precision)


class Living(TorchDispatchMode):
    """Adds up the storages that exist, and remembers the most there were at once."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self.bytes = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def add(self, tensor: torch.Tensor) -> None:
        """Count the tensor's storage until nothing holds it; once, whatever its views."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def gone(_: object) -> None:
            del self._known[key]
            self.bytes -= size

        self._known[key] = weakref.ref(storage, gone)
        self.bytes += size
        self.peak = max(self.peak, self.bytes)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(output):
            if isinstance(leaf, torch.Tensor):
                self.add(leaf)
        return output
