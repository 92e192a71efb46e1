"""What comes from elsewhere is refused with a sentence, costs little, and writes nowhere."""

from __future__ import annotations

import io
import json
import os
import re
import resource
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from PIL import Image
from refusals import refused
from skimage import data as photographs

from nas.common.checked_files import SEAL
from nas.common.errors import InputError
from nas.common.tables import Column, Table
from nas.common.yaml import load_plain
from nas.data.manifest import MANIFEST, RECORDS, read_manifest
from nas.data.prepare import prepare
from nas.measure import device_lock
from search_spaces import Architecture, build
from search_spaces.model_file import load_model, model_bytes
from studies.report.page import Section, definition_list, page, paragraph
from studies.tracking.store import server_command

SMALL = Architecture(width=4)

HOSTILE = {
    "deep list": "[" * 100_000,
    "deep object": '{"a":' * 100_000,
    "endless number": '{"width":' + "9" * 5000 + "}",
    "wide": '{"width":1000000000}',
    "deep": '{"stages":[{"block":"conv","width":8,"depth":1000000}]}',
    "long": json.dumps({"stages": [{"block": "conv", "width": 8}] * 5_000}),
    "heavy": json.dumps({"width": 1024, "stages": [{"block": "ecb", "width": 1024, "depth": 64}]}),
    "no stages": '{"stages":null}',
    "stage without block": '{"stages":[{}]}',
    "block of another kind": '{"stages":[{"block":["x"],"width":8}]}',
    "neck of another kind": '{"neck":["x"]}',
    "bias of another kind": '{"bias":"yes"}',
    "not finite": '{"width":NaN}',
    "field of a megabyte": json.dumps({"a" * 1_000_000: 1}),
    "terminal codes": '{"activation":"\\u001b[31mred"}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_an_architecture_from_a_file_is_refused_at_once_with_a_short_sentence(text):
    start = time.process_time()
    with pytest.raises(InputError) as got:
        build(Architecture.from_json(text), seed=0)
    assert len(str(got.value)) < 400 and "\x1b" not in str(got.value)
    assert time.process_time() - start < 2


def with_header(**changes):
    """A model's file whose header says something else."""
    content = model_bytes(build(SMALL, seed=0), "small")
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] |= changes
    del header["__metadata__"][SEAL]  # who changes a file on purpose would not leave it
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def test_a_model_file_cannot_make_the_program_build_what_fills_memory(tmp_path, nas):
    path = tmp_path / "bomb.safetensors"
    path.write_bytes(with_header(architecture=HOSTILE["heavy"]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(nas("cost", path), "bomb.safetensors")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


@pytest.mark.parametrize("length", [2**63, 2**40, 200_000_000], ids=["2^63", "2^40", "200 MB"])
def test_a_header_longer_than_its_file_is_refused(tmp_path, nas, length):
    path = tmp_path / "long.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{" * 1000)
    refused(nas("cost", path), "long.safetensors")


def test_a_models_name_chooses_neither_a_place_nor_terminal_codes(tmp_path, nas, monkeypatch):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    (inside / "m.safetensors").write_bytes(with_header(name="../../\x1b[2Jout"))
    monkeypatch.chdir(inside)
    assert "\x1b" not in load_model(inside / "m.safetensors").name
    code, _, _ = nas("export", "m.safetensors", "--format", "safetensors")
    assert code == 0
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 2 and all(path.parent == inside for path in written)
    assert not [path for path in written if path.name.startswith(".")], "hidden"


class Command:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("command", ["teacher", "start"])
def test_nothing_in_a_file_of_weights_is_run(tmp_path, nas, command):
    mark, path = tmp_path / "ran", tmp_path / "weights.pth"
    torch.save({"params": Command(mark)}, path)
    if command == "teacher":
        result = nas("teacher", "evaluate", "--teacher", path)
    else:
        result = nas("cost", path)
    assert result[0] == 2 and not mark.exists()


def test_an_array_of_objects_is_never_loaded(tmp_path):
    from nas.common.checked_files import read_array

    path = tmp_path / "objects.npy"
    np.save(path, np.array([Command(tmp_path / "ran")], object), allow_pickle=True)
    assert read_array(path) is None and not (tmp_path / "ran").exists()


def billion_laughs(levels=30):
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, levels)]
    return "\n".join(lines)


def merged(levels=30):
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [billion_laughs(), merged(), "a: &a [*a]", "[" * 50_000, "!!python/object/apply:os.getcwd []"],
    ids=["laughs", "merged", "itself", "nested", "code"],
)
def test_yaml_that_grows_or_runs_is_refused_wherever_yaml_is_read(tmp_path, nas, text):
    path = tmp_path / "bomb.yaml"
    path.write_text(text)
    start = time.process_time()
    refused(nas("search", "--space", path, "--dry-run"), "bomb.yaml")
    refused(nas("train", "RepTCN", "--recipe", path, "--tracking-uri", "none"), "bomb.yaml")
    assert time.process_time() - start < 20


def test_references_that_people_write_are_read():
    assert load_plain("a: &s {x: 1}\nb: {<<: *s, y: 2}") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}


