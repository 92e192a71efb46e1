"""Files of models that a disk has damaged, or another program or version has written.

A network with a flipped bit runs as well as the right one: only a hash tells. See
``docs/faults.md``.
"""

from __future__ import annotations

import json
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from refusals import refused
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nas.common.checked_files import SEAL, sealed
from nas.common.errors import InputError
from nas.deploy.models import WEIGHTS
from nas.training.engine.checkpoint import load_checkpoint, save_checkpoint
from search_spaces import Architecture, Stage, build
from search_spaces.model_file import Model, load_model, read_architecture, save_model
from teachers import loading
from teachers.hat.network import HAT, HATSettings
from teachers.loading import load_teacher, save_teacher

SMALL = Architecture(width=4, stages=(Stage("conv", 4, 1),), residual="bilinear")
HAT_SMALL = HATSettings(4, (1,), (1,), window=2, compress=2, squeeze=2, features=4)


@pytest.fixture
def file(tmp_path) -> Path:
    """A model as `nas train` leaves it."""
    model = Model("small", build(SMALL, seed=0), {"gain_db": "0.4812", "licence": "MIT"})
    return save_model(model, tmp_path / "small.safetensors") and tmp_path / "small.safetensors"


def header_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as opened:
        return opened.metadata()


def flipped(content: bytes, at: int, bit: int = 0) -> bytes:
    at %= len(content)
    return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


def test_no_flipped_bit_of_a_model_gives_another_network(file):
    content, model = file.read_bytes(), load_model(file)
    (length,) = struct.unpack("<Q", content[:8])
    header, data = range(8 + length), range(8 + length, len(content), 37)
    refusals = 0
    for at in (*header, *data):
        file.write_bytes(flipped(content, at, at % 8))
        try:
            loaded = load_model(file)
        except InputError as fault:
            assert str(file) in str(fault) and "\n" not in str(fault)
            refusals += 1
        else:  # in the name of the hash: then it is a file without one
            assert at in header and SEAL not in header_of(file)
            assert loaded.architecture == SMALL and same(loaded.network, model.network)
    assert refusals >= length + len(data) - len(SEAL)


@pytest.mark.parametrize("where", ["length", "architecture", "fact", "offsets", "first", "last"])
def test_each_command_says_in_one_sentence_that_a_model_is_damaged(nas, file, where):
    content = file.read_bytes()
    places = {
        "length": 1,
        "architecture": content.index(b"bilinear") + 2,
        "fact": content.index(b"0.4812") + 3,
        "offsets": content.index(b"data_offsets") + 16,
        "first": 8 + struct.unpack("<Q", content[:8])[0],
        "last": len(content) - 1,
    }
    file.write_bytes(flipped(content, places[where]))
    got = "is damaged" if where not in ("length", "offsets") else "small.safetensors"
    refused(nas("cost", file), "small.safetensors", got)
    refused(nas("export", file), "small.safetensors", got)


def test_a_damaged_model_neither_teaches_nor_tells_its_architecture(file):
    content = file.read_bytes()
    for at in (content.index(b"bilinear") + 2, content.index(b"nas-workbench-1"), -1):
        file.write_bytes(flipped(content, at))
        for reads in (load_teacher, read_architecture):
            with pytest.raises(InputError, match="is damaged"):
                reads(file)


