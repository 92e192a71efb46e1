"""CUDA's events, graphs and streams on a clock of ours: 0.5 ms of GPU, and 0.25 more to launch."""

from __future__ import annotations

import contextlib
import types

import torch


class FakeCuda:
    def __init__(self):
        self.now, self.forwards, self.replays, self.capturing = 0.0, 0, 0, False
        self.synchronised = 0

    def forward(self):
        self.forwards += 1
        if not self.capturing:
            self.now += 0.75

    def install(self, monkeypatch):
        fake = self

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing

            def record(self):
                self.at = fake.now

            def synchronize(self):
                pass

            def elapsed_time(self, other):
                return other.at - self.at

        class Graph:
            def replay(self):
                fake.replays += 1
                fake.now += 0.5

        @contextlib.contextmanager
        def graph(captured):
            fake.capturing = True
            yield
            fake.capturing = False

        def synchronize():
            fake.synchronised += 1

        stream = types.SimpleNamespace(wait_stream=lambda other: None)
        for name, value in {
            "Event": Event,
            "CUDAGraph": Graph,
            "graph": graph,
            "synchronize": synchronize,
            "Stream": lambda: stream,
            "current_stream": lambda: stream,
            "current_device": lambda: -1,
            "stream": contextlib.nullcontext,
            "device": contextlib.nullcontext,
            "memory_allocated": lambda: 1_000_000,
            "reset_peak_memory_stats": lambda: None,
            "max_memory_allocated": lambda: 4_500_000,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
