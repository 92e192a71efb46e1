"""Measuring one candidate, compared with common tools.

    python -m benchmarks.measure

Cost: the trace with its cross-checks, against fvcore alone at 540x960. Candidates of a space:
parameters, MACs, memory and predicted runtime in both modes from descriptions, against building
each network. The first pool includes tracing each part once; the next pool reuses most traces.
Quality: PSNR and SSIM of a 4K image, against scikit-image. One thread each.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from random import Random
from statistics import median

import numpy as np
import torch

from nas.measure.cost.cost import cost, network_macs
from nas.measure.cost.counts import count
from nas.measure.cost.memory import compute_memory
from nas.measure.cost.trace import deploy_form, trace
from nas.measure.latency.predict import LatencyModel
from nas.measure.metrics import psnr, psnr_y, ssim
from search_spaces import Architecture, InputError, build, fuse, load_space, published
from search_spaces.networks.network import Network
from search_spaces.space import PRESETS, Space

_POOL = 2000
_BUILT = 40


def main() -> None:
    """Time each pair and print the ratios."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    architecture = published["ANUNet"].architecture
    network = fuse(build(architecture, seed=0))
    model = LatencyModel.load()
    cost(architecture)  # the first use of the meta device imports for seconds
    _row("cost of ANUNet", lambda: cost(architecture), "fvcore", lambda: _fvcore(network))
    print(f"{'latency model, ANUNet':24} {_seconds(lambda: model.predict(architecture)):8.3f} s")

    for space in PRESETS:
        _candidates(space, model)

    random = np.random.default_rng(0)
    a = random.integers(0, 256, (2160, 3840, 3), dtype=np.uint8)
    b = np.clip(a + random.normal(0, 9, a.shape), 0, 255).astype(np.uint8)
    _row("PSNR of a 4K picture", lambda: psnr(a, b), "scikit-image", lambda: _psnr(a, b))
    _row("SSIM of a 4K picture", lambda: ssim(a, b), "scikit-image", lambda: _ssim(a, b))
    print(f"{'PSNR-Y of a 4K picture':24} {_seconds(lambda: psnr_y(a, b)):8.3f} s")
    print(
        f"latency model {model.device}: leave-one-out error {model.leave_one_out_mape:.1%}, "
        f"Spearman {model.leave_one_out_spearman:.3f}, Kendall {model.leave_one_out_kendall:.3f}"
    )


def _candidates(space: str, model: LatencyModel) -> None:
    """Print milliseconds per candidate: two pools from descriptions, and a few built networks."""
    simple = replace(model, mode="device")

    def described(architecture: Architecture) -> object:
        counted = count(architecture)
        return counted, model.predict(architecture), simple.predict(architecture)

    def built(architecture: Architecture) -> object:
        network = deploy_form(architecture)
        layers = trace(network)
        sizes = network_macs(network, layers), sum(p.numel() for p in network.parameters())
        return sizes, compute_memory(network), model.predict_ms(layers), simple.predict(network)

    drawn = list(islice(_drawn(load_space(space)), 2 * _POOL))
    first, second = (
        _seconds(lambda pool=pool: list(map(described, pool)), 1) / _POOL
        for pool in (drawn[:_POOL], drawn[_POOL:])
    )
    each = _seconds(lambda: list(map(built, drawn[:_BUILT])), 1) / _BUILT
    for which, mine in ((f"first {_POOL}", first), (f"next {_POOL}", second)):
        print(
            f"{f'{space}, {which}':24} {1e3 * mine:8.3f} ms  built        {1e3 * each:8.3f} ms"
            f"  ratio {each / mine:6.1f}"
        )


def _drawn(space: Space) -> Iterator[Architecture]:
    random = Random(0)
    while True:
        choices = {d.name: random.choice(d.choices) for d in space.dimensions}
        with suppress(InputError):  # some corners contradict, and some cannot be built
            architecture = space.architecture(choices)
            Network(architecture)
            yield architecture


def _row(what: str, ours: Callable[[], object], name: str, theirs: Callable[[], object]) -> None:
    mine, other = _seconds(ours), _seconds(theirs)
    print(f"{what:24} {mine:8.3f} s   {name:12} {other:8.3f} s   ratio {other / mine:6.1f}")


def _seconds(work: Callable[[], object], repeats: int = 3) -> float:
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return median(taken)


def _fvcore(network: torch.nn.Module) -> object:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(network, torch.zeros(1, 3, 540, 960))
    return analysis.unsupported_ops_warnings(False).tracer_warnings("none").total()


def _psnr(a: np.ndarray, b: np.ndarray) -> object:
    from skimage.metrics import peak_signal_noise_ratio

    return peak_signal_noise_ratio(a, b, data_range=255)


def _ssim(a: np.ndarray, b: np.ndarray) -> object:
    from skimage.metrics import structural_similarity

    return structural_similarity(
        a,
        b,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
    )


if __name__ == "__main__":
    main()
