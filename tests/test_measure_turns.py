"""Training shares a device and measuring has it alone, across processes."""

from __future__ import annotations

import multiprocessing
import time

import nas.measure.exclusive
from nas.measure.exclusive import Turns, exclusive


def _train(device, ready, stop):
    with Turns(device) as turns:
        while not stop.is_set():
            turns.next()
            ready.set()
            time.sleep(0.01)


def test_whoever_measures_gets_a_turn_from_two_who_train(monkeypatch):
    monkeypatch.setattr(nas.measure.exclusive, "_TURN_S", 0.2)
    context = multiprocessing.get_context("fork")
    stop, ready = context.Event(), [context.Event() for _ in range(2)]
    trainers = [context.Process(target=_train, args=("meta", r, stop), daemon=True) for r in ready]
    for trainer, begun in zip(trainers, ready, strict=True):
        trainer.start()
        assert begun.wait(20)
    try:
        for _ in range(3):
            with exclusive("meta"):
                for begun in ready:
                    begun.clear()
                time.sleep(0.3)
                assert not any(begun.is_set() for begun in ready), "nobody trains meanwhile"
    finally:
        stop.set()
    for trainer in trainers:
        trainer.join(20)
        assert trainer.exitcode == 0


def test_a_released_device_is_free(monkeypatch):
    with Turns("meta") as turns:
        turns.next()
        turns.release()
        with exclusive("meta"):
            pass
        turns.next()
    with exclusive("meta"):
        pass
