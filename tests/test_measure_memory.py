"""Peak memory: computed from lifetimes, against what PyTorch's own allocator says it gave out."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from nas.measure.cost.memory import compute_memory, measure_memory
from nas.measure.cost.trace import inference_form
from search_spaces import published

SIZE = (96, 96)  # from where on oneDNN runs every convolution, which unrolls none of them
NETWORKS = ["RepTCN", "RVSR", "VPEG-S", "ANUNet", "Megastudy", "XiaomiMM", "URPNet"]


@pytest.mark.parametrize("name", NETWORKS)
def test_computed_memory_is_what_the_allocator_gives_out(name, tmp_path):
    network = inference_form(published[name].architecture, "device")
    found = compute_memory(network, *SIZE, precision="float32")
    held = found.weights_mb * 1e6 + picture().nbytes
    assert found.mb * 1e6 == pytest.approx(held + allocated(network, tmp_path), rel=0.005)


def test_weights_and_a_chain_of_maps_are_counted_by_hand():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 48, 3))
    found = compute_memory(network, 20, 30)
    weights = 2 * (8 * 3 * 9 + 8 + 48 * 8 * 9 + 48)
    picture, features, end = 2 * 3 * 600, 2 * 8 * 600, 2 * 48 * 18 * 28
    assert found.weights_mb * 1e6 == pytest.approx(weights)
    assert found.mb * 1e6 == pytest.approx(weights + picture + features + end)
    assert (found.kind, found.precision) == ("computed", "float16")


def test_working_in_place_saves_a_map_where_it_is_the_worst_moment():
    wide = nn.Conv2d(3, 64, 1)
    saved = (
        compute_memory(nn.Sequential(wide, nn.ReLU()), 16, 16).mb
        - compute_memory(nn.Sequential(wide, nn.ReLU(inplace=True)), 16, 16).mb
    )
    assert saved * 1e6 == pytest.approx(2 * 64 * 16 * 16)


class Skip(nn.Module):
    """Holds a map of its own through two wide ones, or does not."""

    def __init__(self, held: bool) -> None:
        super().__init__()
        self.widen, self.narrow, self.held = nn.Conv2d(3, 64, 1), nn.Conv2d(64, 3, 1), held

    def forward(self, x):
        kept = 2 * x if self.held else None
        out = self.narrow(self.widen(x))
        return out if kept is None else out + kept


def test_a_map_that_the_code_holds_on_to_is_charged_while_it_does():
    held = compute_memory(Skip(True), 16, 16).mb - compute_memory(Skip(False), 16, 16).mb
    assert held * 1e6 == pytest.approx(2 * 3 * 16 * 16)


def test_half_the_precision_is_half_the_memory_and_area_scales_it():
    architecture = published["RepTCN"].architecture
    half, whole = (compute_memory(architecture, 96, 96, p) for p in ("float16", "float32"))
    assert whole.mb == pytest.approx(2 * half.mb)
    larger = compute_memory(architecture, 192, 96)
    maps, more = half.mb - half.weights_mb, larger.mb - larger.weights_mb
    assert more == pytest.approx(2 * maps)


@pytest.mark.gpu
def test_a_gpu_takes_at_least_what_is_computed():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    held = torch.ones(1 << 20, device="cuda")  # what is there already does not count
    for name in NETWORKS:
        architecture = published[name].architecture
        measured, computed = measure_memory(architecture), compute_memory(architecture)
        assert measured.kind == "measured"
        assert 0.98 * computed.mb <= measured.mb <= 4 * computed.mb
    assert held.sum() == 1 << 20


def picture() -> torch.Tensor:
    return torch.zeros(1, 3, *SIZE)


def allocated(network: nn.Module, folder) -> int:
    """Most bytes that a pass holds at once by PyTorch's profiler, weights and input left out.

    channels_last, in which oneDNN needs no work space of its own to change layouts.
    """
    network = network.to(memory_format=torch.channels_last)
    x = picture().to(memory_format=torch.channels_last)
    with torch.no_grad():
        network(x)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            network(x)
    profiled.export_chrome_trace(str(folder / "trace.json"))
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    changes = [event for event in events if event["name"] == "[memory]"]
    now = most = 0
    for change in sorted(changes, key=lambda event: event["ts"]):
        now += change["args"]["Bytes"]
        most = max(most, now)
    return most
