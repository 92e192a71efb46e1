"""The picture of a proxy check: what short runs say against the reference, a panel a budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.figures import png

_COLOURS = {1: "#1f6feb", 2: "#d1242f", 3: "#2da44e", 4: "#8250df"}
"""By working resolution: LR sides are divided by this."""


def scatter(found: Mapping[str, Any]) -> bytes:
    """Draw the document of `nas.training.proxy_check.document`; returns a PNG."""
    from matplotlib.figure import Figure

    networks = found["networks"]
    references = [network["reference_gain_db"] for network in networks]
    middle = (min(references) + max(references)) / 2
    budgets = sorted(int(steps) for steps in networks[0]["runs"])
    judged = {guess["steps"]: guess for guess in found["guesses"] if "gain" in guess["name"]}
    figure = Figure(figsize=(4.6 * len(budgets), 4.8), dpi=120, layout="constrained")
    axes = figure.subplots(1, len(budgets), squeeze=False)[0]
    for panel, steps in zip(axes, budgets, strict=True):
        for network in networks:
            gains = [run["gain_db"] for run in network["runs"][str(steps)]]
            mean = sum(gains) / len(gains)
            spread = [[mean - min(gains)], [max(gains) - mean]]
            colour = _COLOURS[network["working_factor"]]
            panel.errorbar(
                network["reference_gain_db"], mean, spread, fmt="o", color=colour, capsize=2, ms=5
            )
            right = network["reference_gain_db"] > middle
            panel.annotate(
                network["name"],
                (network["reference_gain_db"], mean),
                xytext=(-5, 4) if right else (5, 4),
                ha="right" if right else "left",
                textcoords="offset points",
                fontsize=7,
                color="#57606a",
            )
        guess = judged[steps]
        told = f"{steps} steps" if steps else "before any training"
        panel.set_title(
            f"{told}: Kendall {guess['kendall']:+.2f} "
            f"({guess['kendall_low']:+.2f} to {guess['kendall_high']:+.2f})",
            loc="left",
            fontsize=10,
        )
        panel.set_xlabel(f"gain by the reference ({found['reference']}) [dB]", fontsize=8)
        panel.set_ylabel("gain of the proxy run [dB], bars: all seeds", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.margins(x=0.15, y=0.1)
        panel.grid(True, linewidth=0.3)
    present = sorted({network["working_factor"] for network in networks})
    names = {1: "full LR", 2: "half", 3: "third", 4: "quarter"}
    handles = [
        axes[0].plot([], [], "o", color=_COLOURS[factor], label=names[factor])[0]
        for factor in present
    ]
    axes[0].legend(handles=handles, title="working resolution", fontsize=7, title_fontsize=7)
    return png(figure)
