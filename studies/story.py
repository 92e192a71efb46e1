"""What a study found, in words and tables for people: Markdown, and rows for a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from studies.front import front, knee, memory_shown, trained
from studies.record import Record, counts
from studies.settings import StudyInfo


def story(info: StudyInfo, records: Sequence[Record]) -> str:
    """Markdown that tells what was searched, what was found and what to do next."""
    tally = counts(records)
    identity = info.identity
    lines = [
        f"**{info.name}** searched `{_name_of(identity.get('space'))}` under {info.budget}.",
        "",
        f"{tally.trained} candidates trained, {tally.rejected} rejected before training, "
        f"{tally.stopped} stopped early, {tally.broken} broken, {tally.duplicates} duplicates.",
        "",
    ]
    for key in ("target", "data", "teacher", "proxy"):
        if identity.get(key) is not None:
            lines.append(f"- {key}: `{_name_of(identity[key])}`")
    lines += ["", "## Front", "", front_markdown(records), ""]
    best = knee(trained(records))
    if best is not None:
        lines += [
            "Gains are of short proxy runs: they rank, full training decides.",
            "",
            f"The best compromise is trial {best.trial} ({best.name}). "
            "Open `front.html` among the artifacts for the interactive front. Next:",
            "",
            "```",
            f"nas front {info.name}",
            "```",
        ]
    return "\n".join(lines)


def front_table(records: Sequence[Record]) -> dict[str, Any]:
    """Columns and rows, the form that MLflow shows as a table."""
    columns = ["trial", "name", "gain_db", "runtime_ms", "runtime_kind"]
    columns += ["macs_g", "params", "memory_mb"]
    rows = [member.to_dict() for member in front(trained(records))]
    return {"columns": columns, "data": [[row[column] for column in columns] for row in rows]}


def front_markdown(records: Sequence[Record]) -> str:
    """The front as a Markdown table, fastest first."""
    members = front(trained(records))
    if not members:
        return "No candidate was trained yet."
    rows = [
        f"| trial | network | gain dB | ms ({members[0].runtime_kind}) | MACs G | params | MB |"
    ]
    rows.append("|---:|---|---:|---:|---:|---:|---:|")
    rows += [
        f"| {m.trial} | {m.name} | {m.gain_db:+.3f} | {m.runtime_ms:.3f} "
        f"| {m.macs_g:.2f} | {m.params:,} | {memory_shown(m)} |"
        for m in members
    ]
    return "\n".join(rows)


def _name_of(value: Any) -> str:
    """A setting in a word: its name where it has one."""
    if isinstance(value, dict):
        return str(value.get("name") or json.dumps(value))
    return str(value)
