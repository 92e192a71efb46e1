"""Candidates that misbehave, by blocks of a plugin: each is reported as what it is, and done with.

Nothing is pretended: memory really runs out, the kernel really kills. See ``docs/faults.md``.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from photos import photo_set
from quick_search import TRIALS, Quick, settings, small_space

from nas.measure.latency.target import resolve_target
from nas.training.proxy.proxy import ProxySettings
from search_spaces.plugins import load
from studies.core.candidate import Candidate, Evaluation
from studies.core.outcome import Broken, Trained
from studies.evaluation import EvaluationSettings, evaluate
from studies.search import run_study

PLUGIN = """
import os
import torch
from pathlib import Path
from search_spaces.blocks import blocks

CGROUP = Path("{cgroup}")


class Plain(torch.nn.Conv2d):
    '''Behaves in deploy form, and in training until a gradient is wanted.'''

    def __init__(self, in_channels, out_channels, *, stride=1, bias=True, **options):
        super().__init__(in_channels, out_channels, 3, stride, 1, bias=bias)

    def forward(self, x):
        if torch.is_grad_enabled() and self.training and not x.is_meta:
            self.misbehave()
        return super().forward(x)


class Raising(Plain):
    def __init__(self, *sizes, **options):
        raise ZeroDivisionError("this block divides by zero")


def function(*sizes, **options):
    raise ZeroDivisionError("this function divides by zero")


class Hungry(Plain):
    def misbehave(self):
        torch.empty(2**48)


class Killed(Plain):
    def misbehave(self):
        (CGROUP / "cgroup.procs").write_text(str(os.getpid()))
        held = [bytearray(os.urandom(2**20)) for _ in range(4096)]


class Diverging(Plain):
    def misbehave(self):
        with torch.no_grad():
            self.weight.fill_(float("nan"))


for block in (Raising, Hungry, Killed, Diverging):
    blocks.add(block.__name__.lower(), block)
blocks.add("function", function)
"""
EXPECTED = {
    "raising": ("cannot_build", "divides by zero"),
    "function": ("cannot_build", "divides by zero"),
    "hungry": ("out_of_memory", "allocate"),
    "killed": ("error", "died twice, perhaps out of memory"),
    "diverging": ("diverged", ""),
}


@pytest.fixture
def cgroup():
    """A group of processes that may use little memory: the kernel kills who wants more."""
    root = Path("/sys/fs/cgroup")
    version_1 = (root / "memory").is_dir()
    group = (root / "memory" if version_1 else root) / f"nas-test-{uuid4().hex[:8]}"
    limits = ("memory.limit_in_bytes",) if version_1 else ("memory.max", "memory.swap.max")
    try:
        group.mkdir()
        for name in limits:
            (group / name).write_text("0" if "swap" in name else str(64 * 2**20))
    except OSError as fault:
        with suppress(OSError):
            group.rmdir()
        pytest.skip(f"no memory can be limited here: {fault}")
    yield group
    group.rmdir()


@pytest.fixture(scope="module")
def runner():
    from studies.runners.ray import RayRunner
    from studies.runners.ray_session import Session, running

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        ours = RayRunner(1)
        with running(Session()):
            yield ours


def test_each_way_to_misbehave_breaks_its_candidate_alone(tmp_path, cgroup, runner, capfd):
    plugin = tmp_path / "misbehaving.py"
    plugin.write_text(PLUGIN.format(cgroup=cgroup))
    load(str(plugin))
    real = EvaluationSettings(
        target=resolve_target("rtx4090"),
        data=photo_set(tmp_path).path,
        proxy=ProxySettings(steps=2),
        plugins=(str(plugin),),
    )
    blocks = ["conv", *EXPECTED]
    space = small_space(block=blocks, width=[8], depth=[1], residual=["bicubic"])
    study = settings(tmp_path, space=space, trials=len(blocks))
    summary = run_study(study, partial(evaluate, settings=real), runner)
    ended = {r.candidate.architecture.stages[0].block: r.outcome for r in summary.records}
    assert set(ended) == set(blocks) and summary.counts.broken == len(EXPECTED)
    assert isinstance(ended["conv"], Trained)
    for block, (kind, reason) in EXPECTED.items():
        assert ended[block].kind == kind and reason in ended[block].reason, ended[block]
    said = capfd.readouterr()
    assert said.out == said.err == ""
    again = run_study(study, partial(evaluate, settings=real), runner)
    assert again.records == summary.records, "none of them is ever tried again"


class Stuck(Quick):
    """One candidate hangs in native code that keeps the interpreter to itself."""

    def __call__(self, candidate: Candidate) -> Evaluation:
        if candidate.trial == 1:
            import ctypes

            ctypes.PyDLL(None).sleep(3600)
        return (yield from super().__call__(candidate))


def test_a_hang_in_native_code_is_ended(tmp_path, runner):
    hasty = type(runner)(1, hard_limit_s=4.0)
    summary = run_study(settings(tmp_path), Stuck(), hasty)
    stuck = summary.records[1].outcome
    assert isinstance(stuck, Broken) and stuck.kind == "time_limit"
    assert stuck.reason == "it did not respond for 4 s"
    assert summary.counts.done == TRIALS
