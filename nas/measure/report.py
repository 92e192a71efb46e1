"""What an evaluation found, as one document: JSON, Markdown and CSV are views of it.

The row in the shape of the survey's Table 1 stands beside the survey's own rows. Theirs are means
over 110 pictures that nobody else has, so that only gains over Lanczos compare, and roughly.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

from nas.data.store import PairSet
from nas.measure.cost import Cost
from nas.measure.evaluation import Evaluation
from nas.measure.latency import Latency
from nas.measure.memory import Memory, compute_memory
from nas.measure.quality import Fidelity
from search_spaces.files import write_atomic
from search_spaces.model import Model
from search_spaces.network import layout
from search_spaces.survey import published

SURVEY_QPS = (31, 63)
"""The QPs that Table 1 reports."""

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

SURVEY_NOTE = (
    "The survey's rows are its own, on its own 110 test pictures, measured on an RTX 4090: "
    "PSNR and SSIM do not compare with those of other pictures, gains do roughly."
)


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
        "table1.csv": _csv(_table1_records(found)),
        "pictures.csv": _csv(_picture_records(found)),
    }
    for name, content in contents.items():
        write_atomic(folder / name, content.encode())
    return {name: folder / name for name in contents}


QUALITY_COLUMNS = (
    *("model", "QP", "gain dB", "PSNR-Y", "PSNR RGB", "SSIM-Y", "SSIM RGB"),
    *("gain organiser", "PSNR-Y organiser", "SSIM-Y organiser"),
)


def quality_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """Return the cells of `QUALITY_COLUMNS`: Lanczos and each model, every QP and their mean."""
    rows = []
    lanczos = {"name": "Lanczos", **found["lanczos"]}
    for model in (lanczos, *found["models"]):
        for figures in (*model["per_qp"], {"qp": "mean", **model["mean"]}):
            qp = "clean" if figures["qp"] is None else str(figures["qp"])
            rows.append(
                [
                    model["name"] if figures is model["per_qp"][0] else "",
                    qp,
                    _cell(figures.get("gain_db"), "+.3f"),
                    _cell(figures["psnr_y_db"], ".3f"),
                    _cell(figures["psnr_rgb_db"], ".3f"),
                    _cell(figures["ssim_y"], ".4f"),
                    _cell(figures["ssim_rgb"], ".4f"),
                    _cell(figures.get("gain_organiser_db"), "+.3f"),
                    _cell(figures["psnr_y_organiser_db"], ".3f"),
                    _cell(figures["ssim_y_organiser"], ".4f"),
                ]
            )
    return rows


def without_empty(
    columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Leave out the columns that have nothing in any row, such as SSIM of a quick evaluation."""
    full = [any(row[index] != "-" for row in rows) for index in range(len(columns))]
    return list(compress(columns, full)), [list(compress(row, full)) for row in rows]


TABLE1_COLUMNS = (
    *("network", "score", "gain dB", "MACs G", "ms", "params M", "memory MB"),
    *("PSNR RGB 31/63", "PSNR-Y 31/63", "SSIM RGB 31/63", "SSIM-Y 31/63"),
)
_TABLE1_PAIRS = {"psnr_rgb": ".2f", "psnr_y": ".2f", "ssim_rgb": ".3f", "ssim_y": ".3f"}


def table1_rows(found: Mapping[str, Any]) -> tuple[list[list[str]], list[list[str]]]:
    """Return the cells of `TABLE1_COLUMNS`: those of this evaluation, and the survey's.

    The first list is empty where the set has not both of the survey's QPs.
    """
    shaped = [{"name": model["name"], **(model["table1"] or {})} for model in found["models"]]
    shaped.append({"name": "Lanczos", **(found["lanczos"]["table1"] or {})})
    ours = shaped if found["lanczos"]["table1"] else []
    return [_table1_cells(row) for row in ours], [_table1_cells(row) for row in found["survey"]]


