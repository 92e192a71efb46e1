"""Every command in README and docs exists as it is written, and the tutorial's path is walked."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import fields
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import get_type_hints

import pytest
import typer
from PIL import Image
from skimage import data as photographs

from nas.cli.commands import promote, search, teacher
from nas.training.proxy.proxy import ProxySettings
from nas.training.teacher.task import TeacherTraining
from studies.promotion.plan import PromotionSettings
from studies.sampling.samplers import resolve
from studies.settings import SearchSettings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PACKAGES = ("search_spaces", "teachers", "nas", "studies")


def command_lines(text):
    """Lines of fenced blocks that are of no other language, joined where they continue."""
    language = None
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            language = line[3:] if language is None else None
        elif language in ("", "bash", "sh"):
            yield line.strip()


def commands(text):
    """The words of each call of the workbench: ``nas ...``, or torchrun's ``-m nas.cli ...``."""
    for line in command_lines(text):
        for part in re.split(r"&&|\|\||;", line):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:  # a quotation that spans parts: not the workbench's
                continue
            if words and re.fullmatch(r"(\S*/)?nas", words[0]):
                yield words[1:]
            elif "nas.cli" in words and "-m" in words:
                yield words[words.index("nas.cli") + 1 :]


def modules(text):
    """What ``python -m`` runs."""
    found = (re.search(r"\bpython3? -m (\S+)", line) for line in command_lines(text))
    return sorted({hit[1] for hit in found if hit})


CALLS = sorted(
    {
        (page.name, shlex.join(words))
        for page in PAGES
        for words in commands(page.read_text(encoding="utf-8"))
    }
)
MODULES = sorted(
    {(page.name, name) for page in PAGES for name in modules(page.read_text(encoding="utf-8"))}
)


def parsed(words):
    """Parse a command line by the real commands, and run nothing."""
    from nas.cli.app import app

    command = typer.main.get_command(app)
    context = None
    while True:
        context = command.make_context(command.name, list(words), parent=context)
        rest = [*context._protected_args, *context.args]
        if not rest or not hasattr(command, "resolve_command"):
            return command
        _, command, words = command.resolve_command(context, rest)


def test_the_pages_hold_commands():
    assert len(CALLS) > 40
    assert {"README.md", "tutorial.md", "data.md", "promotion.md"} <= {page for page, _ in CALLS}


@pytest.mark.parametrize(("page", "line"), CALLS, ids=[f"{p}: {c}" for p, c in CALLS])
def test_a_documented_command_is_one(page, line):
    parsed(shlex.split(line))


@pytest.mark.parametrize("line", ["search --spaec lightweight", "searhc", "data prepair x --out y"])
def test_a_command_that_is_none_would_be_found(line):
    with pytest.raises(Exception, match=r"(?i)no such|--spaec"):
        parsed(shlex.split(line))


@pytest.mark.parametrize(("page", "name"), MODULES, ids=[f"{p}: {m}" for p, m in MODULES])
def test_a_documented_program_is_there(page, name):
    place = name.split(".")
    if place[0] == "benchmarks":
        assert ROOT.joinpath(*place).with_suffix(".py").is_file()
    elif find_spec(place[0]) is None:
        pytest.skip(f"{place[0]} is not installed: it comes with an extra")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "pictures").mkdir()
    for name in ("coffee", "chelsea", "astronaut"):
        picture = getattr(photographs, name)()[:256, 64:320]
        Image.fromarray(picture).save(folder / "pictures" / f"{name}.png")
    Image.fromarray(photographs.rocket()[:48, :64]).save(folder / "photo.avif", quality=60)
    return folder


SMALLER = {
    "data prepare": ["--qps", "31,63", "--validation", "0.34"],
    "search": [
        *("--trials", "2", "--steps", "2", "--teacher", "none", "--study", "mine"),
        *("--max-colour-loss", "none"),
    ],
    "promote": ["--steps", "2", "--trial", "0", "--force", "--teacher", "none"],
}
"""What makes the tutorial's commands short here; the last of an option given twice counts."""


@pytest.mark.slow
def test_the_tutorial_leads_from_pictures_to_an_upscaled_one(place, nas, monkeypatch):
    """Its commands in their order, on small pictures and with two steps a training."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    own = text[text.index("## Your own images") :]
    monkeypatch.chdir(place)
    monkeypatch.setenv("NAS_CACHE", str(place / "cache"))
    ran = []
    for words in commands(own):
        short = next((SMALLER[c] for c in SMALLER if " ".join(words).startswith(c)), [])
        code, _, told = nas(*words, *short)
        assert code == 0, (words, told)
        ran.append(words[0])
    assert ran == [
        "data",
        "data",
        "search",
        "front",
        "report",
        "promote",
        "evaluate",
        "export",
        "upscale",
    ]
    assert (place / "report.html").stat().st_size > 1_000_000
    with Image.open(place / "photo.avif") as small, Image.open(place / "photo-4x.png") as large:
        assert large.size == (4 * small.width, 4 * small.height)


def public(path):
    """Definitions of a module, and of its classes, that others may use."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield path.stem, tree
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node.name, node
            inner = node.body if isinstance(node, ast.ClassDef) else []
            yield from (
                (f"{node.name}.{each.name}", each)
                for each in inner
                if isinstance(each, kinds) and not each.name.startswith("_")
            )


def test_every_public_name_says_what_it_is():
    silent = [
        f"{path.relative_to(ROOT)}: {name}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for name, node in public(path)
        if not ast.get_docstring(node)
        and name not in ("forward", "model_config")
        and not name.endswith(".forward")
    ]
    assert not silent


def test_the_reference_is_built_from_docstrings(tmp_path):
    pytest.importorskip("pdoc", reason="pdoc is not installed: pip install -e '.[docs]'")
    # One module: all of them take a minute, by the same program.
    command = [sys.executable, "docs/reference.py", str(tmp_path), "search_spaces.architecture"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "search_spaces" / "architecture.html").read_text(encoding="utf-8")
    told = importlib.import_module("search_spaces.architecture").Architecture.key.__doc__
    assert told.strip().splitlines()[0] in page


def test_the_reference_covers_every_module():
    pytest.importorskip("pdoc", reason="pdoc is not installed: pip install -e '.[docs]'")
    program = runpy.run_path(str(ROOT / "docs" / "reference.py"))
    modules = program["modules"]()
    expected = {"search_spaces.architecture", "nas.deploy.upscale", "studies.results.front"}
    assert expected <= set(modules)
    for module in modules:  # one that cannot be imported ends the program
        importlib.import_module(module)


def help_of(command, option: str) -> str:
    hints = get_type_hints(command, include_extras=True)
    return hints[option].__metadata__[0].help


@pytest.mark.parametrize(
    ("command", "settings"),
    [(search.search, SearchSettings()), (promote.promote, PromotionSettings(study="demo"))],
    ids=["search", "promote"],
)
def test_a_command_has_the_defaults_of_its_settings(command, settings):
    options = {name: option.default for name, option in signature(command).parameters.items()}
    shared = options.keys() & {field.name for field in fields(settings)} - {"budget", "study"}
    assert len(shared) >= 10
    assert {n: options[n] for n in shared} == {n: getattr(settings, n) for n in shared}


def test_help_names_the_defaults_that_hold():
    training = TeacherTraining()
    for option in ("steps", "batch", "patch", "lr", "seed"):
        assert f"default {getattr(training, option):g}." in help_of(teacher.train, option)
    assert f"default {ProxySettings().steps}." in help_of(search.search, "steps")
    assert f"auto is {resolve('auto')}" in help_of(search.search, "sampler")
