"""Files that people write: as any editor saves them, and a fault in one is told with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.common.yaml import load_plain
from nas.measure.latency.fit import read_runtimes
from nas.measure.latency.predict import PROFILES, LatencyModel
from nas.training.proxy.check import read_reference
from nas.training.recipe.recipe import load_recipe
from search_spaces import Architecture, InputError
from search_spaces.model_file import read_architecture
from search_spaces.space import load_space

NETWORK = Architecture(width=8).to_json()
READERS = [
    ("network.json", NETWORK, read_architecture),
    ("space.yaml", "dimensions: {width: [8, 12]}", lambda path: load_space(str(path))),
    ("recipe.yaml", "stages: [{steps: 9, losses: {l1: 1}}]", load_recipe),
    ("gains.json", '{"RepTCN": 0.3}', read_reference),
    ("profile.json", (PROFILES / "rtx4090.json").read_text(), LatencyModel.read),
    ("runtimes.csv", "network,runtime_ms\nnetwork.json,1.5\nRepTCN,2\n", read_runtimes),
    ("runtimes.json", '{"network.json": 1.5, "RepTCN": 2}', read_runtimes),
]


@pytest.mark.parametrize(("name", "text", "read"), READERS, ids=[row[0] for row in READERS])
def test_how_an_editor_saves_it_makes_no_difference(tmp_path, name, text, read):
    plain, marked, other = (tmp_path / part for part in ("plain", "marked", "other"))
    for folder, encoding in ((plain, "utf-8"), (marked, "utf-8-sig"), (other, "utf-16")):
        folder.mkdir()
        (folder / "network.json").write_text(NETWORK, encoding="utf-8-sig")
        (folder / name).write_text(text.replace("\n", "\r\n"), encoding, newline="")
    assert read(marked / name) == read(plain / name)
    with pytest.raises(InputError, match=f"{name} is no text in UTF-8: save it as UTF-8"):
        read(other / name)


@pytest.mark.parametrize("read", [read_architecture, read_reference, LatencyModel.read])
@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a": ' * 100_000, "9" * 5000, "NaN"])
def test_what_is_no_json_is_told_in_a_sentence(tmp_path, read, text):
    path = Path(tmp_path / "odd.json")
    path.write_text(text)
    with pytest.raises(InputError, match=r"odd\.json") as refused:
        read(path)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400


def test_a_csv_that_is_none(tmp_path):
    (tmp_path / "odd.csv").write_text("network,runtime_ms\n" + "9" * 200_000 + ",1\n")
    with pytest.raises(InputError, match=r"odd\.csv, line 2 is no CSV: field larger than"):
        read_runtimes(tmp_path / "odd.csv")


def test_a_row_may_name_a_file_beside_it_and_a_missing_one_is_told(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps([{"network": "absent.json", "ms": 1}]))
    with pytest.raises(InputError, match=r"row 1: there is no network or file 'absent\.json'"):
        read_runtimes(tmp_path / "r.json")


LAUGHS = "\n".join(
    f"a{n}: &a{n} [{', '.join(['x' if not n else f'*a{n - 1}'] * 9)}]" for n in range(8)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x: 1\na: &a [*a]", "holds a reference, line 2"),
        ("x: 1\na:\n  &a {b: *a}", "holds a reference, line 3"),
        (LAUGHS, "holds a reference, line 2"),
        ("a: &b 1\nc: &b 2", "second occurrence, line 2"),
        ("a: 1\nb: *c", "undefined alias 'c', line 2"),
        ("a: &a {x: 1,\n  x: 2}\nb: *a", "'x' occurs twice, line 2"),
        ("a: 1\nb: &b 2024-99-99\nc: *b", "'2024-99-99' is not a valid timestamp, line 2"),
        ("a: 1\nb: !!int many", "'many' is not a valid int, line 2"),
        ("a: !!bool maybe", "'maybe' is not a valid bool, line 1"),
        ("a: !!timestamp soon", "'soon' is not a valid timestamp, line 1"),
    ],
)
def test_a_fault_of_a_yaml_text_has_its_line(text, told):
    with pytest.raises(ValueError, match=told):
        load_plain(text)
