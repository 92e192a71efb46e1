"""A user's own block and space, from a file or an installed package, with nothing edited here.

Each case runs in its own process: what a plugin registers stays registered.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

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
        env={"PYTHONPATH": ":".join(map(str, (ROOT, *path))), "PATH": "", "OMP_NUM_THREADS": "1"},
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
    code = """
from search_spaces import InputError
from search_spaces.plugins import load
for name in ("missing.py", "twice.py", "broken.py"):
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
    ], done.stderr
