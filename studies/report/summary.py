"""Summary of a study in Markdown: setting, results, and what to do next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nas.common.text import code, plain
from nas.measure.colour import colour_words, db_cell
from studies.core.info import StudyInfo
from studies.core.noise import seed_noise
from studies.core.record import Record, count
from studies.report.cli_hints import CommandHints, next_commands
from studies.report.tables import (
    MARKDOWN_FRONT,
    MARKDOWN_PROMOTED,
    front_table,
    promoted_table,
)
from studies.results.front import (
    front,
    hypervolume,
    left_out_note,
    reference_of,
    trained,
    with_probabilities,
)
from studies.results.promotions import Promotion, agreement
from studies.results.recommendation import Recommendation, best_compromise, highest_gain


def summary_markdown(
    info: StudyInfo,
    records: Sequence[Record],
    hints: CommandHints,
    promotions: Sequence[Promotion] = (),
    registered: str | None = None,
) -> str:
    """Return the summary of a study.

    Args:
        info: The study.
        records: Its trials.
        hints: Flags of the commands to run next.
        promotions: Its fully trained networks.
        registered: Name of their registered model.
    """
    tally = count(records)
    identity = info.identity
    members, noise = trained(records), seed_noise(records)
    best, highest = best_compromise(members, noise), highest_gain(members, noise)
    lines = [
        f"**{info.name}** searched {code(_name_of(identity.get('space')))} under {info.budget}.",
        "",
        *([f"The best compromise is {_describe(best)}", ""] if best else []),
        *(
            [f"The highest gain has {_describe(highest)}", ""]
            if highest and highest != best
            else []
        ),
        f"{tally.trained} candidates trained, {tally.rejected} rejected before training, "
        f"{tally.stopped} stopped early, {tally.broken} broken, {tally.duplicates} duplicates.",
        "",
    ]
    for key in ("target", "data", "teacher", "proxy"):
        if identity.get(key) is not None:
            note = gain_note(info) if key == "teacher" else ""
            lines.append(f"- {key}: {_describe_setting(identity[key])}{note}")
    lines += ["", "## Front", "", front_markdown(records), ""]
    if left_out := left_out_note(members, noise):
        lines += [f"{left_out}.", ""]
    if best is not None:
        reference = reference_of(members, info.budget)
        lines += [
            f"*On front* is the probability that no other network is better ({noise}).",
            "",
            f"The hypervolume is {hypervolume(members, reference):.{noise.digits}f} dB x octaves, "
            f"above Lanczos and faster than {reference.runtime_ms:g} ms.",
            "",
            "Gains are of short proxy runs: they rank networks, full training decides. Colour is "
            "the lower gain of Cb and Cr over Lanczos.",
            "",
            "See `report.html` among the artifacts: interactive front, history, importance.",
            "",
        ]
    if promotions:
        table = promoted_table(promotions, info.budget, noise, MARKDOWN_PROMOTED)
        lines += ["## Promoted", "", table.markdown(), "", *_agreements(promotions)]
    commands = next_commands(info, records, hints, promotions, registered)
    return "\n".join([*lines, "Next:", "", "```", *commands, "```"] if commands else lines)


def gain_note(info: StudyInfo) -> str:
    """Return a note on the gain of a study's teacher; empty if no run has measured it."""
    if info.teacher_gain_db is None:
        return ""
    return f", {info.teacher_gain_db:+.3f} dB over Lanczos on the held-out images"


def front_markdown(records: Sequence[Record]) -> str:
    """Return the front as a Markdown table, fastest first."""
    noise = seed_noise(records)
    members = front(with_probabilities(trained(records), noise))
    if not members:
        return "No candidate has been trained, or none is within the limits."
    return front_table(members, noise, MARKDOWN_FRONT).markdown()


def _agreements(promotions: Sequence[Promotion]) -> list[str]:
    """Compare proxy and full ranking within each group that was trained alike."""
    groups: dict[tuple[object, ...], list[Promotion]] = {}
    for p in promotions:
        groups.setdefault((p.recipe, p.steps, p.data, p.teacher, p.seed), []).append(p)
    found = [agreed.sentence for g in groups.values() if (agreed := agreement(g))]
    return [line for sentence in found for line in (f"{sentence[0].upper()}{sentence[1:]}", "")]


def _describe(recommended: Recommendation) -> str:
    """Describe a recommended network: its figures and its ties."""
    member, digits = recommended.member, recommended.noise.digits
    colour = ""
    if member.colour_gain_db is not None:
        colour = f" ({colour_words(member.gain_cb_db, member.gain_cr_db, digits)})"
    figures = (
        f"{plain(member.title)}: **{db_cell(member.gain_db, digits)} dB** over Lanczos "
        f"at {member.runtime_ms:.3f} ms {member.runtime_kind}{colour}."
    )
    return f"{figures} {recommended.tie}".rstrip()


def _describe_setting(value: Any) -> str:
    """Return name and note of a setting, or all of its parts if it has no name."""
    if isinstance(value, Mapping) and not value.get("name"):
        return plain(", ".join(f"{key} {part}" for key, part in value.items()))
    note = value.get("note") if isinstance(value, Mapping) else None
    return code(_name_of(value)) + (f" ({plain(str(note))})" if note else "")


def _name_of(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("name") or json.dumps(value))
    return str(value)
