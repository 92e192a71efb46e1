"""Tables of commands: no name is cut, wrapped or dropped, however narrow the terminal is."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from photos import evaluation_set
from quick_search import Quick, settings, small_space
from rich.console import Console

from nas.cli import terminal
from nas.cli.commands import proxy_check, train
from nas.common.tables import Column, Table
from nas.training.data import teacher_quality
from nas.training.engine import events
from search_spaces import fuse, published
from search_spaces.architecture import Architecture, Stage, Tail
from search_spaces.model_file import Model, save_model
from search_spaces.networks.factory import build
from studies import dry_run
from studies.core.budget import Budget
from studies.core.noise import Noise
from studies.core.outcome import Trained
from studies.report.tables import (
    TEXT_FRONT,
    TEXT_PROMOTED,
    front_table,
    plan_table,
    promoted_table,
    studies_table,
)
from studies.results.front import Member
from studies.results.promotions import Promotion
from studies.results.snapshot import load
from studies.search import run_study

LONG = Architecture(
    stem="strided2x4",
    stages=(Stage("lanczospp", 24, 3), Stage("repvgg", 12, 2)),
    tail=Tail(cascade=16),
    activation="gelu",
    residual="learned",
)
LABEL = LONG.label
STUDY = "balanced-1.25ms..8ms-2026-with-a-long-name-that-a-user-typed-3fa2c1"
WIDTHS = (80, 120)
NOISE = Noise(0.008)
MEMBER = Member(117, LABEL, {}, 0.31234, 1.2345, "predicted", 12.34, 123456, 105.8, 2, 0.006, 0.97)
MEMBER = replace(MEMBER, gain_cb_db=0.1, gain_cr_db=-0.05)
PROMOTED = Promotion(
    **dict.fromkeys(("study", "architecture", "recipe", "data", "data_name", "teacher"), "x"),
    **{"name": LABEL, "runtime_kind": "predicted", "runtime_target": "quick", "digest": "x"},
    **dict.fromkeys(("trial", "steps", "seed", "params"), 117),
    **dict.fromkeys(("proxy_gain_db", "gain_db", "runtime_ms", "macs_g", "seconds"), 1.0),
    gain_db_per_qp={},
    psnr_y_db={},
    onnx_error=None,
    made_by={},
)
LISTED = {
    "name": STUDY,
    "space": "balanced",
    "budget": "1.25 to 8 ms, 5 G MACs, 24 k parameters, 105.87 MB, colour loss 1 dB",
    "trained": 128,
    "rejected": 412,
    "broken": 3,
    "front": 17,
    "best_gain_db": 0.412,
}
TABLES = {
    "front": (front_table([MEMBER], NOISE, TEXT_FRONT, MEMBER), LABEL),
    "promoted": (promoted_table([PROMOTED], Budget(), NOISE, TEXT_PROMOTED), LABEL),
    "plan": (plan_table([MEMBER], ["done, +0.312 dB"], NOISE), LABEL),
    "studies": (studies_table([LISTED], [3]), STUDY),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", TABLES)
def test_a_long_name_costs_columns_and_stays_whole(name, width):
    table, long_name = TABLES[name]
    head, (line,) = table.text(width)
    assert long_name in line and max(map(len, (*head, line))) <= width


def test_the_first_column_to_go_is_the_most_optional():
    columns = [Column("a", "a"), Column("b", "b", "d", optional=1), Column("c", "c", "d", 2)]
    table = Table(columns, [{"a": "x" * 10, "b": 1, "c": 22}])
    shown = {width: table.text(width)[0][-1].split() for width in (17, 16, 13, 12, 3)}
    assert shown == {17: ["a", "b", "c"], 16: ["a", "b"], 13: ["a", "b"], 12: ["a"], 3: ["a"]}
    assert table.text(3)[1] == ["x" * 10], "rather too wide than cut"
    assert table.text() == (["a           b   c"], ["x" * 10 + "  1  22"])


def test_headings_take_a_line_a_word_before_columns_go():
    columns = [
        Column("trial", "trial", "d"),
        Column("gain_db", "gain dB", "+.3f"),
        Column("colour", "colour dB", "s", optional=1),
        Column("network", "network"),
    ]
    row = {"trial": 12, "gain_db": 0.123, "colour": "-0.312 tints", "network": "u2-24"}
    table = Table(columns, [row])
    assert table.text(80)[0] == ["trial  gain dB     colour dB  network"]
    assert table.text(36)[0] == [
        "         gain        colour",
        "trial      dB            dB  network",
    ]
    assert table.text(36)[1] == ["   12  +0.123  -0.312 tints  u2-24"]


def test_columns_without_values_are_left_out():
    columns = [Column("a", "a"), Column("b", "b", "d"), Column("c", "c", "d")]
    table = Table(columns, [{"a": "x", "b": None}, {"a": "y", "b": 2}])
    assert table.markdown() == "| a | b |\n| --- | ---: |\n| x | - |\n| y | 2 |"
    assert table.html(marked=1).count("<tr class=marked>") == 1
    assert '<td class=number data-value="2">2</td>' in table.html()
    assert [column.key for column in Table(columns, []).shown] == ["a", "b", "c"]


@pytest.fixture(params=WIDTHS)
def screen(request, monkeypatch):
    """A terminal of that width; a call returns the lines on it, and clears it."""
    file = io.StringIO()
    console = Console(file=file, width=request.param, force_terminal=True, color_system=None)
    monkeypatch.setattr(terminal, "out", console)

    def lines() -> list[str]:
        found = file.getvalue().splitlines()
        assert found and all(len(line) <= request.param for line in found), file.getvalue()
        file.seek(0)
        file.truncate()
        return found

    return lines


@pytest.fixture
def shown(screen, nas):
    """Run a command on that terminal; return the lines of its tables."""

    def run(*arguments):
        code, _, err = nas(*arguments)
        assert code == 0, err
        return screen()

    return run


def test_networks(shown):
    lines = shown("networks", "--references")
    assert all(any(line.startswith(f"{name} ") for line in lines) for name in published)


def test_commands_on_networks(shown, own_place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert any(line.startswith("body.0 ") for line in shown("networks", "show", "RVSR"))
    (tmp_path / "mine.json").write_text(LONG.to_json())
    assert LONG.label in shown("cost", "mine.json")[0]
    rows = [f"{name},{known.table1.runtime_ms}" for name, known in published.items()]
    (tmp_path / "runtimes.csv").write_text("\n".join(["network,runtime_ms", *rows]))
    lines = shown("latency", "fit", "runtimes.csv", "--name", "box")
    assert sum(line.startswith(tuple(published)) for line in lines) == 5


def test_a_dry_run_of_a_search(shown, monkeypatch):
    numbers = dict.fromkeys(("size", "concurrency", "steps", "trainings"), 1)
    numbers |= dict.fromkeys(("share_within", "seconds_each", "seconds"), 1.0)
    plan = dry_run.DryRun(
        **numbers,
        **dict.fromkeys(("study", "space", "budget"), "x"),
        **dict.fromkeys(("known", "notes"), ()),
        trials=1,
        time_s=None,
        runtime_kind="predicted",
        samples=(dry_run.Sample(LABEL, 1.0, 1.0, 1, 1.0, "3.42x the limit of runtime_ms"),),
    )
    monkeypatch.setattr(dry_run, "dry_run", lambda settings, progress: plan)
    assert any(line.startswith(LABEL) for line in shown("search", "--dry-run"))


def test_a_proxy_check(screen):
    pairs = {"kendall": 0.5, "pairs": 12}
    network = {"name": LABEL, "reference_gain_db": 0.5, "working_factor": 1, "runtime_ms": 1.0}
    network |= {"runtime_kind": "predicted", "macs_g": 1.0, "params": 12345}
    network["runs"] = {steps: [{"gain_db": 0.1}, {"gain_db": 0.2}] for steps in ("150", "600")}
    guess = {"name": "gain after 600 steps", "kendall": 0.5, "spearman": 0.5, "seed_sd": 0.01}
    guess |= {"kendall_low": 0.4, "kendall_high": 0.6, "seconds": 12.0}
    guess |= dict.fromkeys(("similar_runtime", "same_resolution", "across_resolutions"), pairs)
    guess["resolved"] = {"right": 3, "pairs": 4}
    found = {"networks": [network], "guesses": [guess], "seeds": 2, "reference": "published"}
    found |= {"conclusion": "", "chance_kendall_sd": 0.2, "similar_runtime_ratio": 1.2}
    proxy_check._print({**found, "failed": {}})
    lines = screen()
    assert any(line.startswith(f"{LABEL} ") for line in lines)
    assert any(line.startswith("gain after 600 steps ") for line in lines)


def test_trainings(screen, shown, tmp_path, monkeypatch):
    gains = {31: 0.5, 63: 0.25}
    times = {"steps": 20000, "best_step": 19000, "last_gain_db": 0.3, "seconds": 60.0}
    files = dict.fromkeys(("out", "best", "last"), tmp_path)
    colour = {"gain_cb_db": 0.1, "gain_cr_db": 0.1}
    finished = events.Finished(
        **times, **files, **colour, gain_db=0.4, gain_db_per_qp=gains, psnr_y_db=gains
    )
    train._print(finished, LABEL, "standard", False)
    assert any(LABEL in line for line in screen()), "the title keeps the name whole"
    name = "a-photograph-with-a-long-name-" * 2
    quality = SimpleNamespace(gain_db=0.5, input="clean", gain_db_by_picture={name: 0.5})
    monkeypatch.setattr(teacher_quality, "evaluate_teacher", lambda *given, **options: quality)
    monkeypatch.setattr(teacher_quality, "require_gain", lambda *given: None)
    prepared = evaluation_set(tmp_path).path
    assert any(line.startswith(name) for line in shown("teacher", "evaluate", "--data", prepared))


class LongNames(Quick):
    """As the quick search, with gains by width."""

    def __call__(self, candidate):
        outcome = yield from super().__call__(candidate)
        if isinstance(outcome, Trained):
            outcome = replace(outcome, gain_db=candidate.architecture.width / 100)
        return outcome


@pytest.fixture
def searched(tmp_path, own_database, monkeypatch):
    """Two studies with long names, of networks with long labels."""
    monkeypatch.chdir(tmp_path)  # comparisons are written there
    space = small_space(
        stem=["strided2x4"],
        width=[8, 10, 12],
        depth=[1],
        block=["lanczospp"],
        activation=["gelu"],
        skip=["long"],
        tail=["cascade16"],
        residual=["learned"],
    )
    for name in (STUDY, STUDY[::-1]):
        study = settings(tmp_path, name=name, space=space, trials=3)
        run_study(study, LongNames())
    return study.store


def test_commands_on_studies(shown, searched):
    storage = searched.url
    lines = shown("front", STUDY, "--storage", storage)
    labels = {record.candidate.title for record in load(searched, STUDY).records}
    networks = {re.search(r"\((.+)\)", label)[1] for label in labels}
    assert any(line.endswith(network) for line in lines for network in networks)
    assert any(STUDY in line for line in lines), "the title keeps the name whole"
    assert any(line.startswith(f"{STUDY} ") for line in shown("studies", "--storage", storage))
    lines = shown("compare", STUDY, STUDY[::-1], "--storage", storage)
    assert any(line.startswith(f"{STUDY} ") for line in lines)


def test_commands_on_data(shown, own_place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepared = evaluation_set(tmp_path).path
    assert any(line.startswith("QP 31") for line in shown("data", "info", prepared))
    save_model(Model(LABEL, fuse(build(Architecture(width=4), seed=0))), tmp_path / "m.safetensors")
    lines = shown("evaluate", "m.safetensors", "--data", prepared, "--quick", "--device", "cpu")
    assert sum(line.startswith(f"{LABEL} ") for line in lines) == 2
    assert all(any(line.startswith(f"{name} ") for line in lines) for name in published)
