"""A user's own block and space, from a file or an installed package, with nothing edited here.

Each case runs in its own process: what a plugin registers stays registered.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
KEPT = {key: os.environ[key] for key in ("HOME", "NAS_CACHE") if key in os.environ}

PLUGIN = '''
from search_spaces.blocks import LinearBlock, blocks
from search_spaces.blocks.folding import add
from search_spaces.blocks.linear import Branch
from search_spaces.space import Space, spaces


class Twin(LinearBlock):
    """Two 3x3 convolutions side by side."""

    def __init__(self, in_channels, out_channels, **options):
        super().__init__(in_channels, out_channels, **options)
        self.conv3 = Branch(in_channels, out_channels, 3, self.has_bias)
        self.other = Branch(in_channels, out_channels, 3, False)

    def folded(self):
        return add(self.conv3.kernel, self.other.kernel)


blocks.add("twin", Twin)
spaces.add("twins", Space.from_dict({"dimensions": {"block": ["twin"], "depth": [1, 2]}}, "twins"))
'''

USE = """
import torch
from search_spaces import build, fuse, load_space
space = load_space("twins")
architecture = space.architecture({"block": "twin", "depth": 2})
network = build(architecture, seed=0)
assert sum(p.numel() for p in fuse(network).parameters()) < sum(
    p.numel() for p in network.parameters()
)
x = torch.rand(1, 3, 5, 6)
assert torch.allclose(network(x), fuse(network)(x), atol=1e-5)
assert space.parameters(architecture) == {"block": "twin", "depth": 2}
print("searched with", *(d.name for d in space.dimensions))
"""


def run(code, folder, *, path=()):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=KEPT
        | {"PYTHONPATH": ":".join(map(str, (ROOT, *path))), "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def test_a_file_brings_a_block_and_a_space(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    load = "from search_spaces.plugins import load, loaded_files\n"
    load += "load('mine.py'); load('mine.py')\n"
    done = run(load + USE + "print(loaded_files())", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "searched with block depth",
        f"('{tmp_path / 'mine.py'}',)",
    ]


def test_a_package_is_found_by_its_entry_point(tmp_path):
    (tmp_path / "my_blocks.py").write_text(PLUGIN)
    info = tmp_path / "my_blocks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-blocks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nas.plugins]\nmine = my_blocks\n")
    load = "from search_spaces.plugins import load_all\nload_all(); load_all()\n"
    done = run(load + USE, tmp_path, path=[tmp_path])
    assert done.returncode == 0, done.stderr


def test_a_plugin_that_cannot_be_loaded_is_named(tmp_path):
    (tmp_path / "twice.py").write_text(
        "from search_spaces.blocks import blocks\nblocks.add('ecb', int)\n"
    )
    (tmp_path / "broken.py").write_text("import nothing_like_this\n")
    (tmp_path / "shadow.py").write_text(
        "from search_spaces.space import load_space, spaces\n"
        "spaces.add('quality', load_space('lightweight'))\n"
    )
    (tmp_path / "leaves.py").write_text("import sys; sys.exit('so long')\n")
    code = """
from search_spaces import InputError
from search_spaces.plugins import load
for name in ("missing.py", "twice.py", "broken.py", "shadow.py", "leaves.py"):
    try:
        load(name)
    except InputError as error:
        print(error)
"""
    done = run(code, tmp_path)
    assert done.stdout.splitlines() == [
        "plugin missing.py: there is no such Python file; give the path of a .py",
        "plugin twice.py cannot be loaded: InputError: a block named 'ecb' is registered already; "
        "choose another",
        "plugin broken.py cannot be loaded: ModuleNotFoundError: No module named "
        "'nothing_like_this'",
        "plugin shadow.py cannot be loaded: InputError: a space named 'quality' is registered "
        "already; choose another",
        "plugin leaves.py cannot be loaded: SystemExit: so long",
    ], done.stderr


def examples(document):
    """The Python code of a document, as a reader would copy it."""
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def example(document):
    return examples(document)[0]


NAS = """
import sys
from nas.cli import main

def nas(line):
    sys.argv = ["nas", *line.split()]
    try:
        main()
    except SystemExit as end:
        print("exit", end.code)
"""

PLAN = """
nas("search --space my-space --plugin mine.py --teacher none --steps 2 --dry-run")
"""

ONE_NETWORK = """
nas("cost network.json")
nas("cost network.json --plugin mine.py")
nas("latency network.json --plugin mine.py --target rtx4090")
nas("networks show network.json --plugin mine.py")
"""

SEARCH = """
from functools import partial
from studies.evaluation import evaluate
from studies.setup import set_up
from studies.runners.inline import InlineRunner
from studies.search import run_study
from studies.settings import SearchSettings