def test_a_damaged_teacher_is_named(tmp_path):
    path = tmp_path / "teacher.safetensors"
    save_teacher(HAT(HAT_SMALL), path)
    content = path.read_bytes()
    assert load_teacher(path).name == "teacher"
    for at in range(len(content) // 3, len(content), 997):
        path.write_bytes(flipped(content, at))
        with pytest.raises(InputError, match=r"teacher\.safetensors"):
            load_teacher(path)


def test_weights_that_come_along_are_sealed_or_known_by_their_hash(tmp_path, monkeypatch):
    assert all(SEAL in header_of(path) for path in WEIGHTS.glob("*.safetensors"))
    monkeypatch.setattr(loading, "WEIGHTS", tmp_path)
    for path in Path(loading.__file__).with_name("weights").glob("*.safetensors"):
        (tmp_path / path.name).write_bytes(flipped(path.read_bytes(), -1))
        with pytest.raises(InputError, match=r"is damaged: install nas-workbench again"):
            load_teacher(path.stem)


def test_files_without_a_hash_load_as_before(file, tmp_path):
    model = load_model(file)
    strings = {key: value for key, value in header_of(file).items() if key != SEAL}
    save_file(load_file(file), tmp_path / "earlier.safetensors", strings)
    earlier = load_model(tmp_path / "earlier.safetensors")
    assert same(earlier.network, model.network)
    assert (earlier.name, earlier.facts) == (model.name, model.facts)
    assert SEAL not in model.facts


def test_a_program_that_writes_the_same_in_another_order_does_no_damage(file, tmp_path):
    """The library itself writes headers in a random order."""
    copy = tmp_path / "copy.safetensors"
    tensors = dict(reversed(load_file(file).items()))
    save_file(tensors, copy, dict(reversed(header_of(file).items())))
    assert same(load_model(copy).network, load_model(file).network)


def test_equal_models_are_equal_files(file, tmp_path):
    again = save_model(load_model(file), tmp_path / "again.safetensors")
    assert again.digest == load_model(file).digest


def test_a_model_in_half_precision_is_sealed_too(nas, file, tmp_path):
    half = tmp_path / "half.safetensors"
    assert nas("export", file, "--half", "-o", half)[0] == 0
    assert SEAL in header_of(half)
    half.write_bytes(flipped(half.read_bytes(), -1))
    refused(nas("cost", half), "half.safetensors is damaged")


def test_a_model_of_a_newer_version_says_so(nas, file):
    header = {**header_of(file), "format": "nas-workbench-2"}
    file.write_bytes(sealed(load_file(file), {k: v for k, v in header.items() if k != SEAL}))
    refused(nas("cost", file), "is of a newer version of the workbench", "upgrade nas-workbench")
    with pytest.raises(InputError, match="newer version"):
        load_teacher(file)


def test_a_network_with_parts_that_this_version_does_not_know_says_so(nas, file):
    header = {key: value for key, value in header_of(file).items() if key != SEAL}
    tensors = load_file(file)
    for part, change in (
        ("dilation", {"dilation": 2}),
        ("mamba", {"stages": [{"block": "mamba", "width": 4, "depth": 1}]}),
    ):
        got = json.dumps({**json.loads(header["architecture"]), **change})
        file.write_bytes(sealed(tensors, {**header, "architecture": got}))
        refused(nas("cost", file), "small.safetensors", "newer version", part)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(nas, file, number):
    model = load_model(file)
    name, tensor = next(iter(model.network.state_dict().items()))
    tensor.view(-1)[0] = number
    save_model(replace(model, name=name), file)
    refused(nas("cost", file), "small.safetensors holds weights that are NaN")


def test_a_teacher_of_no_numbers_is_refused(tmp_path):
    network = HAT(HAT_SMALL)
    network.conv_first.bias.data[0] = float("nan")
    save_teacher(network, tmp_path / "t.safetensors")
    with pytest.raises(InputError, match=r"t\.safetensors holds weights that are NaN"):
        load_teacher(tmp_path / "t.safetensors")


def test_a_copy_that_was_cut_short_is_named(nas, file, tmp_path):
    for kept in (0, 7, 100, file.stat().st_size - 1):
        cut = tmp_path / "cut.safetensors"
        shutil.copyfile(file, cut)
        with cut.open("r+b") as opened:
            opened.truncate(kept)
        refused(nas("cost", cut), "cut.safetensors")


def test_no_flipped_bit_of_a_checkpoint_is_continued(tmp_path):
    path, whose = tmp_path / "checkpoint.pt", {"network": "x"}
    save_checkpoint(path, whose, {"weights": torch.arange(300.0), "step": 3})
    content = path.read_bytes()
    for at in (*range(70), *range(70, len(content), 101), len(content) - 1):
        path.write_bytes(flipped(content, at, at % 8))
        with pytest.raises(InputError, match=r"checkpoint\.pt .*is damaged: remove it"):
            load_checkpoint(path, whose)


def test_what_a_damaged_checkpoint_had_learned_is_not_lost(nas, pair_set, own_place):
    stage = {"steps": 3, "patch": 16, "batch": 1, "losses": {"mse": 1}}
    (own_place / "quick.yaml").write_text(json.dumps({"stages": [stage]}))
    (own_place / "small.json").write_text(SMALL.to_json())
    train = ("train", "small.json", "--recipe", "quick.yaml", "--data", pair_set.path)
    train += ("--tracking-uri", "none")
    assert nas(*train, "--out", "one")[0] == 0
    checkpoint = own_place / "one" / "checkpoint.pt"
    checkpoint.write_bytes(flipped(checkpoint.read_bytes(), -9))
    advice = "--start one/last.safetensors --out FOLDER"
    refused(nas(*train, "--out", "one"), "one/checkpoint.pt", "is damaged", advice)
    assert nas(*train, "--start", "one/last.safetensors", "--out", "two")[0] == 0
