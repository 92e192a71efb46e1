"""A network run by ONNX Runtime, as programs that ship ONNX files run it: CPU, CUDA or TensorRT.

Input and output are bound by address to tensors of PyTorch, on whichever device they are, so that
nothing is copied and nothing allocated in what is timed.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from nas.common.errors import InputError
from nas.common.files import cache_root

SESSIONS = ("onnxruntime", "tensorrt")
"""The backends that are sessions of ONNX Runtime."""

_CPU, _CUDA, _TENSORRT = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Tensorrt"))
_PROVIDERS = MappingProxyType(
    {
        ("onnxruntime", "cpu"): _CPU,
        ("onnxruntime", "cuda"): _CUDA,
        ("tensorrt", "cuda"): _TENSORRT,
    }
)
_NUMPY = MappingProxyType({torch.float32: np.float32, torch.float16: np.float16})


def onnx_forward(
    network: nn.Module, picture: torch.Tensor, backend: str, *, replayed: bool = False
) -> Callable[[], torch.Tensor]:
    """Return a forward of ``network`` on ``picture``; each writes into one and the same tensor.

    It runs on as many threads as PyTorch's, or on the CUDA stream that is PyTorch's current one
    now, and then returns once it is queued.

    Args:
        network: on the CPU, in the picture's precision.
        picture: (1, 3, H, W), on the device to run on.
        backend: one of `SESSIONS`.
        replayed: have ONNX Runtime replay a CUDA graph of its own from the third forward on, where
            its provider does so without waiting for each.

    Raises:
        InputError: a package that it needs is not installed, or its provider cannot be loaded or
            does not run all of the network.
        ValueError: the current CUDA stream is the default one, which ONNX Runtime takes for none.
    """
    provider = _provider(backend, picture.device)
    model = _exported(network, picture.cpu())
    options: dict[str, str] = {}
    if provider != _CPU:
        options |= _on_current_stream(picture.device)
    if provider == _CUDA and replayed:
        options["enable_cuda_graph"] = "1"
    if provider == _TENSORRT:
        options |= _as_tensorrt(model)
    return _bound(_session(model, provider, options), picture)


def onnx_versions(backends: Sequence[str], device: str) -> dict[str, Any]:
    """Return what runtimes by these backends depend on beside PyTorch; empty for those without.

    It says which providers there are too: what could not run once may be installed later.
    """
    asked = {_PROVIDERS.get((backend, device)) for backend in backends if backend in SESSIONS}
    if not asked:
        return {}
    try:
        import onnxruntime
    except ImportError:
        return {}
    found: dict[str, Any] = {"onnxruntime": onnxruntime.__version__}
    found["providers"] = [p for p in onnxruntime.get_available_providers() if p in asked]
    if _TENSORRT in asked:
        found["tensorrt"] = _tensorrt_version()
    return found


def _provider(backend: str, device: torch.device) -> str:
    """The provider of a backend, once all that it needs is known to be installed."""
    provider = _PROVIDERS.get((backend, device.type))
    if provider is None:
        raise InputError(f"{backend} does not run on {device.type}")
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # PyTorch's exporter needs it
    except ImportError as fault:
        raise InputError(
            f"{fault.name} is not installed: pip install onnxruntime onnxscript"
        ) from fault
    if provider not in onnxruntime.get_available_providers():
        raise InputError(
            f"the installed onnxruntime has no {provider}: "
            "pip uninstall onnxruntime, then pip install onnxruntime-gpu"
        )
    return provider


def _session(model: bytes, provider: str, options: dict[str, str]) -> Any:
    """A session that runs all of the model by this provider, and nothing by another one."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = torch.get_num_threads()
    # Its threads would go on spinning into the turn of whatever is timed next.
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    if provider != _CPU:
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if provider == _TENSORRT:
        _tensorrt_version()  # with the package, its libraries are found
    try:
        session = onnxruntime.InferenceSession(
            model,
            settings,
            providers=[(provider, options)],
            enable_fallback=0,  # it would try the CPU next, and print that on stdout
        )
    except Exception as fault:  # it has a dozen of its own, with no common base
        told = (str(fault).strip() or type(fault).__name__).splitlines()[0]
        raise InputError(f"{_NOT_ALONE.format(provider)} ({told})") from fault
    if session.get_providers()[0] != provider:  # one that cannot be loaded is left out silently
        raise InputError(_NOT_ALONE.format(provider))
    return session


_NOT_ALONE = (
    "onnxruntime does not run this network by its {} alone: "
    "libraries that it needs are missing, or it has not all operators"
)


def _bound(session: Any, picture: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Runs of a session that read ``picture`` and write one output beside it, both in place."""
    import onnxruntime

    (source,), (sink,) = session.get_inputs(), session.get_outputs()
    output = torch.empty(sink.shape, dtype=picture.dtype, device=picture.device)
    where = {
        "device_type": picture.device.type,
        "device_id": picture.device.index or 0,
        "element_type": _NUMPY[picture.dtype],
    }
    binding = session.io_binding()
    binding.bind_input(
        source.name, shape=tuple(picture.shape), buffer_ptr=picture.data_ptr(), **where
    )
    binding.bind_output(sink.name, shape=tuple(output.shape), buffer_ptr=output.data_ptr(), **where)
    unawaited = onnxruntime.RunOptions()
    unawaited.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def forward(held: torch.Tensor = picture) -> torch.Tensor:
        """Holds alive what the session reads by its address."""
        session.run_with_iobinding(binding, unawaited)
        return output

    return forward


def _on_current_stream(device: torch.device) -> dict[str, str]:
    stream = torch.cuda.current_stream(device).cuda_stream
    if not stream:
        raise ValueError("ONNX Runtime needs a current CUDA stream that is not the default one")
    return {"device_id": str(device.index), "user_compute_stream": str(stream)}


def _as_tensorrt(model: bytes) -> dict[str, str]:
    """FP16, with engines and the timings of kernels kept in the cache.

    Each model has a folder of its own: by the names that engines get of themselves, networks of
    one structure are taken for one another, whatever their widths and weights
    (github.com/microsoft/onnxruntime/issues/32254).
    """
    timings = cache_root() / "tensorrt"
    engines = timings / hashlib.sha256(model).hexdigest()[:32]
    engines.mkdir(parents=True, exist_ok=True)
    return {  # older versions take no "1" here
        "trt_fp16_enable": "True",
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(engines),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(timings),
    }


def _tensorrt_version() -> str | None:
    """The version of TensorRT's Python package, whose import loads the libraries; None without."""
    with suppress(ImportError):
        return str(import_module("tensorrt").__version__)
    return None


def _exported(network: nn.Module, picture: torch.Tensor) -> bytes:
    """The network as ONNX for this size: ONNX Runtime makes what it can of it, as of any file."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            written = torch.onnx.export(network, (picture,), dynamo=True, verbose=False)
    finally:
        log.setLevel(before)
    assert written is not None
    return written.model_proto.SerializeToString(deterministic=True)
