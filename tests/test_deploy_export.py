"""``nas export``: files that other programs run, checked, described, and absent when wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from refusals import refused
from safetensors import safe_open

from nas.deploy.export import export
from search_spaces import Architecture, InputError, Model, Stage, build, fuse, load_model, published
from search_spaces.model_file import model_bytes

FACTS = {"gain_db": "0.41", "licence": "CC-BY-4.0"}


@pytest.fixture
def nas(nas, monkeypatch, tmp_path):
    """Run ``nas`` in this process, in a folder with two models: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    for name in ("RepTCN", "ANUNet"):
        network = build(published[name].architecture, seed=0)
        (tmp_path / f"{name}.safetensors").write_bytes(model_bytes(network, name, FACTS))
    return nas


def test_an_onnx_file_upscales_by_onnxruntime_alone_and_describes_itself(nas, tmp_path):
    """What the file needs is onnxruntime: nothing of the workbench, and no PyTorch."""
    code, out, err = nas("export", "ANUNet.safetensors", "--json")
    assert code == 0, err
    got = json.loads(out)
    assert got["path"] == "ANUNet.onnx" and got["format"] == "onnx" and got["opset"] == 18
    assert got["precision"] == "float32" and got["size"] is None and got["any_batch"]
    assert got["error"] < 1e-5 and got["bytes"] == (tmp_path / "ANUNet.onnx").stat().st_size
    program = """
import json, sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("ANUNet.onnx")
(given,), (made,) = session.get_inputs(), session.get_outputs()
assert given.shape == ["batch", 3, "height", "width"], given.shape
assert made.shape == ["batch", 3, "4*height", "4*width"], made.shape
np.save("out.npy", session.run(None, {given.name: np.load("in.npy")})[0])
print(json.dumps(session.get_modelmeta().custom_metadata_map))
assert "torch" not in sys.modules and "search_spaces" not in sys.modules
"""
    import numpy as np

    x = torch.rand(2, 3, 21, 34, generator=torch.Generator().manual_seed(1)) * 3 - 1
    np.save(tmp_path / "in.npy", x.numpy())
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    made = torch.from_numpy(np.load(tmp_path / "out.npy"))
    model = load_model(tmp_path / "ANUNet.safetensors")
    with torch.no_grad():
        assert torch.allclose(made, model.network(x).clamp(0, 1), atol=1e-5)
    assert made.min() == 0 and made.max() == 1
    described = json.loads(ran.stdout)
    assert described["name"] == "ANUNet" and described["scale"] == "4"
    assert described["gain_db"] == "0.41" and described["licence"] == "CC-BY-4.0"
    assert Architecture.from_json(described["architecture"]) == published["ANUNet"].architecture


def test_a_graph_of_a_plain_network_is_its_convolutions_and_little_else(nas, tmp_path):
    onnx = pytest.importorskip("onnx")
    for name in ("a.onnx", "again.onnx"):
        assert nas("export", "RepTCN.safetensors", "-o", name)[0] == 0
    assert nas("export", "ANUNet.safetensors", "-o", "b.onnx", "--size", "54x96")[0] == 0
    nodes = [node.op_type for node in onnx.load("a.onnx").graph.node]
    assert nodes == ["Conv", "Relu", "Conv", "Relu", "Conv", "Clip", "DepthToSpace"]
    graph = onnx.load("b.onnx").graph
    assert not {"Reshape", "Transpose", "Pad", "Shape"} & {node.op_type for node in graph.node}
    contents = [each.raw_data for each in graph.initializer if len(each.dims)]
    assert len(set(contents)) == len(contents)
    content = (tmp_path / "a.onnx").read_bytes()
    assert len(content) < 1.1 * (tmp_path / "RepTCN.safetensors").stat().st_size
    assert content == (tmp_path / "again.onnx").read_bytes()
    assert b".py" not in content, "paths of this machine"


@pytest.mark.filterwarnings("ignore")
def test_pytorch_loads_pt2_and_torchscript_with_their_description(nas, tmp_path):
    x = torch.rand(1, 3, 19, 40)
    network = load_model(tmp_path / "RepTCN.safetensors").network
    for name in ("again.pt2", "m.pt2", "m.pt"):
        code, out, err = nas("export", "RepTCN.safetensors", "-o", name)
        assert code == 0 and err == "", err
        assert "largest difference from PyTorch" in out
        described = {"licence": "", "architecture": ""}
        if name.endswith("pt2"):
            run = torch.export.load(name, extra_files=described).module()
        else:
            run = torch.jit.load(name, _extra_files=described)
        with torch.no_grad():
            assert torch.allclose(run(x), network(x).clamp(0, 1), atol=1e-5)
        words = {key: v.decode() if isinstance(v, bytes) else v for key, v in described.items()}
        assert words["licence"] == "CC-BY-4.0" and "reprfn" in words["architecture"]
    content = (tmp_path / "m.pt2").read_bytes()
    assert content == (tmp_path / "again.pt2").read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in content


def test_half_precision_halves_the_file_and_states_its_error(nas, tmp_path):
    code, out, _ = nas("export", "RepTCN.safetensors", "--format", "safetensors", "--half")
    refused((code, out, _), "RepTCN.safetensors", "itself")
    code, out, err = nas("export", "RepTCN.safetensors", "-o", "h.safetensors", "--half", "--json")
    assert code == 0, err
    got = json.loads(out)
    assert got["precision"] == "float16" and 1e-5 < got["error"] < 5e-3 < got["error_bound"]
    whole = (tmp_path / "RepTCN.safetensors").stat().st_size
    assert got["bytes"] < 0.6 * whole
    with safe_open("h.safetensors", "pt") as file:
        assert file.metadata()["precision"] == "float16"
        assert file.get_tensor("tail.weight").dtype == torch.float16
    again = load_model(tmp_path / "h.safetensors")
    assert again.name == "RepTCN" and again.facts["licence"] == "CC-BY-4.0"


def test_a_file_that_computes_something_else_is_not_left_behind(tmp_path):
    """FP16 ends at 65504: a network whose features go beyond is only right in FP32."""
    network = fuse(build(Architecture(stages=(Stage("conv", 16, 1),)), seed=0))
    with torch.no_grad():
        network.stem[0].weight.mul_(1e6)
        network.tail.weight.mul_(1e-6)
    model = Model("loud", network)
    path = tmp_path / "loud.pt"
    path.write_text("what was there")
    with pytest.raises(InputError, match=r"loud.pt was not written.*leave out --half"):
        export(model, path, "torchscript", half=True)
    assert path.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [path]
    assert export(model, path, "torchscript").error < 1e-4


def test_what_cannot_be_asked_for_is_said_in_a_sentence(nas, tmp_path, monkeypatch):
    model = "RepTCN.safetensors"
    refused(nas("export", model, "--format", "tflite"), "'tflite'", "onnx, pt2")
    refused(nas("export", model, "-o", "x.bin"), "x.bin", ".onnx")
    refused(nas("export", model, "--opset", 11), "opset 11", "18 to 23")
    refused(nas("export", model, "--format", "pt2", "--opset", 18), "--opset", "onnx")
    refused(nas("export", model, "--size", "540"), "--size", "540x960")
    refused(nas("export", model, "--format", "torchscript", "--size", "54x96"), "--size")
    refused(nas("export", "absent.safetensors"), "absent.safetensors")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    refused(nas("export", model), "onnxscript", "pip install")
    assert not list(tmp_path.glob("*.onnx")) and not list(tmp_path.glob(".*"))
