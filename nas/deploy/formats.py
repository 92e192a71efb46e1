"""The file formats of an exported network: how each is written, and how it is run again."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from nas.common.errors import InputError
from nas.common.registry import Registry
from nas.deploy.exportable import INPUT, OUTPUT, Exportable, Program, quiet, traced
from search_spaces.model_file import Model, load_model, model_bytes

OPSETS = (18, 23)
"""The oldest and newest ONNX opset on offer: PyTorch writes none below, few programs read above."""

Run: TypeAlias = Callable[[Tensor], Tensor]
"""A file as a function, (N, 3, H, W) to (N, 3, 4H, 4W), both of the file's own precision."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The forms of a network that a file can be written from."""

    model: Model
    """The trained network, in float32."""
    exportable: Exportable
    """Its exportable form, in the precision of the file."""
    program: Program
    """That form as a graph, for the image sizes of the file."""
    facts: Mapping[str, str]
    """Metadata of the file: name, architecture, precision, license."""
    opset: int
    """Of ONNX."""

    @property
    def dtype(self) -> torch.dtype:
        """The precision of weights, input and output."""
        return next(self.exportable.parameters()).dtype


@dataclass(frozen=True, slots=True)
class Format:
    """One file format."""

    suffixes: tuple[str, ...]
    """Of its files; the first is the usual one."""
    write: Callable[[Source, Path], None]
    """Writes a temporary file, which is moved into place after the check."""
    load: Callable[[Path], Run]
    """Returns a file as a function, run by the library of its users."""
    sized: bool = False
    """Whether a file can be for one image size only."""


def _write_onnx(source: Source, path: Path) -> None:
    onnx = _onnx_packages()[0]
    with quiet(), _no_log("torch.onnx"):
        written = torch.onnx.export(
            source.program.exported,
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=source.opset,
        )
    assert written is not None
    proto = written.model_proto
    found = max(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    if found != source.opset:
        raise InputError(f"this network cannot be written for opset {source.opset}; try {found}")
    _bare(proto)
    proto.producer_name, proto.producer_version = source.facts["producer"].split()
    proto.graph.name = "network"
    onnx.helper.set_model_props(proto, dict(sorted(source.facts.items())))
    onnx.checker.check_model(proto)
    path.write_bytes(proto.SerializeToString(deterministic=True))


def _bare(proto: Any) -> None:
    """Remove PyTorch's debug notes, paths of this machine included."""
    graph = proto.graph
    del graph.value_info[:], proto.functions[:]
    for item in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
    for value, sides in ((graph.input[0], ""), (graph.output[0], "4*")):
        names = ("batch", None, f"{sides}height", f"{sides}width")
        for dim, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
            if name and not dim.dim_value:
                dim.dim_param = name


def _load_onnx(path: Path) -> Run:
    _, runtime = _onnx_packages()
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run([OUTPUT], {INPUT: x.numpy()})[0])


def _onnx_packages() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  # PyTorch's exporter needs it
    except ImportError as fault:
        raise InputError(
            "format onnx needs the packages onnx, onnxscript and onnxruntime: "
            "pip install onnx onnxscript onnxruntime"
        ) from fault
    return onnx, onnxruntime


def _write_pt2(source: Source, path: Path) -> None:
    for node in source.program.exported.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node"):
            node.meta.pop(key, None)  # debug notes with paths of this machine
    content = io.BytesIO()  # a file's temporary name would get into the archive
    with quiet(), _no_log("torch.export"):
        torch.export.save(source.program.exported, content, extra_files=dict(source.facts))
    path.write_bytes(content.getvalue())


def _load_pt2(path: Path) -> Run:
    with quiet():
        return torch.export.load(path).module()


def _write_torchscript(source: Source, path: Path) -> None:
    content = io.BytesIO()  # as above
    with quiet():
        torch.jit.save(traced(source.exportable), content, _extra_files=dict(source.facts))
    path.write_bytes(content.getvalue())


def _load_torchscript(path: Path) -> Run:
    with quiet():
        return torch.jit.load(path)


def _write_safetensors(source: Source, path: Path) -> None:
    """A model file of the workbench: weights and architecture, no program."""
    own = ("name", "scale", "architecture")
    facts = {key: value for key, value in source.facts.items() if key not in own}
    path.write_bytes(model_bytes(source.model.network, source.model.name, facts, source.dtype))


def _load_safetensors(path: Path) -> Run:
    network = load_model(path).network
    return lambda x: network(x.float()).clamp(0, 1)


@contextmanager
def _no_log(name: str) -> Iterator[None]:
    """Silence a library's warnings that its user cannot act on."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


formats: Registry[Format] = Registry("format")
"""Format name -> how its files are written and run."""

formats.add("onnx", Format((".onnx",), _write_onnx, _load_onnx, sized=True))
formats.add("pt2", Format((".pt2",), _write_pt2, _load_pt2, sized=True))
formats.add("torchscript", Format((".pt", ".torchscript"), _write_torchscript, _load_torchscript))
formats.add("safetensors", Format((".safetensors",), _write_safetensors, _load_safetensors))
