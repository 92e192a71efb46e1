"""Predicting a runtime from what the layers move and compute.

One price for each kind of work, summed over the layers. No price is below what the device's data
sheet allows and none is negative, so more of anything is never faster. Prices are fitted by
relative error, robustly: a dozen of the survey's 17 runtimes agree with the rest to some percent,
and the five that lie above all others (layers alone cannot tell why) must not bend it for them.

``python -m nas.measure.latency.predict`` fits the shipped profile again.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from torch import nn

from nas.common.errors import InputError
from nas.common.files import cache_root, read_text, write_atomic
from nas.measure.cost.counts import layers_as_run
from nas.measure.cost.memory import Precision
from nas.measure.cost.trace import LayerCost, inference_form, trace
from nas.measure.latency.measure import Latency
from nas.measure.latency.nonnegative import robust_nonnegative
from nas.measure.rank_metrics import kendall, mape, spearman
from search_spaces.architecture import Architecture

PROFILES = Path(__file__).parent / "profiles"
"""The shipped profiles, one JSON file each."""

FEATURES = {
    "pass_gb": "gigabytes moved by activations, sums, shuffles and everything else elementwise",
    "bias_gb": "gigabytes moved to add biases in place, right after the convolution wrote them",
    "conv_in_gb": "gigabytes that convolutions read",
    "conv_out_gb": "gigabytes that convolutions write",
    "gmacs": "giga multiply-accumulates, channels padded to what matrix units compute",
    "kernels": "kernel launches",
}
"""What is priced, in milliseconds a unit."""

RTX4090_FLOORS = {
    "pass_gb": 1 / 1.008,  # 1008 GB/s of GDDR6X
    "bias_gb": 1 / 5.0,  # the 72 MB second-level cache still holds what was just written
    "conv_in_gb": 1 / 1.008,
    "conv_out_gb": 1 / 1.008,
    "gmacs": 1 / 82.6,  # 165.2 TFLOPS in FP16 with FP32 sums
    "kernels": 0.002,  # start and drain of a kernel when launches are queued ahead
}
"""Lowest price of each feature on an RTX 4090, from its data sheet."""

TAKEN = ("auto", "cuda", "cpu")
"""Targets that are no profiles."""

_PADDED = 8  # channels: matrix units take FP16 in groups of eight
_NO_MATRIX_UNIT = 8  # how much dearer a multiply-accumulate of a grouped convolution is
_QUADRATIC_TO = 0.05  # relative error up to which squares count: what measuring noise may be


@dataclass(frozen=True, slots=True)
class FittedRow:
    """One network that the model was fitted on."""

    name: str
    runtime_ms: float
    fitted_ms: float
    left_out_ms: float
    """Predicted by the model that was fitted without this network."""


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """Prices of the features, and how far they can be trusted."""

    device: str
    mode: str
    source: str
    height: int
    width: int
    prices: Mapping[str, float]
    floors: Mapping[str, float]
    rows: tuple[FittedRow, ...]
    precision: Precision = "float16"
    """What the networks ran in."""

    @property
    def leave_one_out_mape(self) -> float:
        """Mean relative error on networks that were left out of the fit, as a fraction."""
        return mape(*self._left_out())

    @property
    def leave_one_out_spearman(self) -> float:
        """Rank correlation of the left-out predictions with the measured runtimes."""
        return spearman(*self._left_out())

    @property
    def leave_one_out_kendall(self) -> float:
        """Kendall's tau-b of the left-out predictions with the measured runtimes."""
        return kendall(*self._left_out())

    @property
    def note(self) -> str:
        """One line that says what predictions are made from and how far to trust them."""
        return (
            f"predicted for {self.device} from {self.source}, "
            f"leave-one-out error {self.leave_one_out_mape:.0%}"
        )

    def predict_ms(self, layers: Iterable[LayerCost]) -> float:
        """Return the predicted milliseconds of traced layers."""
        return float(features(layers) @ np.array([self.prices[name] for name in FEATURES]))

    def predict(
        self, network: nn.Module | Architecture, height: int = 540, width: int = 960
    ) -> Latency:
        """Return the predicted runtime of a network on (1, 3, height, width), as it runs.

        An architecture is not built for it: see `nas.measure.cost.counts`.
        """
        if isinstance(network, Architecture):
            layers = layers_as_run(network, self.mode, height, width)
        else:
            layers = trace(inference_form(network, self.mode), height, width)
        return Latency(
            ms=self.predict_ms(layers),
            kind="predicted",
            target=self.device,
            backend="eager",
            mode=self.mode,
            details={
                "height": height,
                "width": width,
                "precision": self.precision,
                "source": self.source,
                "leave_one_out_mape": self.leave_one_out_mape,
                "leave_one_out_spearman": self.leave_one_out_spearman,
                "leave_one_out_kendall": self.leave_one_out_kendall,
            },
        )

    def to_json(self) -> str:
        """The profile as a file holds it; figures to 6 digits."""
        profile = asdict(self)
        profile["leave_one_out"] = {
            "mape": self.leave_one_out_mape,
            "spearman": self.leave_one_out_spearman,
            "kendall": self.leave_one_out_kendall,
        }
        return json.dumps(_rounded(profile), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> LatencyModel:
        """The inverse of `to_json`; the summary figures are computed again."""
        profile = json.loads(text)
        del profile["leave_one_out"]
        profile["rows"] = tuple(FittedRow(**row) for row in profile["rows"])
        return cls(**profile)

    @classmethod
    def load(cls, name: str = "rtx4090") -> LatencyModel:
        """Return a profile by name: a shipped one, or one that was fitted on this machine.

        Raises:
            InputError: there is none of that name, or it cannot be read.
        """
        for folder in (PROFILES, fitted_profiles()):
            if name in _names(folder):
                return cls.read(folder / f"{name}.json")
        raise InputError(
            f"there is no latency profile '{name}'; choose one of {', '.join(profile_names())}"
        )

    @classmethod
    def read(cls, path: Path) -> LatencyModel:
        """Return the profile in a file.

        Raises:
            InputError: it is none.
        """
        text = read_text(path)
        try:
            model = cls.from_json(text)
            priced = model.prices.keys() == FEATURES.keys()
            sound = priced and all(0 <= price < math.inf for price in model.prices.values())
            if not sound or math.isnan(model.leave_one_out_mape):
                raise ValueError("prices are missing, negative or without an end")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{path} is no latency profile ({error}): make one with 'nas latency fit'"
            ) from error
        check_name(model.device, path)
        return model

    def _left_out(self) -> tuple[list[float], list[float]]:
        return [row.left_out_ms for row in self.rows], [row.runtime_ms for row in self.rows]


