"""The documents that ``--json`` prints: their keys, and the types of what these hold."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from contract import GOLDEN, agrees_in_part, command, document, shape, stored_study

COMMANDS = (
    "networks",
    "networks --references",
    "networks show PixelArtAI",
    "cost PixelArtAI",
    "latency PixelArtAI --target rtx4090",
    "latency fit runtimes.csv --name mine -o mine.json",
    "latency PixelArtAI --target mine.json",
    "data prepare set/hr --out made --qps 63 --validation 0.34 --workers 1",
    "data info set",
    "upscale set/qp63/discs-e6b7d22e.avif -o large.png --device cpu",
    "teacher evaluate hat-tiny --data set --device cpu",
    "evaluate STUDY/2 --data set --target rtx4090 --out evaluated --device cpu",
    "export STUDY/2 -o model.onnx",
    "export STUDY/2 -o model.safetensors",
    "front",
    "studies",
    "compare STUDY copy",
    "report",
    "promote --dry-run --recipe light",
)
"""In this order: some read what those before have made."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a study and a copy of it, a prepared set and runtimes to fit."""
    folder = tmp_path_factory.mktemp("documents")
    stored_study(folder)
    with closing(sqlite3.connect(folder / "studies.db")) as database:
        database.executescript("""
            INSERT INTO studies VALUES (2, 'copy');
            INSERT INTO study_directions (direction, study_id, objective)
                SELECT direction, 2, objective FROM study_directions;
            INSERT INTO study_user_attributes (study_id, key, value_json)
                SELECT 2, key, replace(value_json, '2026-01-01', '2025-12-31')
                FROM study_user_attributes;
            INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete)
                SELECT number, 2, state, datetime_start, datetime_complete FROM trials;
            INSERT INTO trial_user_attributes (trial_id, key, value_json)
                SELECT copy.trial_id, key, value_json FROM trial_user_attributes
                JOIN trials USING (trial_id) JOIN trials AS copy USING (number)
                WHERE copy.study_id = 2;
        """)
    rows = document("networks", cwd=folder)
    lines = [f"{row['name']},{row['published']['runtime_ms']}" for row in rows]
    (folder / "runtimes.csv").write_text("\n".join(["network,runtime_ms", *lines]) + "\n")
    return folder


@pytest.mark.parametrize("line", COMMANDS)
def test_a_document_has_the_stored_keys(folder, line):
    name = json.loads((GOLDEN / "study" / "studies.json").read_text())[0]["name"]
    found = document(*line.replace("STUDY", name).split(), cwd=folder)
    agrees_in_part("json.json", line, shape(found))


def test_the_document_of_a_check_of_proxies_has_the_stored_keys(tmp_path):
    stored_study(tmp_path)
    for name, width in (("a", 8), ("b", 10), ("c", 12)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"width": width, "stages": []}))
    (tmp_path / "gains.json").write_text(json.dumps({"a": 0.1, "b": 0.2, "c": 0.3}))
    code, out, err = command(
        *("proxy-check", "--networks", "a.json,b.json,c.json", "--reference", "gains.json"),
        *("--steps", 3, "--seeds", 1, "--data", "set", "--teacher", "none", "--device", "cpu"),
        *("--workers", 1, "--tracking-uri", "none", "--json"),
        cwd=tmp_path,
        NAS_CACHE=str(tmp_path / "cache"),
    )
    assert code == 0, err
    assert json.loads((tmp_path / "proxy-checks" / "proxy-check.json").read_text())
    agrees_in_part("json.json", "proxy-check", shape(json.loads(out)))


def test_the_documents_of_a_promotion_have_the_stored_keys(tmp_path):
    """Also the names of the files that a promotion leaves, and its own document."""
    stored_study(tmp_path)
    found = document(
        *("promote", "--recipe", "light", "--steps", 4, "--top", 1, "--device", "cpu"),
        *("--licence", "CC0-1.0", "--tracking-uri", "none"),
        cwd=tmp_path,
    )
    (entry,) = found["promoted"]
    folder = tmp_path / entry["folder"]
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    entry["made_by"]["git"] = ""  # null outside of a repository
    agrees_in_part("json.json", "promote", shape(found))
    agrees_in_part("json.json", "files of a promotion", files)
    kept = json.loads((folder / "promotion.json").read_text())
    agrees_in_part("json.json", "promotion.json", shape(kept))
    assert folder.name == "light-cbf8215b"  # a hash of recipe, data, teacher and seed