def png_of(width, height):
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind, content):
        packed = kind + content
        return struct.pack(">I", len(content)) + packed + struct.pack(">I", zlib.crc32(packed))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def avif_of(width, height):
    """An AVIF file whose image spatial extents claim a size."""
    import pillow_avif  # noqa: F401

    content = io.BytesIO()
    Image.new("RGB", (16, 16)).save(content, "AVIF")
    place = content.getvalue().index(b"ispe") + 8
    got = content.getvalue()
    return got[:place] + struct.pack(">II", width, height) + got[place + 8 :]


def webp_of(width, height):
    """A WebP canvas (VP8X) larger than the picture in it."""
    content = io.BytesIO()
    Image.new("RGBA", (16, 16), (1, 2, 3, 4)).save(content, "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0")
    got = content.getvalue()
    assert got[12:16] == b"VP8X"
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return got[:24] + sides + got[30:]


def jpeg_of(width, height):
    content = io.BytesIO()
    Image.new("RGB", (16, 16)).save(content, "JPEG")
    got = content.getvalue()
    place = got.index(b"\xff\xc0") + 5
    return got[:place] + struct.pack(">HH", height, width) + got[place + 4 :]


BOMBS = {
    "wide.png": png_of(100_000, 100_000),
    "tall.png": png_of(1, 2**31 - 1),
    "huge.png": png_of(2**31 - 1, 2**31 - 1),
    "huge.avif": avif_of(2**30, 2**30),
    "wide.webp": webp_of(16_000, 16_000),
    "wide.jpg": jpeg_of(65_000, 65_000),
}


def test_bombs_of_every_format_are_named_and_cost_no_memory(tmp_path, nas):
    for name, content in BOMBS.items():
        (tmp_path / name).write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in BOMBS:
        code, _, err = nas("upscale", tmp_path / name)
        assert code == 2 and name in err and "Traceback" not in err
    code, _, err = nas("data", "prepare", tmp_path, "--out", tmp_path / "set", "--workers", "1")
    assert code == 2 and "Traceback" not in err
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB
    assert not list(tmp_path.glob("*-4x*"))


@pytest.fixture(scope="module")
def pair_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hr")
    Image.fromarray(photographs.chelsea()[:256, :256]).save(folder / "cat.png")
    Image.fromarray(photographs.coffee()[:256, :256]).save(folder / "cup.png")
    out = tmp_path_factory.mktemp("set")
    prepare(folder, out, qps=(63,), validation=0.5)
    return folder, out


@pytest.mark.parametrize("place", ["../outside.png", "/etc/passwd", "hr/../../outside.png"])
def test_a_set_names_no_file_outside_of_itself(pair_set, tmp_path, place):
    _, out = pair_set
    manifest = json.loads((out / MANIFEST).read_text())
    manifest["pictures"][0]["files"]["hr"]["path"] = place
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="is damaged"):
        read_manifest(tmp_path)


def test_a_record_in_a_shared_set_chooses_no_place_to_write_to(pair_set, tmp_path):
    folder, out = pair_set
    for record in (out / RECORDS).glob("*.json"):
        content = json.loads(record.read_text()) | {"name": f"../../{tmp_path.name}/evil"}
        place = tmp_path / "set" / RECORDS / record.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(content))
    prepare(folder, tmp_path / "set", qps=(63,), validation=0.5)
    assert not list(tmp_path.rglob("*evil*"))
    assert read_manifest(tmp_path / "set").entries


EVIL = "</script><script>alert(1)</script><!--<script>\"'><img src=x onerror=alert(1)>"


def test_no_name_becomes_markup_on_a_page():
    figure = go.Figure(go.Scatter(x=[1], y=[1], text=[EVIL], name=EVIL))
    body = Table([Column(EVIL, EVIL)], [{EVIL: EVIL}]).html()
    body += definition_list({EVIL: ""}) + paragraph(EVIL)
    got = page(EVIL, "", [Section("one", EVIL, body)], {"figure": figure})
    assert "<img src=x" not in got and "<script>alert" not in got
    figures = re.search(r'id="figures">(.*?)</script>', got, re.DOTALL)
    assert "<" not in figures[1]
    assert json.loads(figures[1])["figure"]["data"][0]["text"] == [EVIL]


def test_a_lock_is_no_way_to_another_file(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    monkeypatch.setattr(device_lock.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "nas-workbench-cpu-turnstile.lock").symlink_to(victim)
    with (
        pytest.raises(InputError, match="turnstile"),
        device_lock.shared("cpu"),
    ):
        pass
    assert not victim.exists()


def test_the_ui_keeps_the_stores_secrets_out_of_its_title():
    command, environment = server_command("postgresql://me:secret@host/db", "127.0.0.1", 5000)
    assert "secret" not in " ".join(command)
    assert "secret" in environment["MLFLOW_BACKEND_STORE_URI"]


def test_servers_listen_on_this_machine_alone():
    import typer

    from nas.cli.app import app

    root = typer.main.get_command(app)
    hosts = [
        option.default
        for command in root.commands.values()
        for option in command.params
        if option.name == "host"
    ]
    assert hosts and set(hosts) == {"127.0.0.1"}
