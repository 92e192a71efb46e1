"""What people read on a terminal is what there is: names of files and networks are no markup."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from nas.cli import terminal

NAME = "holiday [red] [/] [#1]\\[2].png"  # a lone closing tag stops a printer of markup


@pytest.fixture
def screen(monkeypatch):
    seen = io.StringIO()
    drawn = Console(file=seen, force_terminal=True, width=200, highlight=False)
    monkeypatch.setattr(terminal, "err", drawn)
    monkeypatch.setattr(terminal, "out", drawn)
    return seen


def test_lines(screen):
    terminal.say(f"{NAME}: damaged", mark="skipped")
    terminal.say(f"{NAME} is there already", style="dim")
    assert f"{NAME}: damaged" in screen.getvalue()
    assert f"{NAME} is there already" in screen.getvalue()


def test_bars(screen):
    with terminal.progress_bar(f"training {NAME}") as progress:
        progress(1, 2, f"at {NAME}")
    assert f"training {NAME}" in screen.getvalue() and f"at {NAME}" in screen.getvalue()


def test_tables(screen):
    terminal.show(terminal.table(["network", "dB"], [[NAME, "+0.1"]], NAME))
    assert screen.getvalue().count(NAME) == 2


def test_a_picture_that_is_skipped(nas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for name in ("[a].png", "[b].png"):
        (tmp_path / "pictures" / name).write_bytes(b"")
    code, _, err = nas("upscale", "pictures")
    assert code == 2 and "[a].png" in err and "[b].png" in err
