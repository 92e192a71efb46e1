"""What the contract tests share: stored documents, and commands run as a user runs them.

They know the command line and the public API only, never a module behind them: those may move.
With ``UPDATE_GOLDEN=1`` in the environment the tests write the documents they compare with.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing, redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from nas.cli import main

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parent.parent
NEAR_DB = 1e-3
STUDY = "tiny-1.5ms-c5ad7c"
"""The stored study; the last part is a hash of all that its results depend on."""


def command(*arguments: object, cwd: Path, **environment: str) -> tuple[int, str, str]:
    """Run ``nas`` as a process: exit code, stdout, stderr; in lines of 100 characters."""
    done = subprocess.run(
        [sys.executable, "-m", "nas.cli", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def document(*arguments: object, cwd: Path) -> Any:
    """What ``nas`` prints with ``--json``; it runs in this process, which is quicker."""
    before, out, err = Path.cwd(), io.StringIO(), io.StringIO()
    os.chdir(cwd)
    try:
        with (
            mock.patch.object(sys, "argv", ["nas", *map(str, arguments), "--json"]),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            main()
    except SystemExit as end:
        assert not end.code, err.getvalue()
    finally:
        os.chdir(before)
    return json.loads(out.getvalue())


def stored(name: str, folder: Path) -> Path:
    """Copy a stored file or folder to where a test may change it."""
    source, copy = GOLDEN / name, folder / name
    if source.is_dir():
        shutil.copytree(source, copy)
    else:
        shutil.copyfile(source, copy)
    return copy


def stored_study(folder: Path) -> None:
    """Put the stored study into a folder, with its weights, its space and its prepared set."""
    with closing(sqlite3.connect(folder / "studies.db")) as database:
        database.executescript((GOLDEN / "study" / "studies.sql").read_text())
    weights = folder / "studies-files" / STUDY / "weights"
    shutil.copytree(GOLDEN / "study" / "weights", weights)
    shutil.copyfile(GOLDEN / "study" / "tiny.yaml", folder / "tiny.yaml")
    stored("set", folder)


def stored_tracking(folder: Path) -> None:
    """Put MLflow's store of the study into a folder; without the artifacts, which are large."""
    text = lzma.decompress((GOLDEN / "study" / "mlflow.sql.xz").read_bytes()).decode()
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.executescript(text.replace("FOLDER", str(folder)))


def machine() -> dict[str, str]:
    """What the last bits of a training depend on: the processor, and the version of PyTorch."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    facts = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    names = ("model name", "cpu family", "model", "stepping")
    cpu = ", ".join(f"{name} {facts.get(name, '?')}" for name in names)
    return {"cpu": cpu, "torch": version("torch"), "numpy": version("numpy")}


def weights_hash(path: Path) -> str:
    """A hash of the tensors of a safetensors file: names, types, shapes and all bits."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    digest = hashlib.sha256()
    for name, tensor in sorted(header.items()):
        begin, end = tensor["data_offsets"]
        digest.update(f"{name} {tensor['dtype']} {tensor['shape']}\n".encode())
        digest.update(content[start + begin : start + end])
    return digest.hexdigest()


def same_numbers(part: str, gain_db: float | None, weights: dict[str, str]) -> None:
    """Compare a gain and hashes of weights with the stored ones, to the last bit.

    The gain is near the stored one on every machine; bits are compared on the machine whose they
    are, elsewhere the test is skipped.
    """
    path = GOLDEN / "numbers.json"
    expected = json.loads(path.read_text()) if path.exists() else {}
    found = {"gain_db": repr(gain_db), **weights, "made on": machine()}
    if os.environ.get("UPDATE_GOLDEN"):
        expected[part] = found
        path.write_text(written(expected))
    if gain_db is not None:
        assert abs(gain_db - float(expected[part]["gain_db"])) < NEAR_DB
    if found["made on"] != expected[part]["made on"]:
        pytest.skip(f"bits are stored for {expected[part]['made on']}, this is {machine()}")
    assert found == expected[part]


def agrees(name: str, found: Any) -> None:
    """Compare a text or a JSON document with the stored one."""
    path = GOLDEN / name
    text = found if isinstance(found, str) else written(found)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    expected = path.read_text()
    if not isinstance(found, str):  # a difference of two documents reads better
        assert json.loads(text) == json.loads(expected)
    assert text == expected


def agrees_in_part(name: str, part: str, found: Any) -> None:
    """Compare a document with one part of a stored one."""
    path = GOLDEN / name
    expected = json.loads(path.read_text()) if path.exists() else {}
    if os.environ.get("UPDATE_GOLDEN"):
        expected[part] = found
        path.write_text(written(expected))
    assert found == expected[part]


def written(document: Any) -> str:
    """A JSON document as it is stored: short values and lists of them on one line."""
    text = json.dumps(document, indent=1, ensure_ascii=False)
    short = re.compile(r"[\[{]\s+([^\[\]{}]*?)\s+[\]}]")

    def joined(match: re.Match[str]) -> str:
        line = match[0][0] + re.sub(r"\n\s*", " ", match[1]) + match[0][-1]
        return line if len(line) <= 140 else match[0]

    return short.sub(joined, text) + "\n"


def shape(value: Any) -> Any:
    """The keys of a JSON document and the types of its values.

    Items of a list are taken together. A key that is not in every item ends with a question mark.
    Types that differ are joined: ``null or number``.
    """
    if isinstance(value, Mapping):
        if value and all(re.fullmatch(r"\d+|clean", key) for key in value):  # QPs and trials
            return {"NUMBER": merged([shape(item) for item in value.values()])}
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [merged([shape(item) for item in value])] if value else []
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    return "text" if isinstance(value, str) else "number"


def merged(shapes: list[Any]) -> Any:
    """One shape of several."""
    if all(isinstance(each, dict) for each in shapes):
        keys = dict.fromkeys(key for each in shapes for key in each)
        return {
            key if all(key in each for each in shapes) else f"{key}?": merged(
                [each[key] for each in shapes if key in each]
            )
            for key in keys
        }
    if all(isinstance(each, list) for each in shapes):
        items = [item for each in shapes for item in each]
        return [merged(items)] if items else []
    nested = [each for each in shapes if not isinstance(each, str)]
    plain = [name for each in shapes if isinstance(each, str) for name in each.split(" or ")]
    names = sorted(set(plain))
    if not nested:
        return " or ".join(names)
    return {"one of": [*names, merged(nested)]}