prepared = set_up(
    SearchSettings(
        space="my-space", plugins=("mine.py",), trials=2, steps=2, teacher=None, target="rtx4090"
    )
)
evaluation = partial(evaluate, settings=prepared.evaluation)
summary = run_study(prepared.study, evaluation, InlineRunner())
assert summary.counts.trained == 2 and summary.counts.broken == 0
print("trained:", *(record.candidate.name for record in summary.records))
"""


def test_the_readme_shows_it_in_15_lines_as_the_manual_does():
    code = example("README.md")
    assert code == example("docs/extending.md")
    assert len([line for line in code.splitlines() if line]) <= 15


def test_the_documented_example_is_planned_and_searched_from_outside(tmp_path):
    (tmp_path / "mine.py").write_text(example("README.md"))
    done = run(NAS + PLAN + SEARCH, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "space my-space: 18 parameter sets" in done.stdout
    assert "trained: conv-" in done.stdout


def test_commands_on_one_network_take_a_plugin_too(tmp_path):
    (tmp_path / "mine.py").write_text(example("README.md"))
    network = '{"width": 8, "stages": [{"block": "cross", "width": 8, "depth": 2}]}'
    (tmp_path / "network.json").write_text(network)
    done = run(NAS + ONE_NETWORK, tmp_path)
    assert "there is no block 'cross'" in done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("exit")] == ["exit 2", *["exit 0"] * 3]
    assert sum("8-crossx2" in line for line in lines) == 3


NETWORK = """{"stem": "haar", "width": 8, "activation": "hardswish", "residual": "mitchell",
"stages": [{"block": "ecb", "width": 8, "depth": 1}], "tail": {"cascade": 6}}"""

CHECK = """
import torch
from nas.measure.cost.cost import network_macs
from nas.measure.cost.counts import count
from nas.measure.cost.trace import deploy_form, trace
from search_spaces import Architecture, build, fuse, save_model
from pathlib import Path
from search_spaces.model_file import Model
from search_spaces.space import Space

architecture = Architecture.from_json(open("network.json").read())
network = build(architecture, seed=0)
x = torch.rand(1, 3, 9, 10)
assert torch.allclose(network(x), fuse(network)(x), atol=1e-5)
counted, layers = count(architecture, 54, 96), trace(deploy_form(architecture), 54, 96)
assert counted.layers == layers
assert counted.macs == network_macs(deploy_form(architecture), layers)
chosen = {"stem": "haar", "width": 8, "activation": "hardswish", "residual": "mitchell",
          "tail": "cascade6", "block": "ecb", "depth": 1}
space = Space.from_dict({"dimensions": chosen}, "mine")
assert space.parameters(space.architecture(chosen)) == chosen
save_model(Model("mine", fuse(network)), Path("model.safetensors"))

from nas_plugin_mine import Upsampler
from nas.training.recipe.recipe import load_recipe
from studies.sampling.samplers import sampler_factory
from teachers.loading import load_teacher, save_teacher
from teachers.registry import family_of

assert sampler_factory("tpe-early").reads_pruned
Path("mine.yaml").write_text("stages: [{steps: 2, lr: 0.001, losses: {huber: 1}}]")
assert load_recipe("mine.yaml").stages[0].losses == {"huber": 1}
teacher = Upsampler(4)
save_teacher(teacher, Path("teacher.safetensors"), half=False)
loaded = load_teacher("teacher.safetensors")
assert torch.equal(loaded.network(x), teacher(x))
assert family_of(loaded.network).feature_layers(loaded.network) == [loaded.network[1]]
"""

COMMANDS = """
nas("latency network.json --target cpu --threads 1 --height 24 --width 32 "
    "--backend torchscript --backend eager --plugin mine.py")
nas("export model.safetensors --format frozen --output model.frozen --plugin mine.py")
nas("export model.safetensors --format frozen --plugin mine.py --size 8x8")
"""


def test_every_other_registry_takes_the_documented_example(tmp_path):
    (tmp_path / "mine.py").write_text("\n".join(examples("docs/extending.md")))
    (tmp_path / "network.json").write_text(NETWORK)
    load = "from search_spaces.plugins import load\nload('mine.py')\n"
    done = run(load + CHECK + NAS + COMMANDS, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "  torchscript: " in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "model.frozen").is_file(), done.stderr
    assert "any size: leave out --size" in done.stderr