def fitted_profiles() -> Path:
    """Return the folder of the profiles that were fitted on this machine."""
    return cache_root() / "profiles"


def profile_names() -> list[str]:
    """Return the names of the shipped profiles, then of those that were fitted here."""
    shipped = _names(PROFILES)
    return [*shipped, *(name for name in _names(fitted_profiles()) if name not in shipped)]


def check_name(name: str, path: Path | None = None) -> None:
    """Refuse a profile's name that is malformed or means something else.

    Raises:
        InputError: says why.
    """
    whose = "" if path is None else f"{path}: "
    if name in TAKEN:
        raise InputError(f"{whose}a latency profile cannot be called '{name}', which is measured")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise InputError(f"{whose}'{name}' is no name for a profile: use letters, digits, . _ -")


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.json") if not path.name.startswith("."))


def features(layers: Iterable[LayerCost]) -> np.ndarray:
    """Return the work in layers, one number per name of `FEATURES`."""
    total = dict.fromkeys(FEATURES, 0.0)
    for layer in layers:
        total["kernels"] += layer.kernels
        if layer.kind == "bias":
            total["bias_gb"] += layer.bytes / 1e9
        elif layer.kind in ("conv", "matmul") and layer.groups == 1:
            total["conv_in_gb"] += layer.bytes_read / 1e9
            total["conv_out_gb"] += layer.bytes_written / 1e9
            total["gmacs"] += layer.macs / 1e9 * _padding(layer)
        else:
            total["pass_gb"] += layer.bytes / 1e9
            total["gmacs"] += layer.macs / 1e9 * _NO_MATRIX_UNIT
    return np.array(list(total.values()))


def fit(
    observations: Mapping[str, tuple[Sequence[LayerCost], float]],
    floors: Mapping[str, float],
    *,
    device: str,
    mode: str,
    source: str,
    height: int = 540,
    width: int = 960,
    precision: Precision = "float16",
) -> LatencyModel:
    """Fit prices to measured runtimes.

    Args:
        observations: name -> (traced layers, measured milliseconds); at least 3.
        floors: lowest price of each feature, from the device's data sheet; zeros where none is
            known.
        device: name of the device, which predictions carry.
        mode: how the runtimes were timed.
        source: where they come from, in a few words.
        height: rows of the pictures that they were measured on.
        width: columns of them.
        precision: what the networks ran in.
    """
    names = list(observations)
    work = np.stack([features(layers) for layers, _ in observations.values()])
    true = np.array([ms for _, ms in observations.values()])
    floor = np.array([floors[name] for name in FEATURES])
    prices = _fit_prices(work, true, floor)
    rows = []
    for i, name in enumerate(names):
        others = np.arange(len(names)) != i
        left_out = work[i] @ _fit_prices(work[others], true[others], floor)
        rows.append(FittedRow(name, float(true[i]), float(work[i] @ prices), float(left_out)))
    return LatencyModel(
        device=device,
        mode=mode,
        source=source,
        height=height,
        width=width,
        prices=dict(zip(FEATURES, prices.tolist(), strict=True)),
        floors=dict(floors),
        rows=tuple(rows),
        precision=precision,
    )


def fit_published() -> LatencyModel:
    """Fit the ``rtx4090`` profile to the survey's Table 1."""
    from search_spaces import published

    observations = {
        name: (trace(network.architecture, 540, 960), network.table1.runtime_ms)
        for name, network in published.items()
    }
    return fit(
        observations,
        RTX4090_FLOORS,
        device="rtx4090",
        mode="challenge",
        source="the 17 runtimes of Table 1 of the AIS 2024 survey",
    )


def _fit_prices(work: np.ndarray, true: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Minimise relative errors over prices that are at least ``floor``."""
    relative = work / true[:, None]
    above = robust_nonnegative(relative, 1 - relative @ floor, quadratic_to=_QUADRATIC_TO)
    return floor + above


def _padding(layer: LayerCost) -> float:
    """How much more a matrix unit computes than asked, because it pads the channels."""
    padded = 1.0
    for channels in (layer.channels_in, layer.channels):
        padded *= -(-channels // _PADDED) * _PADDED / channels
    return padded


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def _main() -> None:
    model = fit_published()
    write_atomic(PROFILES / "rtx4090.json", model.to_json().encode())
    for row in sorted(model.rows, key=lambda row: row.left_out_ms / row.runtime_ms):
        error = row.left_out_ms / row.runtime_ms - 1
        print(
            f"{row.name:12} {row.runtime_ms:6.3f} ms, left out {row.left_out_ms:6.3f} {error:+.0%}"
        )
    print(
        f"leave-one-out error {model.leave_one_out_mape:.1%}, "
        f"Spearman {model.leave_one_out_spearman:.3f}, Kendall {model.leave_one_out_kendall:.3f}"
    )


if __name__ == "__main__":
    _main()
