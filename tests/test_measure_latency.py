"""Measured runtimes: on this CPU, on CUDA where there is one, and CUDA's protocol on a fake."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
import torch
from fake_cuda import FakeCuda

from nas.measure.cost.trace import trace
from nas.measure.device_lock import exclusive, shared
from nas.measure.latency.interleave import ANCHOR, interleave
from nas.measure.latency.measure import ANCHOR_NETWORK, Latency, measure_cpu, measure_cuda
from nas.measure.latency.store import structure_of
from nas.measure.latency.target import resolve_target
from nas.measure.latency.timers import pinned
from search_spaces import Architecture, InputError, Stage, build, fuse

SMALL = Architecture(width=8, stages=(Stage("conv", 8),))
LARGE = Architecture(width=32, stages=(Stage("conv", 32, 3),))
NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


# Taking turns


def sampler_of(values):
    return iter(values).__next__


def test_candidates_take_turns_with_the_anchor():
    order = []
    samplers = {name: (lambda name=name: order.append(name) or 1.0) for name in (ANCHOR, "a", "b")}
    block = interleave(samplers, rounds=3)
    assert order == [ANCHOR, "a", "b"] * 3
    assert (block.steady, block.blocks, block.ms("b")) == (True, 1, 1.0)


def test_a_block_is_repeated_while_the_anchor_moves():
    anchor = [1, 1, 1.1, 1.1, 1, 1, 1.01, 1.01]
    candidate = [5, 5, 5, 5, 4, 4, 4.2, 4.2]
    samplers = {ANCHOR: sampler_of(anchor), "a": sampler_of(candidate)}
    block = interleave(samplers, rounds=4)
    assert (block.blocks, block.steady) == (2, True)
    assert block.ms("a") == pytest.approx(4.1)


def test_a_restless_machine_gives_its_steadiest_block_and_says_so():
    anchor = [1, 1, 2, 2, 1, 1, 1.1, 1.1, 1, 1, 3, 3]
    samplers = {ANCHOR: sampler_of(anchor), "a": sampler_of(range(12))}
    block = interleave(samplers, rounds=4)
    assert (block.blocks, block.steady) == (3, False)
    assert block.samples["a"] == (4, 5, 6, 7)


def test_a_machine_that_is_busy_all_the_time_is_found_out_by_what_the_anchor_usually_takes():
    slow, free = [1.5] * 4, [1.0] * 4
    samplers = {ANCHOR: sampler_of(slow + free), "a": sampler_of(range(8))}
    block = interleave(samplers, rounds=4, anchor_baseline_ms=0.98)
    assert (block.blocks, block.steady, block.samples["a"]) == (2, True, (4, 5, 6, 7))
    samplers = {ANCHOR: sampler_of(slow * 3), "a": sampler_of(range(12))}
    assert not interleave(samplers, rounds=4, anchor_baseline_ms=1.0).steady


def test_time_bounds_the_turns_but_four_are_taken():
    now = [0.0]

    def slow():
        now[0] += 10
        return 1e4 + now[0] % 7  # never steady enough to matter: one block has to do

    block = interleave({ANCHOR: slow, "a": slow}, rounds=9, seconds=1, clock=lambda: now[0])
    assert len(block.samples["a"]) == 4
    assert block.blocks == 1


# On this CPU


def test_cpu_runtimes_are_measured_and_described():
    latency = measure_cpu(SMALL, height=48, width=64, threads=1, rounds=4)
    assert (latency.kind, latency.target, latency.mode) == ("measured", "cpu", "wall")
    assert latency.ms > 0
    details = latency.details
    assert details["threads"] == 1
    assert details["samples"] == 4
    assert details["p5_ms"] <= details["median_ms"] == latency.ms <= details["p95_ms"]
    assert details["backends_ms"].keys() == {"eager", "channels_last"}
    assert Latency.from_dict(latency.to_dict()) == latency


def test_a_network_with_far_more_work_is_slower():
    small, large = (
        measure_cpu(a, height=96, width=96, threads=1, rounds=6, backends=("eager",))
        for a in (SMALL, LARGE)
    )  # 0.04 and 0.39 G, of which a neighbour's load may hide some, so the quickest runs compare
    assert large.details["p5_ms"] > small.details["p5_ms"]


def test_threads_and_cores_are_as_before_afterwards():
    threads, cores = torch.get_num_threads(), os.sched_getaffinity(0)
    with pinned(1) as count:
        assert (count, torch.get_num_threads()) == (1, 1)
        assert len(os.sched_getaffinity(0)) == 1
    assert (torch.get_num_threads(), os.sched_getaffinity(0)) == (threads, cores)


# CUDA's protocol on a fake clock: one forward takes 0.5 ms of GPU, and 0.25 more to launch


class Counted(torch.nn.Module):
    def __init__(self, fake):
        super().__init__()
        self.fake = fake
        self.conv = torch.nn.Conv2d(3, 48, 1)

    def __deepcopy__(self, memo):
        return Counted(self.fake)

    def forward(self, x):
        self.fake.forward()
        assert x.dtype == torch.float16
        assert not self.training
        return torch.nn.functional.pixel_shuffle(self.conv(x), 4)


@pytest.fixture
def fake(monkeypatch):
    fake = FakeCuda()
    fake.install(monkeypatch)
    return fake


def test_challenge_mode_is_the_organisers_protocol(fake):
    latency = measure_cuda(Counted(fake), mode="challenge", height=8, width=12, device="cpu")
    # The first shows that it runs; of the last two, the second shows its peak memory.
    assert fake.forwards == 1 + 50 + 100 + 2
    assert fake.synchronised == 1 + 100 + 2  # after warming up, and after every repeat
    assert fake.replays == 0
    assert latency.ms == pytest.approx(0.75)
    assert latency.details["memory_mb"] == pytest.approx(3.5)  # beyond what was there before
    assert (latency.mode, latency.backend, latency.details["samples"]) == (
        "challenge",
        "eager",
        100,
    )


def test_device_mode_replays_graphs_for_20_ms_a_sample(fake):
    latency = measure_cuda(Counted(fake), height=8, width=12, device="cpu", backends=("eager",))
    assert latency.ms == pytest.approx(0.5)  # no launch gaps
    samples, times = 10, 40  # 40 replays of 0.5 ms
    assert fake.replays == 2 * (3 + 5 + samples * times)  # the network and the anchor
    assert latency.details["samples"] == samples
    assert latency.details["anchor_ms"] == pytest.approx(0.5)
    assert latency.details["steady"]


def test_cudnn_autotuning_is_restored(fake):
    before = torch.backends.cudnn.benchmark
    measure_cuda(Counted(fake), mode="challenge", height=8, width=12, device="cpu")
    assert torch.backends.cudnn.benchmark == before


# On a real GPU


@pytest.mark.gpu
@NO_CUDA
def test_on_cuda_device_mode_is_repeatable_and_below_challenge_mode():
    first, second = (measure_cuda(LARGE).ms for _ in range(2))
    assert second == pytest.approx(first, rel=0.03)
    assert first <= 1.05 * measure_cuda(LARGE, mode="challenge", backends=("eager",)).ms


@pytest.mark.gpu
@NO_CUDA
def test_on_cuda_more_work_takes_longer_and_is_measured_in_a_second():
    measure_cuda(SMALL)
    begun = time.perf_counter()
    small, large = measure_cuda(SMALL), measure_cuda(LARGE)
    assert time.perf_counter() - begun < 4
    assert small.ms < large.ms


# Who may use the device


def test_whoever_measures_waits_for_those_who_train_and_keeps_newcomers_out():
    log = []
    training, measuring = threading.Event(), threading.Event()

    def train():
        with shared("cpu"):
            training.set()
            measuring.wait(5)
            time.sleep(0.2)
            log.append("trained")

    def measure():
        training.wait(5)
        measuring.set()
        with exclusive("cpu"):
            log.append("measured")

    def train_later():
        measuring.wait(5)
        time.sleep(0.1)
        with shared("cpu"):
            log.append("trained later")

    threads = [threading.Thread(target=f) for f in (train, measure, train_later)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert log == ["trained", "measured", "trained later"]


def test_several_may_train_at_once():
    with shared("cpu"), shared("cpu"):
        pass


def test_a_killed_process_lets_go():
    code = (
        "import time; from nas.measure.device_lock import exclusive\n"
        "with exclusive('cpu'): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    with exclusive("cpu"):
        pass


# Targets and the store


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    return tmp_path / "latency"


def test_auto_without_cuda_is_the_model_and_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    target = resolve_target("auto")
    assert (target.name, target.kind) == ("rtx4090", "predicted")
    assert "no CUDA device" in target.note
    assert "leave-one-out error 1" in target.note
    assert target.latency(SMALL).kind == "predicted"
    with pytest.raises(InputError, match="cpu or rtx4090"):
        resolve_target("cuda")
    with pytest.raises(InputError, match="auto, cuda, cpu, rtx4090"):
        resolve_target("tpu")


def test_auto_with_cuda_is_cuda_and_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Some GPU")
    target = resolve_target("auto")
    assert (target.name, target.kind) == ("cuda", "measured")
    assert "Some GPU" in target.note


def test_nothing_is_measured_twice(cache, monkeypatch):
    target = resolve_target("cpu", height=24, width=24, threads=1)
    monkeypatch.setattr("nas.measure.latency.target.measure_cpu", on_a(steady=True))
    first = target.latency(SMALL)
    monkeypatch.setattr("nas.measure.latency.target.measure_cpu", None)  # not called again
    assert target.latency(SMALL) == first
    # Other weights and other branches in training are the same deploy form.
    ecb = Architecture(width=8, stages=(Stage("ecb", 8),))
    assert target.latency(ecb) == first
    assert target.latency(fuse(build(ecb, seed=7))) == first
    for other in (resolve_target("cpu", height=24, width=48, threads=1),):
        with pytest.raises(TypeError):
            other.latency(SMALL)
    with pytest.raises(TypeError):
        target.latency(LARGE)


def test_what_was_measured_while_something_else_ran_is_measured_again(cache, monkeypatch):
    target = resolve_target("cpu", height=24, width=24, threads=1)
    monkeypatch.setattr("nas.measure.latency.target.measure_cpu", on_a(steady=False))
    doubtful = target.latency(SMALL)
    monkeypatch.setattr("nas.measure.latency.target.measure_cpu", on_a(steady=True, anchor_ms=2.0))
    better = target.latency(SMALL)
    assert better != doubtful and target.latency(SMALL) == better
    # The least that the anchor ever took is what the next measurement compares with.
    usual = []
    monkeypatch.setattr("nas.measure.latency.target.measure_cpu", on_a(steady=True, told=usual))
    target.latency(LARGE)
    assert usual == [1.0]


def on_a(*, steady, anchor_ms=1.0, told=None):
    """Really measure, and say how steady the machine was: a test cannot rely on the real one."""

    def measure(network, *, anchor_baseline_ms, **options):
        if told is not None:
            told.append(anchor_baseline_ms)
        latency = measure_cpu(network, **options)
        return replace(
            latency, details={**latency.details, "steady": steady, "anchor_ms": anchor_ms}
        )

    return measure


def test_a_torn_store_entry_is_measured_again(cache):
    target = resolve_target("cpu", height=24, width=24, threads=1)
    target.latency(SMALL)
    next(cache.glob("*.json")).write_text('{"latency": ')
    assert target.latency(SMALL).kind == "measured"


def test_structure_is_blind_to_weights_and_names_only():
    assert structure_of(trace(SMALL)) != structure_of(trace(LARGE))
    assert structure_of(trace(SMALL, 24, 24)) != structure_of(trace(SMALL, 24, 48))
    assert structure_of(trace(build(SMALL, seed=1))) == structure_of(trace(build(SMALL, seed=2)))


def test_the_anchor_never_changes():
    # Stores compare by it: whoever changes it makes kept runtimes meaningless.
    assert ANCHOR_NETWORK.key == "f36add38b85c"
