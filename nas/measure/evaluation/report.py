"""What an evaluation found, as one document: JSON, Markdown and CSV are views of it.

The row in the shape of the survey's Table 1 stands beside the survey's own rows. Theirs are means
over 110 pictures that nobody else has, so that only gains over Lanczos compare, and roughly.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nas.common.files import write_atomic
from nas.data.store import PairSet
from nas.measure.cost.cost import Cost
from nas.measure.cost.memory import Memory, compute_memory
from nas.measure.evaluation.evaluate import Evaluation
from nas.measure.evaluation.views import SURVEY_QPS, markdown, pictures_csv, table1_csv
from nas.measure.latency.measure import Latency
from nas.measure.quality import CHROMA_FLOOR, Fidelity
from search_spaces.model_file import Model
from search_spaces.networks.factory import layout
from search_spaces.zoo.survey import published

SURVEY_LANCZOS = {
    "psnr_rgb_qp31": 30.36,
    "psnr_rgb_qp63": 26.67,
    "psnr_y_qp31": 32.75,
    "psnr_y_qp63": 29.12,
    "ssim_rgb_qp31": 0.800,
    "ssim_rgb_qp63": 0.715,
    "ssim_y_qp31": 0.843,
    "ssim_y_qp63": 0.774,
}
"""The last row of Table 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A model with all that was measured of it."""

    model: Model
    evaluation: Evaluation
    cost: Cost
    latency: Latency

    @property
    def memory(self) -> Memory:
        """Peak memory of a pass as the runtime's: measured with it on CUDA, computed elsewhere."""
        details = self.latency.details
        precision = details.get("precision", "float16")
        computed = compute_memory(self.model.network, self.cost.height, self.cost.width, precision)
        if "memory_mb" not in details:
            return computed
        return replace(computed, mb=details["memory_mb"], kind="measured")


def score(gain_db: float, runtime_ms: float) -> float | None:
    """Return the challenge's score, 2 * 2^gain / (0.1 * sqrt(ms)); None at or below Lanczos.

    The gain is the mean of QP 31 and 63. All 16 scores of Table 1 follow from their rows.
    """
    return 2 * 2**gain_db / (0.1 * math.sqrt(runtime_ms)) if gain_db > 0 else None


def document(entries: Sequence[Entry], pair_set: PairSet, target_note: str) -> dict[str, Any]:
    """Return everything, fit for JSON: pictures, models, Lanczos, the survey's rows, notes."""
    first = entries[0].evaluation
    pictures = pair_set.validation
    return {
        "data": {
            "name": pair_set.path.name,
            "path": str(pair_set.path),
            "digest": pair_set.digest,
            "is_sample": pair_set.is_sample,
            "pictures": len(pictures),
            "megapixels": round(sum(p.height * p.width for p in pictures) / 1e6, 3),
            "qps": list(first.qps),
        },
        "models": [_model(entry) for entry in entries],
        "lanczos": {
            "table1": _shaped(first, ours=False),
            "mean": _figures(first.over()[1]),
            "per_qp": [{"qp": qp, **_figures(first.at(qp)[1])} for qp in first.qps],
            "pictures": [
                {"picture": f.picture, "qp": f.qp, **_figures(f.lanczos)} for f in first.figures
            ],
        },
        "survey": [
            *({"name": name, **asdict(known.table1)} for name, known in published.items()),
            {"name": "Lanczos", **SURVEY_LANCZOS},
        ],
        "notes": _notes(entries, pair_set, target_note),
    }


