"""What people read on a terminal is what there is: names of files and networks are no markup."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from quick_search import Quick, settings
from rich.console import Console
from rich.text import Text

from nas.cli import terminal
from nas.cli.progress_view import SearchView
from nas.common.text import Period
from studies.core.study import open_study
from studies.events import Finished, Opened
from studies.search import conduct

NAME = "holiday [red] [/] [#1]\\[2].png"  # a lone closing tag stops a printer of markup
STEERING = "clears \x1b[2J the \r screen"


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


def test_nothing_moves_the_cursor(screen):
    terminal.say(STEERING)
    terminal.show(terminal.table(["network"], [[STEERING]]))
    with terminal.progress_bar("reading") as progress:
        progress(1, 2, STEERING)
    assert screen.getvalue().count("clears \\x1b[2J the \\x0d screen") >= 3
    assert "\x1b[2J" not in screen.getvalue()


def test_a_name_that_is_no_text(tmp_path):
    name = os.fsencode(tmp_path) + b"/latin\xe9.png"
    Image.new("RGB", (4, 4)).save(Path(os.fsdecode(name)))
    command = [sys.executable, "-m", "nas.cli", "upscale", name]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "latin\\udce9-4x.png: 16x16" in done.stdout


def test_a_picture_that_is_skipped(nas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for name in ("[a].png", "[b].png"):
        (tmp_path / "pictures" / name).write_bytes(b"")
    code, _, err = nas("upscale", "pictures")
    assert code == 2 and "[a].png" in err and "[b].png" in err


def test_links_that_lead_nowhere(nas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (4, 4)).save("pictures/new\nline.png")
    Path("pictures/gone.png").symlink_to("nowhere.png")
    Path("pictures/self.png").symlink_to("self.png")
    code, out, err = nas("upscale", "pictures")
    assert code == 2 and "1 pictures upscaled" in out
    assert "gone.png: cannot be read (No such file" in err
    assert "self.png: cannot be read (Too many levels" in err
    _, _, err = nas("data", "prepare", "pictures", "--out", "set")
    assert "gone.png" in err


def test_headings_take_two_lines_where_a_terminal_is_narrow():
    rows = [["12", "+0.123", "-0.312 tints", "u2-24"]]
    drawn = terminal.table(["trial", "gain dB", "colour dB", "network"], rows)
    for width, heading in ((80, "trial  gain dB     colour dB  network"), (36, "         gain  ")):
        console = Console(width=width, file=io.StringIO())
        console.print(drawn)
        lines = console.file.getvalue().splitlines()
        assert lines[0].startswith(heading)
        assert "+0.123  -0.312 tints" in lines[-1] and max(map(len, lines)) <= width


def test_a_search_without_a_terminal_is_a_line_an_outcome(tmp_path, own_database, capsys):
    with SearchView() as view:
        summary = conduct(settings(tmp_path), Quick(), on_event=view.on_event)
    opening, *lines = capsys.readouterr().err.splitlines()
    assert opening == "quick: 8 candidates, 1 at once"
    assert len(lines) == len(summary.records)
    best = summary.front[-1]
    told = f"{best.title}: {best.gain_db:+.3f} dB at {best.runtime_ms:.3f} ms"
    assert any(line.endswith(f"{told} predicted") for line in lines)
    assert lines[-1].startswith("[8/8] ")


@pytest.mark.parametrize(
    ("trials", "seconds", "place"),
    [
        (None, 420.0, "3:41 of 7:00"),
        (14, 420.0, "8/14, 3:41 of 7:00, about 2:46 left"),
        (14, None, "8/14, about 2:46 left"),
        (None, 200.0, "3:20 of 3:20, finishing"),
    ],
)
def test_how_far_a_search_is_fits_a_narrow_terminal(
    tmp_path, own_database, monkeypatch, trials, seconds, place
):
    records = conduct(settings(tmp_path), Quick()).records
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    view = SearchView()
    period = Period(seconds, now)
    view.on_event(Opened("lightweight-8ms-3fa2c1", trials, period, 2, ()))
    for record in records:
        view.on_event(Finished(record, 0))
    monkeypatch.setattr(time, "monotonic", lambda: now + 221)
    with console.capture() as shown:
        console.print(view._render())
    lines = Text.from_ansi(shown.get()).plain.splitlines()
    assert lines[0].startswith("lightweight-8ms-3fa2c1 ") and lines[0].rstrip().endswith(place)
    assert lines[1].startswith("  8 trained, 2.2 a minute; ")
    assert max(map(len, lines[:2])) <= 80


def test_what_a_search_is_about_to_do_counts_what_it_has(tmp_path, own_database, capsys):
    def opened(**changes) -> list[str]:
        with SearchView() as view:
            conduct(
                settings(tmp_path, **changes),
                Quick(),
                period=Period(0.0 if changes["trials"] is None else None),
                on_event=view.on_event,
            )
        return capsys.readouterr().err.splitlines()

    assert opened(trials=6)[0] == "quick: 6 candidates, 1 at once"
    assert opened(trials=8)[:2] == [
        "quick: 2 candidates, 1 at once",
        "expected 2 candidates of 0 s, 0:00 in all",
    ]
    assert opened(trials=None)[0] == "quick: 0:00, 1 at once"


def test_a_study_without_a_front(tmp_path, own_database, nas):
    with open_study(settings(tmp_path)):
        pass
    code, out, _ = nas("front", "quick", "--storage", settings(tmp_path).store.url)
    assert code == 0 and out == "quick: 2 ms, 0 trained, 0 rejected: no front yet\n"