def _table1_cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["name"],
        _cell(row.get("score"), ".2f"),
        _cell(row.get("gain_db"), "+.3f"),
        _cell(row.get("macs_g"), "#.3g"),
        _cell(row.get("runtime_ms"), ".3f"),
        _cell(row.get("params_m"), ".3f"),
        _cell(row.get("memory_mb"), ".1f"),
        *(
            "/".join(_cell(row[f"{column}_qp{qp}"], form) for qp in SURVEY_QPS)
            if row.get(f"{column}_qp31") is not None
            else "-"
            for column, form in _TABLE1_PAIRS.items()
        ),
    ]


def markdown(found: Mapping[str, Any]) -> str:
    """Return a document as a page of Markdown."""
    data = found["data"]
    ours, survey = table1_rows(found)
    names = ", ".join(model["name"] for model in found["models"])
    parts = [
        f"# {names} on {data['name']}",
        f"{data['pictures']} held-out pictures, {data['megapixels']:.1f} megapixels, "
        f"set `{data['digest'][:12]}`. Means over pictures; gain is PSNR-Y over Lanczos.",
    ]
    for model in found["models"]:
        parts.append(
            f"**{model['name']}**: {model['gain_db']:+.3f} dB over {len(data['qps'])} QPs, "
            f"{model['runtime_ms']:.3f} ms {model['runtime_kind']} ({model['runtime_target']}), "
            f"{model['macs_g']:.3f} G MACs ({model['macs_organiser_g']:.3f} G as the challenge "
            f"counts), {model['params']:,} parameters, {model['memory_mb']:.1f} MB of memory "
            f"{model['memory_kind']}, weights `{model['digest'][:12]}`"
        )
    quality = without_empty(QUALITY_COLUMNS, quality_rows(found))
    parts += ["## Quality", _markdown_table(*quality)]
    if ours:
        parts += ["## In the shape of Table 1", _markdown_table(TABLE1_COLUMNS, ours)]
    parts += ["### The survey's rows, on other pictures", SURVEY_NOTE]
    parts.append(_markdown_table(TABLE1_COLUMNS, survey))
    for model in found["models"]:
        for which, shown in model.get("side_by_side", {}).items():
            parts.append(f"![{which} picture of {model['name']}]({shown['file']})")
    parts += ["## Notes", "\n".join(f"- {note}" for note in found["notes"])]
    return "\n\n".join(parts) + "\n"


def _model(entry: Entry) -> dict[str, Any]:
    model, evaluation, memory = entry.model, entry.evaluation, entry.memory
    table1 = _shaped(evaluation)
    if table1 is not None:
        table1 = {
            "score": score(table1["gain_db"], entry.latency.ms),
            "gain_db": table1.pop("gain_db"),
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
    row: dict[str, Any] = {"gain_db": evaluation.gain_db(SURVEY_QPS)} if ours else {}
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


def _table1_records(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = ["name", "source", "runtime_kind", "score", "gain_db", "macs_g", "runtime_ms"]
    columns += [
        "params_m",
        "memory_mb",
        *(f"{column}_qp{qp}" for column in _TABLE1_PAIRS for qp in SURVEY_QPS),
    ]
    records = []
    for model in (*found["models"], {"name": "Lanczos", **found["lanczos"]}):
        given = {"name": model["name"], "source": found["data"]["name"], **(model["table1"] or {})}
        records.append(given | {"runtime_kind": model.get("runtime_kind")})
    for row in found["survey"]:
        kind = "published" if "runtime_ms" in row else None
        records.append({**row, "source": "survey", "runtime_kind": kind})
    return [{column: record.get(column) for column in columns} for record in records]


def _picture_records(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = ["model", *found["models"][0]["pictures"][0]]
    return [
        {column: model["name"] if column == "model" else row.get(column) for column in columns}
        for model in (*found["models"], {"name": "Lanczos", **found["lanczos"]})
        for row in model["pictures"]
    ]


def _csv(records: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(records[0]), lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow(
            {
                k: f"{v:.6f}" if isinstance(v, float) else "" if v is None else v
                for k, v in record.items()
            }
        )
    return out.getvalue()


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