def write(found: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Write a document as JSON, Markdown and two CSV files; return their paths.

    ``table1.csv`` has a row a model and of the survey, ``pictures.csv`` one for each picture and
    QP of each model and of Lanczos.

    Raises:
        OSError: The folder cannot be written.
    """
    contents = {
        "evaluation.json": json.dumps(found, indent=2, allow_nan=False) + "\n",
        "evaluation.md": markdown(found),
        "table1.csv": table1_csv(found),
        "pictures.csv": pictures_csv(found),
    }
    for name, content in contents.items():
        write_atomic(folder / name, content.encode())
    return {name: folder / name for name in contents}


def _model(entry: Entry) -> dict[str, Any]:
    model, evaluation, memory = entry.model, entry.evaluation, entry.memory
    table1 = _shaped(evaluation)
    if table1 is not None:
        table1 = {
            "score": score(table1["gain_db"], entry.latency.ms),
            "gain_db": table1.pop("gain_db"),
            "gain_cb_db": table1.pop("gain_cb_db"),
            "gain_cr_db": table1.pop("gain_cr_db"),
            "macs_g": entry.cost.macs / 1e9,
            "runtime_ms": entry.latency.ms,
            "params_m": entry.cost.params / 1e6,
            "memory_mb": memory.mb,
            **table1,
        }
    return {
        "name": evaluation.name,
        "digest": model.digest,
        "architecture": model.architecture.to_dict(),
        "facts": dict(model.facts),
        "gain_db": evaluation.gain_db(),
        "gain_cb_db": evaluation.gain_cb_db(),
        "gain_cr_db": evaluation.gain_cr_db(),
        "score": table1["score"] if table1 else None,
        "runtime_ms": entry.latency.ms,
        "runtime_kind": entry.latency.kind,
        "runtime_target": entry.latency.target,
        "macs_g": entry.cost.macs / 1e9,
        "macs_organiser_g": entry.cost.macs_organiser / 1e9,
        "params": entry.cost.params,
        "memory_mb": memory.mb,
        "memory_kind": memory.kind,
        "memory_precision": memory.precision,
        "table1": table1,
        "mean": _beside(*evaluation.over()),
        "per_qp": [{"qp": qp, **_beside(*evaluation.at(qp))} for qp in evaluation.qps],
        "pictures": [
            {"picture": f.picture, "qp": f.qp, **_beside(f.ours, f.lanczos)}
            for f in evaluation.figures
        ],
    }


def _shaped(evaluation: Evaluation, *, ours: bool = True) -> dict[str, Any] | None:
    """The columns of Table 1 that pictures decide, or None without its QPs."""
    if not set(SURVEY_QPS) <= set(evaluation.qps):
        return None
    row: dict[str, Any] = {}
    if ours:
        row = {
            "gain_db": evaluation.gain_db(SURVEY_QPS),
            "gain_cb_db": evaluation.gain_cb_db(SURVEY_QPS),
            "gain_cr_db": evaluation.gain_cr_db(SURVEY_QPS),
        }
    for column, key in (
        ("psnr_rgb", "psnr_rgb_db"),
        ("psnr_y", "psnr_y_db"),
        ("ssim_rgb", "ssim_rgb"),
        ("ssim_y", "ssim_y"),
    ):
        for qp in SURVEY_QPS:
            row[f"{column}_qp{qp}"] = getattr(evaluation.at(qp)[0 if ours else 1], key)
    return row


def _beside(ours: Fidelity, base: Fidelity) -> dict[str, float | None]:
    """Figures with the gains over Lanczos."""
    gains = {
        "gain_db": _finite(ours.psnr_y_db - base.psnr_y_db),
        "gain_cb_db": ours.psnr_cb_db - base.psnr_cb_db,
        "gain_cr_db": ours.psnr_cr_db - base.psnr_cr_db,
        "gain_organiser_db": _finite(ours.psnr_y_organiser_db - base.psnr_y_organiser_db),
    }
    return {**gains, **_figures(ours)}


def _figures(fidelity: Fidelity) -> dict[str, float | None]:
    return {key: _finite(value) for key, value in asdict(fidelity).items()}


def _finite(value: float | None) -> float | None:
    """JSON has no infinity: a PSNR without errors is null."""
    return value if value is not None and math.isfinite(value) else None


def _notes(entries: Sequence[Entry], pair_set: PairSet, target_note: str) -> list[str]:
    notes = [
        "PSNR-Y and SSIM-Y are of BT.601 luma; 'organiser' is the challenge's luma, with red and "
        "blue swapped, which the survey's rows have.",
        "Gains of Cb and Cr are of PSNR over Lanczos too, of BT.601 full-range chroma with a "
        f"squared error of at least {CHROMA_FLOOR}: a model well below zero tints.",
        f"Runtime of 540x960: {target_note}.",
        "Memory is the peak of one pass at 540x960: weights, picture and the maps that live at once"
        + "".join(f"; {told}" for told in sorted({_memory_kind(entry) for entry in entries}))
        + ". Table 1 has none.",
    ]
    kinds = {entry.latency.kind for entry in entries}
    if set(SURVEY_QPS) <= set(entries[0].evaluation.qps):
        notes.append(
            "Score and the gain beside it: 2 * 2^gain / (0.1 * sqrt(ms)), the challenge's formula, "
            f"from QP 31 and 63 of these pictures and the {' or '.join(sorted(kinds))} runtime."
        )
    else:
        notes.append("Table 1 needs QP 31 and 63, and this set has not both: no row, no score.")
    if pair_set.is_sample:
        notes.append(
            "This is the small sample set: good to see the tool work, too small to judge a model."
        )
    if flat := sorted({name for entry in entries for name in entry.evaluation.exact}):
        notes.append(f"Left out of means, because it has no error at all: {', '.join(flat)}.")
    for entry in entries:
        name, shape = entry.evaluation.name, layout(entry.model.architecture)
        for known in published.values():
            if known.name != name and layout(known.architecture) == shape:
                notes.append(f"{name} has the layers of {known.name} in the survey's rows.")
        if not entry.cost.agree:
            notes.append(f"{name}: fvcore and thop count other MACs: see 'nas cost'.")
    return notes


def _memory_kind(entry: Entry) -> str:
    return f"{entry.memory.kind} in {entry.memory.precision.replace('float', 'FP')}"
