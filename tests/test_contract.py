"""The commands of ``nas``: names, options, defaults and exit codes stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
import typer
from contract import agrees
from typer.testing import CliRunner

from nas.cli.app import app


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command below one, and itself, by what a user types."""
    yield " ".join(("nas", *path)), command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


def type_of(parameter: Any) -> str:
    """``str``, ``int``, ``float``, ``bool`` or ``path``."""
    if hasattr(parameter, "type_descriptor"):  # Typer without Click
        annotation = parameter.type_descriptor.annotation
        kind = getattr((get_args(annotation) or (annotation,))[0], "__name__", "other")
        return {"Path": "path"}.get(kind, kind)
    kind = parameter.type.name.split()[0]
    return {"text": "str", "integer": "int", "boolean": "bool"}.get(kind, kind)


def parameter(parameter: Any) -> dict[str, Any]:
    """What a user must know of an argument or option, without its help.

    Left out is what most of them have: an optional option of one value, without a limit.
    """
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    facts = {
        "name": " ".join([*parameter.opts, *parameter.secondary_opts]),
        "type": type_of(parameter),
        "default": parameter.default if parameter.default is None else str(parameter.default),
        "argument": parameter.param_type_name == "argument",
        "required": parameter.required,
        "least": least,
        "most": most,
        "metavar": parameter.metavar,
        "values": None if parameter.nargs == 1 else parameter.nargs,
        "repeatable": bool(getattr(parameter, "multiple", False)),
        "flag": bool(getattr(parameter, "is_flag", False)),
        "environment": parameter.envvar,
    }
    always = ("name", "type", "default")
    absent = (None, False)
    return {n: fact for n, fact in facts.items() if n in always or fact not in absent}


def test_commands_and_options_are_those_stored():
    """Names, short forms, types and defaults. Help texts are free to change."""
    found = {name: [parameter(each) for each in taken.params] for name, taken in COMMANDS.items()}
    agrees("commands.json", found)


def exit_code(name: str, *arguments: str) -> int:
    return CliRunner().invoke(app, [*name.split()[1:], *arguments]).exit_code


@pytest.mark.parametrize("name", COMMANDS)
def test_help_exits_with_0(name):
    assert exit_code(name, "--help") == 0


@pytest.mark.parametrize("name", ["nas", "nas search", "nas data info"])
def test_help_has_a_short_form(name):
    assert exit_code(name, "-h") == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_exits_with_2(name):
    assert exit_code(name, "--no-such-option") == 2


def missing() -> list[str]:
    """Commands that cannot run without an argument or an option."""
    return [name for name, each in COMMANDS.items() if any(p.required for p in each.params)]


@pytest.mark.parametrize("name", missing())
def test_a_missing_argument_exits_with_2(name):
    assert exit_code(name) == 2


def test_an_unknown_command_exits_with_2():
    assert exit_code("nas", "no-such-command") == 2


def test_no_command_exits_with_2():
    assert exit_code("nas") == 2
