"""Commands, their options and exit codes stay as they are, and so does what programs import."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import torch
import typer
from contract import agrees, command, stored

from nas.cli.app import app
from search_spaces import Architecture, Stage, build, fuse, published


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command below one, and itself, by what a user types."""
    yield " ".join(("nas", *path)), command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*path, name))


NAS = typer.main.get_command(app)
COMMANDS = dict(commands(NAS))


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
    with pytest.raises(SystemExit) as end:
        NAS.main([*name.split()[1:], *arguments], prog_name="nas")
    return int(end.value.code or 0)


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


def test_programs_build_and_fuse_networks():
    """The training form and the deploy form compute the same picture, four times as large."""
    for architecture in (
        published["PixelArtAI"].architecture,
        Architecture(width=8, stages=(Stage("ecb", 8, 1),), activation="gelu"),
    ):
        assert Architecture.from_dict(architecture.to_dict()) == architecture
        network = build(architecture, seed=0).eval()
        picture = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            large, fused = network(picture), fuse(network)(picture)
        assert large.shape == (1, 3, 64, 96)
        assert torch.allclose(large, fused, atol=1e-4)


def test_the_published_networks_are_those_stored():
    """Names, and keys that are equal for equal architectures."""
    agrees("published.json", {name: each.architecture.key for name, each in published.items()})


def test_a_plugin_brings_a_block_and_a_space(tmp_path):
    """In its own process, for a block is known for as long as the process lives."""
    stored("plugin.py", tmp_path)
    network = {"width": 8, "stages": [{"block": "cross", "width": 8, "depth": 2}]}
    (tmp_path / "network.json").write_text(json.dumps(network))
    line = ("cost", "network.json", "--plugin", "plugin.py", "--json")
    code, out, err = command(*line, cwd=tmp_path)
    assert code == 0, err
    got = json.loads(out)
    assert got["architecture"]["stages"] == network["stages"]
    assert got["params"] == 4896  # what as many convolutions have
    stored("set", tmp_path)
    line = ("search", "--plugin", "plugin.py", "--space", "crosses", "--data", "set")
    line += ("--teacher", "none", "--dry-run", "--json")
    code, out, err = command(*line, cwd=tmp_path)
    assert code == 0, err
    assert json.loads(out)["size"] == 4
