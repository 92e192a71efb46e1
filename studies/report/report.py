"""The report of a study: one page on which a person can decide which network to promote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from nas.common.text import duration
from nas.measure.colour import db_cell
from studies.core.budget import Budget
from studies.core.info import StudyInfo
from studies.core.noise import Noise, seed_noise
from studies.core.outcome import Trained
from studies.core.record import Record, count
from studies.report.axes import Sight, study_sight, survey_points
from studies.report.data import NOTHING, Evidence
from studies.report.history import Figures, course, dimensions
from studies.report.page import (
    Column,
    Section,
    commands,
    facts,
    page,
    paragraph,
    plot,
    table,
    tiles,
    whole,
)
from studies.report.plots import front_plot
from studies.report.summary import FIRST, Places, gain_told
from studies.results.analysis import spent
from studies.results.front import (
    Member,
    contributions,
    front,
    hypervolume,
    left_out_note,
    reference_of,
    trained,
    with_probabilities,
)
from studies.results.promotions import agreement, best
from studies.results.recommendation import best_compromise, highest_gain

if TYPE_CHECKING:
    from studies.results.promotions import Promotion


def report(
    info: StudyInfo,
    records: Sequence[Record],
    places: Places,
    evidence: Evidence = NOTHING,
) -> str:
    """Return the report as one self-contained HTML page.

    Args:
        info: The study.
        records: Its trials.
        places: Where the study and MLflow's view of it lie, for the commands.
        evidence: What was found beside the records.
    """
    figures: Figures = {}
    sections = [
        _front(info, records, figures),
        _pictures(info, evidence),
        _promoted(evidence.promoted, info.budget, seed_noise(records)),
        _searched(info),
        course(info, records, figures),
        dimensions(info, records, figures),
        _next(info, records, evidence.promoted, places),
    ]
    shown = [section for section in sections if section is not None]
    return page(f"Study {info.name}", _lead(info, records), shown, figures)


def front_page(info: StudyInfo, records: Sequence[Record]) -> str:
    """Return the interactive front alone as a page."""
    figures: Figures = {}
    section = _front(info, records, figures)
    return page(f"Study {info.name}", "", [section], figures)


def _lead(info: StudyInfo, records: Sequence[Record]) -> str:
    members, noise = trained(records), seed_noise(records)
    line, tally, digits = front(members), count(records), noise.digits
    compromise, highest = best_compromise(members, noise), highest_gain(members, noise)
    space = (info.identity.get("space") or {}).get("name", "a space")
    told = f"Searched {space} under {info.budget}. "
    if compromise is None or highest is None:
        why = left_out_note(members, noise) or "No candidate has been trained yet"
        return paragraph(f"{told}{why}.")
    first, last = line[0], line[-1]
    told += (
        f"{tally.trained} candidates were trained and {len(line)} of them make the front, from "
        f"{db_cell(first.gain_db, digits)} dB at {first.runtime_ms:.2f} ms to "
        f"{db_cell(last.gain_db, digits)} dB at {last.runtime_ms:.2f} ms ({first.runtime_kind})."
    )
    reference = reference_of(members, info.budget)
    time = spent(records)
    taken = [("best compromise", compromise), ("highest gain", highest)]
    ties = dict.fromkeys(found.tie for _, found in taken if found.tie)
    return paragraph(" ".join([told, *ties])) + tiles(
        [
            *(
                (
                    f"{db_cell(found.member.gain_db, digits)} dB",
                    f"{what}, {found.member.runtime_ms:.2f} ms",
                    found.member.title,
                )
                for what, found in taken
            ),
            (
                f"{first.runtime_ms:.2f} ms",
                f"fastest of the front, {db_cell(first.gain_db, digits)} dB",
                first.title,
            ),
            (
                f"{hypervolume(members, reference):.{digits}f}",
                "hypervolume [dB x octaves]",
                f"above Lanczos, faster than {reference.runtime_ms:g} ms",
            ),
            (
                duration(time.wall_s),
                "of searching",
                f"{tally.trained} trained, {tally.stopped} stopped early, {tally.rejected} "
                f"rejected, {tally.broken} broken, {tally.duplicates} duplicates",
            ),
        ]
    )


def _front(info: StudyInfo, records: Sequence[Record], figures: Figures) -> Section:
    noise = seed_noise(records)
    done = with_probabilities(trained(records), noise)
    if not done:
        return Section("front", "Front", paragraph("No candidate has been trained yet."))
    members = front(done)
    figures["front"] = front_plot(done, records, info.budget)
    body = plot("front", "Gain over Lanczos against runtime of all candidates", 520)
    kind = done[0].runtime_kind
    if note := (info.identity.get("target") or {}).get("note"):
        body += paragraph(f"Runtimes of a 540x960 picture: {note}.", "note")
    body += paragraph(
        "Gains are of short proxy runs on held-out pictures: they rank, full training decides. "
        "The survey's networks are as published, fully trained and measured on other pictures.",
        "note",
    )
    if beyond := _beyond(study_sight(done, records, info.budget), done):
        body += whole("front", f"Beyond these axes: {beyond}.")
    if members:
        body += _front_table(info, records, members, kind)
    if told := left_out_note(done, noise):
        body += paragraph(f"{told}.", "note")
    return Section("front", "Front", body)


def _beyond(seen: Sight, done: Sequence[Member]) -> str:
    """What the figure of the front does not show at first, in words; empty where it shows all."""
    ours = sum(not seen.holds(member.runtime_ms, member.gain_db) for member in done)
    known = survey_points()
    theirs = sum(not seen.holds(runtime_ms, gain_db) for _, runtime_ms, gain_db in known)
    told = [f"{ours} of the candidates, far below the others"] if ours else []
    told += [f"{theirs} of the survey's {len(known)} networks"] if theirs else []
    return "; ".join(told)


def _front_table(
    info: StudyInfo, records: Sequence[Record], members: Sequence[Member], kind: str
) -> str:
    noise = seed_noise(records)
    gain = f"+.{noise.digits}f"
    outcomes = {record.trial: record.outcome for record in records}
    done = [outcomes[member.trial] for member in members]
    qps = sorted({qp for o in done if isinstance(o, Trained) for qp in o.gain_db_per_qp})
    worth = contributions(members, reference_of(trained(records), info.budget))
    with_memory = any(member.memory_mb is not None for member in members)
    with_colour = any(member.colour_gain_db is not None for member in members)
    columns = [
        Column("trial", "d"),
        Column("network"),
        Column("gain dB", gain),
        *([Column("Cb dB", gain), Column("Cr dB", gain)] if with_colour else []),
        *([Column("± dB", f".{noise.digits}f")] if noise.repeats else []),
        Column("on front", ".0%"),
        Column(f"ms {kind}", ".3f"),
        Column("MACs G", ".2f"),
        Column("params", ",d"),
        *([Column("MB", ".1f")] if with_memory else []),
        Column("worth", f".{noise.digits}f"),
        *(Column(f"QP {qp}", gain) for qp in qps),
    ]
    rows = []
    for member, outcome in zip(members, done, strict=True):
        per_qp = outcome.gain_db_per_qp if isinstance(outcome, Trained) else {}
        rows.append(
            [
                member.trial,
                member.network,
                member.gain_db,
                *([member.gain_cb_db, member.gain_cr_db] if with_colour else []),
                *([member.gain_sd_db] if noise.repeats else []),
                member.front_probability,
                member.runtime_ms,
                member.macs_g,
                member.params,
                *([member.memory_mb] if with_memory else []),
                worth[member.trial],
                *(per_qp.get(qp) for qp in qps),
            ]
        )
    compromise = best_compromise(members, noise)
    marked = -1 if compromise is None else members.index(compromise.member)
    told = (
        "The marked row is the best compromise. Worth is what the front's hypervolume would lose "
        "without the network. On front is how probable it is that no other network is better "
        f"({noise}). A click on a heading sorts."
    )
    if noise.repeats:
        told += " Gains are means over trainings with other seeds, ± their standard deviation."
    if with_colour:
        told += " Cb and Cr are the gains of chroma over Lanczos: well below zero, a network tints."
    return table(columns, rows, marked) + paragraph(told, "note")


def _pictures(info: StudyInfo, evidence: Evidence) -> Section | None:
    found = evidence.pictures
    if found is None and not evidence.why_no_pictures:
        told = f"'nas report {info.name}' adds a held-out picture through each of these networks."
        return Section("pictures", "Pictures", paragraph(told))
    if found is None:
        told = f"Networks of the front cannot be shown at work: {evidence.why_no_pictures}"
        return Section("pictures", "Pictures", paragraph(told))
    place = found.place
    body = paragraph(
        f"{place.width}x{place.height} pixels of {found.picture} at {place.left},{place.top}: of "
        "the held-out picture with the median gain, the place that Lanczos gets most wrong. Hold "
        "a picture to see the original in its place."
    )
    for index, strip in enumerate(found.strips):
        shown = ""
        for crop in strip.crops:
            original = crop is strip.crops[-1]
            mark = f'id="original{index}"' if original else f'data-other="original{index}"'
            focus = "" if original else ' tabindex="0"'
            small = "" if original else f"{crop.psnr_y_db:.2f} dB PSNR-Y here"
            if crop.gain_db is not None:
                small += f" ({round(crop.gain_db, 2) + 0.0:+.2f})"  # no -0.00
            shown += (
                f'<figure><img {mark}{focus} src="{crop.uri}" width="{2 * place.width}" '
                f'height="{2 * place.height}" alt="{escape(crop.label)}">'
                f"<figcaption>{escape(crop.label)}<small>{small}</small></figcaption></figure>"
            )
        body += f'<h3>QP {strip.qp}</h3><div class="crops">{shown}</div>'
    if evidence.why_no_pictures:
        body += paragraph(evidence.why_no_pictures, "note")
    return Section("pictures", "Pictures", body)


def _promoted(promoted: Sequence[Promotion], limits: Budget, noise: Noise) -> Section | None:
    if not promoted:
        return None
    columns = [
        Column("trial", "d"),
        Column("proxy dB", f"+.{noise.digits}f"),
        Column("full dB", "+.3f"),
        Column("Cb dB", "+.3f"),
        Column("Cr dB", "+.3f"),
        Column(f"ms {promoted[0].runtime_kind}", ".3f"),
        Column("params", ",d"),
        Column("steps", ",d"),
        Column("recipe"),
        Column("network"),
    ]
    rows = [
        [
            p.trial,
            p.proxy_gain_db,
            p.gain_db,
            p.gain_cb_db,
            p.gain_cr_db,
            p.runtime_ms,
            p.params,
            p.steps,
            p.recipe,
            p.network,
        ]
        for p in promoted
    ]
    within = [index for index, p in enumerate(promoted) if not limits.is_tinted(p.colour_gain_db)]
    highest = max(within, key=lambda index: promoted[index].gain_db, default=-1)
    body = paragraph("Trained fully, and measured on the whole held-out pictures.")
    body += table(columns, rows, highest)
    if tinted := [str(p.trial) for p in promoted if limits.is_tinted(p.colour_gain_db)]:
        body += paragraph(
            f"Trials {', '.join(tinted)} tint, and are no champion: Cb or Cr is more than "
            f"{limits.colour_loss_db:g} dB below Lanczos.",
            "note",
        )
    agreed = agreement(promoted)
    if agreed is not None:
        body += paragraph(agreed.sentence[:1].upper() + agreed.sentence[1:], "note")
    return Section("promoted", "Promoted", body)


def _searched(info: StudyInfo) -> Section:
    identity, newest = info.identity, info.runs[-1] if info.runs else {}
    space, data = identity.get("space") or {}, identity.get("data") or {}
    proxy, teacher = identity.get("proxy") or {}, identity.get("teacher")
    rows = {
        "Space": f"<code>{escape(str(space.get('name')))}</code> of {_size(space)}",
        "Budget": escape(str(info.budget)),
        "Runtimes": escape(str((identity.get("target") or {}).get("note", "unknown"))),
        "Data": f"<code>{escape(str(data.get('name')))}</code>, digest "
        f"<code>{escape(str(data.get('digest', ''))[:12])}</code>"
        + (
            ", the built-in sample set: good for a first look, too small to judge a network"
            if data.get("name") == "sample"
            else ""
        ),
        "Teacher": f"<code>{escape(str(teacher.get('name')))}</code>{gain_told(info)}"
        if teacher
        else "none",
        "Proxy run": escape(", ".join(f"{k} {v}" for k, v in proxy.items()) or "unknown"),
        "Seed": escape(str(identity.get("seed", "unknown"))),
        "Runs": escape(f"{len(info.runs)}, the newest of {newest.get('time', 'unknown')}"),
        "Versions": escape(
            ", ".join(f"{k} {v}" for k, v in (newest.get("packages") or {}).items()) or "unknown"
        ),
    }
    choices = [
        [name, ", ".join(str(choice) for choice in listed)]
        for name, listed in (space.get("dimensions") or {}).items()
    ]
    body = facts(rows)
    if choices:
        cells = {name: escape(listed) for name, listed in choices}
        body += f"<h3>Dimensions of the space</h3>{facts(cells)}"
    return Section("searched", "What was searched", body)


def _size(space: Mapping[str, Any]) -> str:
    size = 1
    for choices in (space.get("dimensions") or {}).values():
        size *= len(choices)
    return f"{size:,} parameter sets"


def _next(
    info: StudyInfo, records: Sequence[Record], promoted: Sequence[Promotion], places: Places
) -> Section:
    compromise = best_compromise(trained(records), seed_noise(records))
    champion = best(promoted, info.budget)
    if compromise is None:
        steps = [("See what a search would do.", "nas search --dry-run")]
    else:
        trial = champion.trial if champion else compromise.member.trial
        whose = (
            "the best of the promoted networks"
            if champion
            else "a network by the weights of its proxy run, to try the way"
        )
        model = f"{info.name}/{trial}"
        steps = [
            (
                "Train the most valuable networks of the front fully; only that decides.",
                f"nas promote {info.name} --top 3{places.of_study}{places.of_models}",
            ),
            (
                f"Ship {whose}.",
                f"nas export {model} --format onnx -o {info.name}-{trial}.onnx{places.of_study}",
            ),
            (
                "See it at work on pictures of your own.",
                f"nas upscale pictures/ -o upscaled/ --model {model}{places.of_study}",
            ),
        ]
    first = [(FIRST, export) for export in places.exports(*(line for _, line in steps))]
    return Section("next", "What to do next", commands([*first, *steps]))
