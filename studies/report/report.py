"""Report of a study: one HTML page with which to decide on the networks to promote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from nas.common.text import duration
from nas.measure.colour import db_cell
from studies.core.budget import Budget
from studies.core.info import StudyInfo
from studies.core.noise import Noise, seed_noise
from studies.core.outcome import Trained
from studies.core.record import Record, count
from studies.report.axes import AxisLimits, study_limits, survey_points
from studies.report.cli_hints import SECRETS_FIRST, CommandHints
from studies.report.data import EMPTY, ReportData
from studies.report.history import Figures, dimensions, history
from studies.report.images import Strip
from studies.report.page import (
    Section,
    commands,
    definition_list,
    page,
    paragraph,
    plot,
    show_all_note,
    stat_tiles,
)
from studies.report.plots import front_plot
from studies.report.summary import gain_note
from studies.report.tables import HTML_PROMOTED, front_details, promoted_table
from studies.results.analysis import time_use
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
from studies.results.promotions import Promotion, agreement, best
from studies.results.recommendation import best_compromise, highest_gain


def report(
    info: StudyInfo,
    records: Sequence[Record],
    hints: CommandHints,
    data: ReportData = EMPTY,
) -> str:
    """Return the report as one self-contained HTML page.

    Args:
        info: The study.
        records: Its trials.
        hints: Flags of the commands to run next.
        data: Images and promoted networks.
    """
    figures: Figures = {}
    sections = [
        _front(info, records, figures),
        _images(info, data),
        _promoted(data.promoted, info.budget, seed_noise(records)),
        _setting(info),
        history(info, records, figures),
        dimensions(info, records, figures),
        _next(info, records, data.promoted, hints),
    ]
    shown = [section for section in sections if section is not None]
    return page(f"Study {info.name}", _lead(info, records), shown, figures)


def front_page(info: StudyInfo, records: Sequence[Record]) -> str:
    """Return a page with the interactive front alone."""
    figures: Figures = {}
    section = _front(info, records, figures)
    return page(f"Study {info.name}", "", [section], figures)


def _lead(info: StudyInfo, records: Sequence[Record]) -> str:
    members, noise = trained(records), seed_noise(records)
    line, tally = front(members), count(records)
    compromise, highest = best_compromise(members, noise), highest_gain(members, noise)
    space = (info.identity.get("space") or {}).get("name", "a space")
    searched = f"Searched {space} under {info.budget}."
    if compromise is None or highest is None:
        why = left_out_note(members, noise) or "No candidate has been trained yet"
        return paragraph(f"{searched} {why}.")

    def gain(member: Member) -> str:
        return f"{db_cell(member.gain_db, noise.digits)} dB"

    first, last = line[0], line[-1]
    result = (
        f"{tally.trained} candidates were trained, {len(line)} of them make the front, from "
        f"{gain(first)} at {first.runtime_ms:.2f} ms to {gain(last)} at {last.runtime_ms:.2f} ms "
        f"({first.runtime_kind})."
    )
    reference = reference_of(members, info.budget)
    recommended = [("best compromise", compromise), ("highest gain", highest)]
    tiles = [
        (gain(each.member), f"{name}, {each.member.runtime_ms:.2f} ms", each.member.title)
        for name, each in recommended
    ]
    tiles += [
        (f"{first.runtime_ms:.2f} ms", f"fastest of the front, {gain(first)}", first.title),
        (
            f"{hypervolume(members, reference):.{noise.digits}f}",
            "hypervolume [dB x octaves]",
            f"above Lanczos, faster than {reference.runtime_ms:g} ms",
        ),
        (
            duration(time_use(records).wall_s),
            "search time",
            f"{tally.trained} trained, {tally.stopped} stopped early, {tally.rejected} "
            f"rejected, {tally.broken} broken, {tally.duplicates} duplicates",
        ),
    ]
    ties = dict.fromkeys(each.tie for _, each in recommended if each.tie)
    return paragraph(" ".join([searched, result, *ties])) + stat_tiles(tiles)


def _front(info: StudyInfo, records: Sequence[Record], figures: Figures) -> Section:
    noise = seed_noise(records)
    done = with_probabilities(trained(records), noise)
    if not done:
        return Section("front", "Front", paragraph("No candidate has been trained yet."))
    figures["front"] = front_plot(done, records, info.budget)
    body = plot("front", "Gain over Lanczos against runtime of all candidates", 520)
    if note := (info.identity.get("target") or {}).get("note"):
        body += paragraph(f"Runtimes of a 540x960 image: {note}.", "note")
    body += paragraph(
        "Gains are of short proxy runs on held-out images: they rank networks, full training "
        "decides. The survey's networks are as published, fully trained and measured on other "
        "images.",
        "note",
    )
    if beyond := _beyond(study_limits(done, records, info.budget), done):
        body += show_all_note("front", f"Beyond these axes: {beyond}.")
    if members := front(done):
        body += _front_table(info, records, members)
    if left_out := left_out_note(done, noise):
        body += paragraph(f"{left_out}.", "note")
    return Section("front", "Front", body)


def _beyond(limits: AxisLimits, done: Sequence[Member]) -> str:
    """Say what lies beyond the axes of the front; empty if nothing does."""
    ours = sum(not limits.contains(member.runtime_ms, member.gain_db) for member in done)
    known = survey_points()
    theirs = sum(not limits.contains(runtime_ms, gain_db) for _, runtime_ms, gain_db in known)
    parts = [f"{ours} of the candidates, far below the others"] if ours else []
    parts += [f"{theirs} of the survey's {len(known)} networks"] if theirs else []
    return "; ".join(parts)


def _front_table(info: StudyInfo, records: Sequence[Record], members: Sequence[Member]) -> str:
    noise = seed_noise(records)
    gains_per_qp = {
        record.trial: record.outcome.gain_db_per_qp
        for record in records
        if isinstance(record.outcome, Trained)
    }
    worth = contributions(members, reference_of(trained(records), info.budget))
    own = {member.trial: gains_per_qp.get(member.trial, {}) for member in members}
    table = front_details(members, noise, worth, own)
    compromise = best_compromise(members, noise)
    marked = -1 if compromise is None else members.index(compromise.member)
    note = (
        "The marked row is the best compromise. Worth is the hypervolume that the front would "
        "lose without the network. On front is the probability that no other network is better "
        f"({noise}). Click a heading to sort."
    )
    if noise.repeats:
        note += " Gains are means over trainings with other seeds, ± their standard deviation."
    if any(member.colour_gain_db is not None for member in members):
        note += " Cb and Cr are gains of chroma over Lanczos: well below zero, a network tints."
    return table.html(marked) + paragraph(note, "note")


def _images(info: StudyInfo, data: ReportData) -> Section:
    found = data.images
    if found is None:
        note = f"The networks of the front cannot be shown: {data.why_no_images}"
        if not data.why_no_images:
            note = f"'nas report {info.name}' adds a held-out image, upscaled by these networks."
        return Section("pictures", "Images", paragraph(note))
    place = found.place
    body = paragraph(
        f"{place.width}x{place.height} pixels of {found.picture} at {place.left},{place.top}: in "
        "the held-out image with the median gain, the crop with the largest error of Lanczos. Hold "
        "an image to see the original in its place."
    )
    for index, strip in enumerate(found.strips):
        body += f'<h3>QP {strip.qp}</h3><div class="crops">'
        body += _strip(strip, f"original{index}", 2 * place.width, 2 * place.height) + "</div>"
    if data.why_no_images:
        body += paragraph(data.why_no_images, "note")
    return Section("pictures", "Images", body)


def _strip(strip: Strip, original: str, width: int, height: int) -> str:
    """Return the crops at one QP; each but the last can show the original instead."""
    html = ""
    for crop in strip.crops:
        is_original = crop is strip.crops[-1]
        role = f'id="{original}"' if is_original else f'data-other="{original}" tabindex="0"'
        note = "" if is_original else f"{crop.psnr_y_db:.2f} dB PSNR-Y here"
        if crop.gain_db is not None:
            note += f" ({round(crop.gain_db, 2) + 0.0:+.2f})"  # no -0.00
        label = escape(crop.label)
        html += (
            f'<figure><img {role} src="{crop.uri}" width="{width}" height="{height}" '
            f'alt="{label}"><figcaption>{label}<small>{note}</small></figcaption></figure>'
        )
    return html


def _promoted(promoted: Sequence[Promotion], limits: Budget, noise: Noise) -> Section | None:
    if not promoted:
        return None
    tints = [limits.is_tinted(p.colour_gain_db) for p in promoted]
    within = [index for index, tint in enumerate(tints) if not tint]
    highest = max(within, key=lambda index: promoted[index].gain_db, default=-1)
    body = paragraph("Trained fully, and measured on whole held-out images.")
    body += promoted_table(promoted, limits, noise, HTML_PROMOTED).html(highest)
    if tinted := [str(p.trial) for p, tint in zip(promoted, tints, strict=True) if tint]:
        body += paragraph(
            f"Trials {', '.join(tinted)} tint and cannot be champion: Cb or Cr is more than "
            f"{limits.colour_loss_db:g} dB below Lanczos.",
            "note",
        )
    if (agreed := agreement(promoted)) is not None:
        body += paragraph(agreed.sentence[:1].upper() + agreed.sentence[1:], "note")
    return Section("promoted", "Promoted", body)


def _setting(info: StudyInfo) -> Section:
    identity, newest = info.identity, info.runs[-1] if info.runs else {}
    space, data = identity.get("space") or {}, identity.get("data") or {}
    teacher, choices = identity.get("teacher"), space.get("dimensions") or {}
    is_sample = data.get("name") == "sample"
    rows = {
        "Space": f"{_code(space.get('name'))} of {_size(choices)}",
        "Budget": escape(str(info.budget)),
        "Runtimes": escape(str((identity.get("target") or {}).get("note", "unknown"))),
        "Data": f"{_code(data.get('name'))}, digest {_code(str(data.get('digest', ''))[:12])}"
        + (", the sample dataset: a demonstration, too small to judge networks" * is_sample),
        "Teacher": f"{_code(teacher.get('name'))}{gain_note(info)}" if teacher else "none",
        "Proxy run": _items(identity.get("proxy")),
        "Seed": escape(str(identity.get("seed", "unknown"))),
        "Runs": escape(f"{len(info.runs)}, the newest of {newest.get('time', 'unknown')}"),
        "Versions": _items(newest.get("packages")),
    }
    body = definition_list(rows)
    if choices:
        listed = {name: escape(", ".join(map(str, values))) for name, values in choices.items()}
        body += f"<h3>Dimensions of the space</h3>{definition_list(listed)}"
    return Section("searched", "Settings", body)


def _code(value: Any) -> str:
    return f"<code>{escape(str(value))}</code>"


def _items(values: Mapping[str, Any] | None) -> str:
    return escape(", ".join(f"{key} {value}" for key, value in (values or {}).items()) or "unknown")


def _size(choices: Mapping[str, Sequence[Any]]) -> str:
    size = 1
    for each in choices.values():
        size *= len(each)
    return f"{size:,} parameter sets"


def _next(
    info: StudyInfo,
    records: Sequence[Record],
    promoted: Sequence[Promotion],
    hints: CommandHints,
) -> Section:
    compromise = best_compromise(trained(records), seed_noise(records))
    champion = best(promoted, info.budget)
    if compromise is None:
        steps = [("See what a search would do.", "nas search --dry-run")]
    else:
        trial = champion.trial if champion else compromise.member.trial
        which = (
            "the best of the promoted networks"
            if champion
            else "a network with the weights of its proxy run, to try the commands"
        )
        model, flags = f"{info.name}/{trial}", hints.study_flags
        steps = [
            (
                "Train the most valuable networks of the front fully; only that decides.",
                f"nas promote {info.name} --top 3{flags}{hints.model_flags}",
            ),
            (
                f"Export {which}.",
                f"nas export {model} --format onnx -o {info.name}-{trial}.onnx{flags}",
            ),
            (
                "Apply it to your own images.",
                f"nas upscale pictures/ -o upscaled/ --model {model}{flags}",
            ),
        ]
    first = [(SECRETS_FIRST, line) for line in hints.exports(*(line for _, line in steps))]
    return Section("next", "What to do next", commands([*first, *steps]))
