"""Running a network by ONNX Runtime on CPU, CUDA or TensorRT, as programs run ONNX files.

Input and output are bound by address to PyTorch tensors on their device, so that the timed code
copies and allocates nothing.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from nas.common.errors import InputError, first_line
from nas.common.files import cache_root

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
    backend: str, network: nn.Module, image: torch.Tensor, replayed: bool = False
) -> Callable[[], torch.Tensor]:
    """Return a forward of ``network`` on ``image``; each writes into the same tensor.

    It runs on as many threads as PyTorch's, or is queued on the CUDA stream that is current now.

    Args:
        backend: ``onnxruntime`` or ``tensorrt``.
        network: in the precision of the image.
        image: (1, 3, H, W), on the device to run on.
        replayed: let ONNX Runtime replay its own CUDA graph from the third forward on, where its
            provider does so without waiting for each.

    Raises:
        InputError: a package is not installed, or its provider cannot be loaded or does not run
            all of the network.
        ValueError: the current CUDA stream is the default one, which ONNX Runtime takes for none.
    """
    provider = _provider(backend, image.device)
    model = _exported(network.cpu(), image.cpu())
    options: dict[str, str] = {}
    if provider != _CPU:
        options |= _on_current_stream(image.device)
    if provider == _CUDA and replayed:
        options["enable_cuda_graph"] = "1"
    if provider == _TENSORRT:
        options |= _as_tensorrt(model)
    return _bound(_session(model, provider, options), image)


def onnx_versions(backend: str, device: str) -> dict[str, Any]:
    """Return the versions of the packages that a backend needs; empty without ONNX Runtime.

    ``providers`` says whether it can run: what is missing now may be installed later.
    """
    try:
        import onnxruntime
    except ImportError:
        return {}
    provider = _PROVIDERS.get((backend, device))
    available = onnxruntime.get_available_providers()
    found: dict[str, Any] = {
        "onnxruntime": onnxruntime.__version__,
        "providers": [provider] if provider in available else [],
    }
    return found | ({"tensorrt": _tensorrt_version()} if provider == _TENSORRT else {})


def _provider(backend: str, device: torch.device) -> str:
    """The provider of a backend, after checking that everything it needs is installed."""
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
    """A session that runs the whole model by this provider alone."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = torch.get_num_threads()
    # Its threads would spin on while the next candidate is timed.
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
        raise InputError(f"{_NOT_ALONE.format(provider)} ({first_line(fault)})") from fault
    if session.get_providers()[0] != provider:  # one that cannot be loaded is left out silently
        raise InputError(_NOT_ALONE.format(provider))
    return session


_NOT_ALONE = (
    "onnxruntime does not run this network by its {} alone: "
    "its libraries are missing, or it lacks an operator"
)


def _bound(session: Any, image: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Forwards that read ``image`` and write one output, both in place."""
    import onnxruntime

    (source,), (sink,) = session.get_inputs(), session.get_outputs()
    output = torch.empty(sink.shape, dtype=image.dtype, device=image.device)
    where = {
        "device_type": image.device.type,
        "device_id": image.device.index or 0,
        "element_type": _NUMPY[image.dtype],
    }
    binding = session.io_binding()
    binding.bind_input(source.name, shape=tuple(image.shape), buffer_ptr=image.data_ptr(), **where)
    binding.bind_output(sink.name, shape=tuple(output.shape), buffer_ptr=output.data_ptr(), **where)
    unawaited = onnxruntime.RunOptions()
    unawaited.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def forward(held: torch.Tensor = image) -> torch.Tensor:
        """Keeps alive what the session reads by address."""
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

    Each model has its own folder: the names of engines do not depend on widths and weights, so
    networks of one structure would share an engine (github.com/microsoft/onnxruntime/issues/32254).
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
    """The version of the TensorRT package, whose import loads the libraries; None without it."""
    with suppress(ImportError):
        return str(import_module("tensorrt").__version__)
    return None


def _exported(network: nn.Module, image: torch.Tensor) -> bytes:
    """The network as ONNX for this size."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            written = torch.onnx.export(network, (image,), dynamo=True, verbose=False)
    finally:
        log.setLevel(before)
    assert written is not None
    return written.model_proto.SerializeToString(deterministic=True)
