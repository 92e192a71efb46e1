"""Ways to run a network: each runs the same one, and one that cannot run is named, with why."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from types import SimpleNamespace

import onnxruntime
import pytest
import torch
from fake_cuda import FakeCuda

from nas.measure.cost.trace import inference_form
from nas.measure.latency.backends import backend_versions, backends, make_forward
from nas.measure.latency.measure import measure_cpu, measure_cuda
from nas.measure.latency.onnx_backend import onnx_forward
from nas.measure.latency.target import resolve_target
from nas.measure.latency.timers import own_stream
from search_spaces import Architecture, InputError, Stage, build, fuse, published

SMALL = Architecture(width=8, stages=(Stage("conv", 8),))
CPU, SIZE = torch.device("cpu"), (24, 32)
QUICKLY = {"height": 24, "width": 32, "threads": 1, "rounds": 4, "seconds": 0}
NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def deployed(architecture: Architecture) -> torch.nn.Module:
    return fuse(build(architecture, seed=0)).eval()


def test_a_compiler_that_cannot_run_is_named_and_the_others_still_measure(monkeypatch):
    def broken(*args, **kwargs):
        def forward(picture):
            raise RuntimeError("no C++ compiler\nlong story")

        return forward

    monkeypatch.setattr(torch, "compile", broken)
    latency = measure_cpu(SMALL, backends=("compiled", "eager"), **QUICKLY)
    assert latency.backend == "eager"
    assert latency.details["unavailable"] == {"compiled": "no C++ compiler"}


def test_more_networks_are_compiled_than_torch_would_by_itself(monkeypatch):
    made, by_torch = [], torch.compile

    def counted(graph, inputs):
        made.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda f, **how: by_torch(f, backend=counted, **how))
    for width in range(4, 14):
        network = deployed(Architecture(width=width))
        make_forward(network, "compiled", torch.float32, torch.device("cpu"), (8, 8))()
    assert len(made) == 10


def test_backends_are_part_of_what_results_depend_on():
    usual, asked = resolve_target("cpu"), resolve_target("cpu", backends=("onnxruntime",))
    assert "backends" not in usual.identity  # as in studies from before
    assert asked.identity["backends"] == "onnxruntime"
    names = "eager, channels_last, compiled, onnxruntime, tensorrt"
    with pytest.raises(InputError, match=f"no backend 'tvm'; choose one of {names}"):
        resolve_target("cpu", backends=("tvm",))
    with pytest.raises(InputError, match="'rtx4090' predicts"):
        resolve_target("rtx4090", backends=("eager",))


# ONNX Runtime


@pytest.mark.parametrize("precision", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize(
    "architecture", [SMALL, published["RVSR"].architecture], ids=lambda a: a.key
)
def test_onnx_runtime_computes_what_pytorch_computes(architecture, precision):
    network = deployed(architecture)
    with torch.no_grad():
        ours = make_forward(network, "onnxruntime", precision, CPU, SIZE)()
        exact = make_forward(network, "eager", torch.float32, CPU, SIZE)()
    assert ours.dtype == precision
    tolerance = 1e-5 if precision == torch.float32 else 1e-2
    assert torch.allclose(ours.float(), exact, atol=tolerance)


def test_it_reads_and_writes_tensors_where_they_are():
    network, picture = deployed(SMALL), torch.rand(1, 3, *SIZE)
    forward = onnx_forward("onnxruntime", network, picture)
    first = forward()
    before = first.clone()
    picture.mul_(0.5)
    second = forward()
    assert second.data_ptr() == first.data_ptr()
    assert not torch.allclose(second, before)
    with torch.no_grad():
        assert torch.allclose(second, network(picture), atol=1e-5)


def test_its_picture_lives_as_long_as_the_forward():
    network = deployed(SMALL)
    forward = onnx_forward("onnxruntime", network, torch.full((1, 3, *SIZE), 0.25))
    overwriting = [torch.full((1, 3, *SIZE), 9.0) for _ in range(64)]  # where it was, were it freed
    with torch.no_grad():
        assert torch.allclose(forward(), network(torch.full((1, 3, *SIZE), 0.25)), atol=1e-5)
    assert len(overwriting) == 64


def test_onnx_runtime_is_measured_on_a_cpu():
    latency = measure_cpu(SMALL, backends=("onnxruntime",), **QUICKLY)
    assert (latency.backend, latency.ms > 0) == ("onnxruntime", True)


def test_a_runtime_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    latency = measure_cpu(SMALL, backends=("eager", "onnxruntime"), **QUICKLY)
    assert "not installed" in latency.details["unavailable"]["onnxruntime"]
    with pytest.raises(InputError, match="onnxruntime is not installed"):
        measure_cpu(SMALL, backends=("onnxruntime",), **QUICKLY)


def test_tensorrt_is_named_where_it_cannot_run():
    latency = measure_cpu(SMALL, backends=("eager", "tensorrt"), **QUICKLY)
    assert latency.details["unavailable"] == {"tensorrt": "tensorrt does not run on cpu"}


@dataclass
class OnCuda:
    """A picture that says it is on a GPU."""

    picture: torch.Tensor
    device = torch.device("cuda", 0)

    def cpu(self) -> torch.Tensor:
        return self.picture


@pytest.mark.parametrize(
    ("backend", "provider"),
    [("onnxruntime", "CUDAExecutionProvider"), ("tensorrt", "TensorrtExecutionProvider")],
)
def test_a_session_that_falls_back_to_the_cpu_is_refused(
    backend, provider, own_place, monkeypatch, capfd
):
    if provider in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has it")
    stream = SimpleNamespace(cuda_stream=1234)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    picture = OnCuda(torch.rand(1, 3, *SIZE))
    with pytest.raises(InputError, match=f"has no {provider}: .*pip install onnxruntime-gpu"):
        onnx_forward(backend, deployed(SMALL), picture)
    # A package that is built with it, on a machine without the libraries, says that it has it.
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [provider])
    with pytest.warns(UserWarning), pytest.raises(InputError, match=f"by its {provider} alone"):
        onnx_forward(backend, deployed(SMALL), picture)
    assert capfd.readouterr().out == ""  # where results are expected


def test_what_is_kept_depends_on_onnx_runtime_and_its_providers(monkeypatch):
    version = onnxruntime.__version__
    assert backend_versions(("eager", "compiled"), "cuda") == {}
    assert backend_versions(("eager", "onnxruntime"), "cpu") == {
        "onnxruntime": version,
        "providers": ["CPUExecutionProvider"],
    }
    before = backend_versions(("onnxruntime", "tensorrt"), "cuda")
    there = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="10.9.0"))
    after = backend_versions(("onnxruntime", "tensorrt"), "cuda")
    asked = ["CUDAExecutionProvider", "TensorrtExecutionProvider"]
    assert after == {"onnxruntime": version, "providers": asked, "tensorrt": "10.9.0"} != before


# Timing on CUDA, on a fake clock that a session advances by 0.6 ms


@pytest.fixture
def fake(monkeypatch):
    fake = FakeCuda()
    fake.install(monkeypatch)
    real = backends["onnxruntime"]

    def make(network, picture, replayed):
        fake.replayed = replayed
        forward = real.make(network, picture, False)

        def timed():
            fake.forwards += 1
            fake.now += 0.6
            return forward()

        return timed

    monkeypatch.setitem(backends._items, "onnxruntime", replace(real, make=make))
    return fake


def test_device_mode_queues_runs_of_a_session(fake):
    latency = measure_cuda(
        SMALL, height=24, width=32, device="cpu", backends=("onnxruntime", "tensorrt")
    )
    assert latency.backend == "onnxruntime" and latency.ms == pytest.approx(0.6)
    assert fake.replayed  # by a graph of its own: none of ours can hold it
    assert fake.forwards == 1 + 3 + 5 + 10 * 34  # of 20 ms each
    assert latency.details["unavailable"].keys() == {"tensorrt"}
    assert latency.details["precision"] == "float16"


def test_challenge_mode_times_runs_of_a_session_one_by_one(fake):
    latency = measure_cuda(
        SMALL, mode="challenge", height=24, width=32, device="cpu", backends=("onnxruntime",)
    )
    assert latency.ms == pytest.approx(0.6)
    assert fake.forwards == 1 + 50 + 100
    assert not fake.replayed


# On a real GPU


@pytest.mark.gpu
@NO_CUDA
@pytest.mark.parametrize("backend", ["onnxruntime", "tensorrt"])
@pytest.mark.parametrize("mode", ["device", "challenge"])
def test_on_cuda_a_session_computes_what_pytorch_computes_and_is_timed(backend, mode, own_place):
    network, device = deployed(SMALL), torch.device("cuda")
    try:
        latency = measure_cuda(network, mode=mode, backends=(backend,), height=24, width=32)
    except InputError as fault:
        pytest.skip(str(fault))
    assert (latency.backend, latency.mode) == (backend, mode) and latency.ms > 0
    with torch.no_grad(), own_stream(device):
        form, replayed = inference_form(network, mode), mode == "device"
        forward = make_forward(form, backend, torch.float16, device, SIZE, replayed=replayed)
        results = [forward().clone() for _ in range(4)]  # in device mode the last by a graph
        exact = make_forward(form, "eager", torch.float32, device, SIZE)()
        torch.cuda.synchronize()
    for result in results:
        assert torch.allclose(result.float(), exact, atol=1e-2)
