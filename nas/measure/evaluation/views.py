"""Tables, Markdown and CSV of the document of `nas.measure.evaluation.report`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from nas.common.tables import Column, Table
from nas.measure.colour import colour_cell, colour_gain_db, colour_words

SURVEY_QPS = (31, 63)
"""The QPs that Table 1 reports."""

SURVEY_NOTE = (
    "The survey's rows are its own, on its own 110 test images, measured on an RTX 4090: "
    "PSNR and SSIM do not compare with those of other images, gains do roughly."
)

_QUALITY = (
    Column("model", "model"),
    Column("qp", "QP", "d"),
    Column("gain_db", "gain dB", "+.3f"),
    Column("gain_cb_db", "Cb dB", "+.3f", optional=5),
    Column("gain_cr_db", "Cr dB", "+.3f", optional=4),
    Column("psnr_y_db", "PSNR-Y", ".3f", optional=1),
    Column("psnr_rgb_db", "PSNR RGB", ".3f", optional=3),
    Column("ssim_y", "SSIM-Y", ".4f", optional=2),
    Column("ssim_rgb", "SSIM RGB", ".4f", optional=6),
    Column("gain_organiser_db", "gain organiser", "+.3f", optional=7),
    Column("psnr_y_organiser_db", "PSNR-Y organiser", ".3f", optional=8),
    Column("ssim_y_organiser", "SSIM-Y organiser", ".4f", optional=9),
)
_TABLE1 = (
    Column("name", "network"),
    Column("score", "score", ".2f", optional=4),
    Column("gain_db", "gain dB", "+.3f"),
    Column("colour", "colour dB", "s", optional=3),
    Column("macs_g", "MACs G", "#.3g", optional=2),
    Column("runtime_ms", "ms", ".3f", optional=1),
    Column("params_m", "params M", ".3f", optional=5),
    Column("memory_mb", "memory MB", ".1f", optional=6),
    Column("psnr_rgb", "PSNR RGB 31/63", "s", optional=8),
    Column("psnr_y", "PSNR-Y 31/63", "s", optional=7),
    Column("ssim_rgb", "SSIM RGB 31/63", "s", optional=10),
    Column("ssim_y", "SSIM-Y 31/63", "s", optional=9),
)
_TABLE1_PAIRS = {"psnr_rgb": ".2f", "psnr_y": ".2f", "ssim_rgb": ".3f", "ssim_y": ".3f"}


def quality_table(found: Mapping[str, Any]) -> Table:
    """Return the quality of Lanczos and each model at every QP, and its mean."""
    rows = []
    for model in ({"name": "Lanczos", **found["lanczos"]}, *found["models"]):
        for figures in (*model["per_qp"], {**model["mean"], "qp": "mean"}):
            first = figures is model["per_qp"][0]
            qp = "clean" if figures["qp"] is None else figures["qp"]
            rows.append({**figures, "qp": qp, "model": model["name"] if first else ""})
    return Table(_QUALITY, rows)


def table1(found: Mapping[str, Any]) -> Table | None:
    """Return the models in the form of Table 1; None without both QPs of the survey."""
    if not found["lanczos"]["table1"]:
        return None
    rows = [{"name": model["name"], **model["table1"]} for model in found["models"]]
    rows.append({"name": "Lanczos", **found["lanczos"]["table1"]})
    return Table(_TABLE1, [_table1_row(row) for row in rows])


def table1_survey(found: Mapping[str, Any]) -> Table:
    """Return the survey's own rows of Table 1."""
    return Table(_TABLE1, [_table1_row(row) for row in found["survey"]])


def markdown(found: Mapping[str, Any]) -> str:
    """Return a document as a page of Markdown."""
    data = found["data"]
    ours = table1(found)
    names = ", ".join(model["name"] for model in found["models"])
    parts = [
        f"# {names} on {data['name']}",
        f"{data['pictures']} held-out pictures, {data['megapixels']:.1f} megapixels, "
        f"set `{data['digest'][:12]}`. Means over pictures; gain is PSNR-Y over Lanczos, Cb and Cr "
        "the same of chroma.",
    ]
    for model in found["models"]:
        parts.append(
            f"**{model['name']}**: {model['gain_db']:+.3f} dB over {len(data['qps'])} QPs "
            f"({colour_words(model['gain_cb_db'], model['gain_cr_db'])}), "
            f"{model['runtime_ms']:.3f} ms {model['runtime_kind']} ({model['runtime_target']}), "
            f"{model['macs_g']:.3f} G MACs ({model['macs_organiser_g']:.3f} G as the challenge "
            f"counts), {model['params']:,} parameters, {model['memory_mb']:.1f} MB of memory "
            f"{model['memory_kind']}, weights `{model['digest'][:12]}`"
        )
    parts += ["## Quality", quality_table(found).markdown()]
    if ours is not None:
        parts += ["## In the form of Table 1", ours.markdown()]
    parts += ["### Rows of the survey, on other images", SURVEY_NOTE]
    parts.append(table1_survey(found).markdown())
    for model in found["models"]:
        for which, shown in model.get("side_by_side", {}).items():
            parts.append(f"![{which} picture of {model['name']}]({shown['file']})")
    parts += ["## Notes", "\n".join(f"- {note}" for note in found["notes"])]
    return "\n\n".join(parts) + "\n"


def table1_csv(found: Mapping[str, Any]) -> str:
    """Return the rows in the shape of Table 1 as CSV: one a model, then the survey's."""
    columns = [
        *("name", "source", "runtime_kind", "score", "gain_db", "gain_cb_db", "gain_cr_db"),
        *("macs_g", "runtime_ms", "params_m", "memory_mb"),
        *(f"{column}_qp{qp}" for column in _TABLE1_PAIRS for qp in SURVEY_QPS),
    ]
    records = []
    for model in (*found["models"], {"name": "Lanczos", **found["lanczos"]}):
        given = {"name": model["name"], "source": found["data"]["name"], **(model["table1"] or {})}
        records.append(given | {"runtime_kind": model.get("runtime_kind")})
    for row in found["survey"]:
        kind = "published" if "runtime_ms" in row else None
        records.append({**row, "source": "survey", "runtime_kind": kind})
    return _csv([{column: record.get(column) for column in columns} for record in records])


def pictures_csv(found: Mapping[str, Any]) -> str:
    """Return the figures of each image and QP, of each model and of Lanczos, as CSV."""
    columns = ["model", *found["models"][0]["pictures"][0]]
    records = [
        {column: model["name"] if column == "model" else row.get(column) for column in columns}
        for model in (*found["models"], {"name": "Lanczos", **found["lanczos"]})
        for row in model["pictures"]
    ]
    return _csv(records)


def _table1_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Add the colour, and PSNR and SSIM at both QPs as one cell each."""
    colour = colour_gain_db(row.get("gain_cb_db"), row.get("gain_cr_db"))
    cells: dict[str, Any] = {
        "colour": None if colour is None else colour_cell(row["gain_cb_db"], row["gain_cr_db"])
    }
    for key, form in _TABLE1_PAIRS.items():
        pair = [row.get(f"{key}_qp{qp}") for qp in SURVEY_QPS]
        cells[key] = None
        if pair[0] is not None:
            cells[key] = "/".join("-" if each is None else format(each, form) for each in pair)
    return {**row, **cells}


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
