"""A network run by ONNX Runtime on the CPU, as programs that ship ONNX files run it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import nn

from search_spaces.errors import InputError


def onnx_forward(network: nn.Module, picture: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Return a forward of ``network`` on ``picture`` in a session of as many threads as PyTorch's.

    Raises:
        InputError: a package that it needs is not installed, or the picture is on no CPU.
    """
    if picture.device.type != "cpu":
        raise InputError("onnxruntime is measured on CPUs only")
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # PyTorch's exporter needs it
    except ImportError as fault:
        raise InputError(
            f"{fault.name} is not installed: pip install onnxruntime onnxscript"
        ) from fault
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    # Its threads would go on spinning into the turn of whatever is timed next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(
        _exported(network, picture), options, providers=["CPUExecutionProvider"]
    )
    given = {session.get_inputs()[0].name: picture.numpy()}
    return lambda: torch.from_numpy(session.run(None, given)[0])


def onnx_versions() -> dict[str, str]:
    """Return what a runtime by ONNX Runtime depends on beside PyTorch; empty without it."""
    try:
        return {"onnxruntime": version("onnxruntime")}
    except PackageNotFoundError:
        return {}


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
    return written.model_proto.SerializeToString()
