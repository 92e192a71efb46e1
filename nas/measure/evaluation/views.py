"""Tables, Markdown and CSV of the document of `nas.measure.evaluation.report`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

from nas.measure.colour import colour_cell, colour_words, db_cell

SURVEY_QPS = (31, 63)
"""The QPs that Table 1 reports."""

SURVEY_NOTE = (
    "The survey's rows are its own, on its own 110 test pictures, measured on an RTX 4090: "
    "PSNR and SSIM do not compare with those of other pictures, gains do roughly."
)

QUALITY_COLUMNS = (
    *("model", "QP", "gain dB", "Cb dB", "Cr dB"),
    *("PSNR-Y", "PSNR RGB", "SSIM-Y", "SSIM RGB"),
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
                    db_cell(figures.get("gain_db")),
                    db_cell(figures.get("gain_cb_db")),
                    db_cell(figures.get("gain_cr_db")),
                    _cell(figures["psnr_y_db"], ".3f"),
                    _cell(figures["psnr_rgb_db"], ".3f"),
                    _cell(figures["ssim_y"], ".4f"),
                    _cell(figures["ssim_rgb"], ".4f"),
                    db_cell(figures.get("gain_organiser_db")),
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
    *("network", "score", "gain dB", "colour dB", "MACs G", "ms", "params M", "memory MB"),
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


def markdown(found: Mapping[str, Any]) -> str:
    """Return a document as a page of Markdown."""
    data = found["data"]
    ours, survey = table1_rows(found)
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
    quality = without_empty(QUALITY_COLUMNS, quality_rows(found))
    parts += ["## Quality", _markdown_table(*quality)]
    if ours:
        parts += ["## In the shape of Table 1", _markdown_table(TABLE1_COLUMNS, ours)]
    parts += ["### The survey's rows, on other pictures", SURVEY_NOTE]
    parts.append(_markdown_table(*without_empty(TABLE1_COLUMNS, survey)))
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


def _table1_cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["name"],
        _cell(row.get("score"), ".2f"),
        db_cell(row.get("gain_db")),
        colour_cell(row.get("gain_cb_db"), row.get("gain_cr_db")),
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
