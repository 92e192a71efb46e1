"""The house rules that a machine can hold: layers, lint, types, quick and lean imports."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "ruff", "check", "."),
        ("-m", "ruff", "format", "--check", "."),
        ("-m", "mypy"),
        ("-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"),
    ],
    ids=["lint", "format", "types", "layers"],
)
def test_the_tree_is_clean(command):
    checked = run(sys.executable, *command)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_help_comes_in_under_a_second():
    def seconds() -> float:
        """Of the processor: the clock on the wall also counts what else the machine does."""
        begin = resource.getrusage(resource.RUSAGE_CHILDREN)
        shown = run(sys.executable, "-c", "from nas.cli import main; main()", "--help")
        assert shown.returncode == 0, shown.stderr
        assert "search" in shown.stdout
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        return end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime

    assert min(seconds() for _ in range(3)) < 1.0


def test_the_command_line_loads_nothing_heavy_before_it_must():
    heavy = {"torch", "ray", "mlflow", "optuna", "numpy", "PIL"}
    code = "import sys, nas.cli.app, search_spaces; print(*sys.modules)"
    loaded = set(run(sys.executable, "-c", code).stdout.split())
    assert loaded and not heavy & loaded


def test_the_engine_needs_no_ray_optuna_or_mlflow():
    """A bare GPU box with torch, NumPy, Pillow and fvcore trains and measures."""
    engine = [
        "nas.training.proxy.proxy",
        "nas.measure.latency.target",
        "nas.measure.quality",
        "nas.data.store",
    ]
    absent = ["ray", "optuna", "mlflow", "typer", "rich", "pydantic", "plotly", "matplotlib"]
    absent += ["skimage", "sklearn", "imageio_ffmpeg"]
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({absent!r}))\n"
        f"import {', '.join(engine)}, teachers.loading, search_spaces.zoo.survey\n"
    )
    imported = run(sys.executable, "-c", code)
    assert imported.returncode == 0, imported.stderr


PACKAGES = ("search_spaces", "teachers", "nas", "studies")
REGISTRIES = {"search_spaces/blocks", "nas/cli/commands"}  # one module an entry

# Words of a private dialect, with what to write instead.
BANNED = {
    "whoever": "any process, the user",
    "anew": "again",
    "mend": "fix",
    "mended": "fixed",
    "told": "reported, results",
    "of its own": "its own",
    "goes on": "continues",
    "is no number": "is NaN",
    "are no numbers": "are NaN",
    "courier": "background writer",
    "a person": "a user",
    "by itself": "alone, by default",
    "meanwhile": "at the same time",
}


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def package_of(path: Path) -> str:
    return path.parent.relative_to(ROOT).as_posix()


def texts() -> list[Path]:
    patterns = ("*.md", "docs/*.md", "tests/*.py", "benchmarks/*.py")
    return [*modules(), *(path for pattern in patterns for path in ROOT.glob(pattern))]


@pytest.mark.parametrize("word", BANNED)
def test_words_are_those_of_the_field(word):
    pattern = re.compile(rf"(?<![\w-]){word}(?![\w-])", re.IGNORECASE)
    here = Path(__file__).resolve()
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in texts()
        if path.resolve() != here
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, f"write '{BANNED[word]}' for '{word}': {', '.join(found)}"


def test_packages_hold_at_most_twelve_modules():
    counts = Counter(package_of(path) for path in modules() if path.name != "__init__.py")
    assert not {name: n for name, n in counts.items() if n > 12 and name not in REGISTRIES}


def test_modules_are_neither_fragments_nor_long():
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in modules()
        if path.name not in {"__init__.py", "__main__.py"} and package_of(path) not in REGISTRIES
    }
    assert not {name: lines for name, lines in lengths.items() if not 25 <= lines <= 400}
