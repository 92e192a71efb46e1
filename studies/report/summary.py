"""What a study found, in words and tables for people: Markdown, and rows for a table."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas.common.text import code, plain
from nas.measure.colour import colour_words, db_cell
from studies.core.info import StudyInfo
from studies.core.noise import seed_noise
from studies.core.record import Record, count
from studies.results import promotions as promoted
from studies.results.front import (
    front,
    hypervolume,
    left_out_note,
    memory_shown,
    probability_shown,
    reference_of,
    spread_shown,
    trained,
    with_probabilities,
)
from studies.results.promotions import Promotion
from studies.results.recommendation import Recommendation, best_compromise, highest_gain
from studies.storage.store import DEFAULT_STORAGE, DEFAULT_TRACKING, MASK, masked

FIRST = f"First, with the secret in place of {MASK}:"
"""What to say before `Places.exports`."""


@dataclass(frozen=True, slots=True)
class Places:
    """The options and environment that commands need to find a study again.

    An URL with a password is not shown: the commands then name the environment variable that
    holds it, and `exports` sets it.

    Attributes:
        storage: The study's database URL.
        tracking_uri: MLflow's.
    """

    storage: str = DEFAULT_STORAGE
    tracking_uri: str = DEFAULT_TRACKING

    @property
    def of_study(self) -> str:
        """What a command on the study ends with: nothing where it lies in the default place."""
        return _option("--storage", "NAS_STORAGE", self.storage, DEFAULT_STORAGE)

    @property
    def of_models(self) -> str:
        """What a command on MLflow's models ends with: nothing for the default store."""
        return _option("--tracking-uri", "MLFLOW_TRACKING_URI", self.tracking_uri, DEFAULT_TRACKING)

    @property
    def for_mlflow(self) -> str:
        """What MLflow's own commands begin with."""
        if _is_secret(self.tracking_uri):
            return ""  # it is in the environment
        return f"MLFLOW_TRACKING_URI={shlex.quote(self.tracking_uri)} "

    def exports(self, *commands: str) -> tuple[str, ...]:
        """Return the settings that these commands want first, with `MASK` for each secret."""
        variables = {"NAS_STORAGE": self.storage, "MLFLOW_TRACKING_URI": self.tracking_uri}
        return tuple(
            f"export {name}={shlex.quote(masked(url))}"
            for name, url in variables.items()
            if _is_secret(url) and any(f"${name}" in command for command in commands)
        )


def _option(option: str, variable: str, url: str, default: str) -> str:
    if url == default:
        return ""
    return f' {option} "${variable}"' if _is_secret(url) else f" {option} {shlex.quote(url)}"


def _is_secret(url: str) -> bool:
    return MASK in masked(url)


def story(
    info: StudyInfo,
    records: Sequence[Record],
    places: Places,
    promotions: Sequence[Promotion] = (),
    registered: str | None = None,
) -> str:
    """Markdown that tells what was searched, what was found and what to do next.

    Args:
        info: The study.
        records: Its trials.
        places: Where the study and MLflow's view of it lie.
        promotions: Those of its winners that were trained fully.
        registered: Name of the registered model that they are versions of.
    """
    tally = count(records)
    identity = info.identity
    members, noise = trained(records), seed_noise(records)
    best, highest = best_compromise(members, noise), highest_gain(members, noise)
    lines = [
        f"**{info.name}** searched {code(_name_of(identity.get('space')))} under {info.budget}.",
        "",
        *([f"The best compromise is {_taken(best)}", ""] if best else []),
        *([f"The highest gain has {_taken(highest)}", ""] if highest and highest != best else []),
        f"{tally.trained} candidates trained, {tally.rejected} rejected before training, "
        f"{tally.stopped} stopped early, {tally.broken} broken, {tally.duplicates} duplicates.",
        "",
    ]
    for key in ("target", "data", "teacher", "proxy"):
        if identity.get(key) is not None:
            more = gain_told(info) if key == "teacher" else ""
            lines.append(f"- {key}: {_told(identity[key])}{more}")
    lines += ["", "## Front", "", front_markdown(records), ""]
    if told := left_out_note(members, noise):
        lines += [f"{told}.", ""]
    if best is not None:
        reference = reference_of(members, info.budget)
        lines += [
            f"*On front* is how probable it is that no other network is better ({noise}).",
            "",
            f"Its hypervolume is {hypervolume(members, reference):.{noise.digits}f} dB x octaves, "
            f"above Lanczos and faster than {reference.runtime_ms:g} ms.",
            "",
            "Gains are of short proxy runs: they rank, full training decides. Colour is the lower "
            "gain of Cb and Cr over Lanczos.",
            "",
            "Open `report.html` among the artifacts: interactive front, course, importance.",
            "",
        ]
    if promotions:
        lines += [
            "## Promoted",
            "",
            promoted.markdown(promotions, info.budget, noise),
            "",
            *_agreements(promotions),
        ]
    commands = next_commands(info, records, places, promotions, registered)
    return "\n".join([*lines, "Next:", "", "```", *commands, "```"] if commands else lines)


def next_commands(
    info: StudyInfo,
    records: Sequence[Record],
    places: Places,
    promotions: Sequence[Promotion] = (),
    registered: str | None = None,
) -> tuple[str, ...]:
    """Return the commands that lead on from where a study stands; see `story`."""
    champion = promoted.best(promotions, info.budget)
    if champion is None and not front(trained(records)):
        return ()
    if champion is None:
        return _ready(
            places,
            f"nas front {info.name}{places.of_study}",
            f"nas promote {info.name}{places.of_study}{places.of_models}",
        )
    if registered is None:
        return _ready(places, *_use(f"{info.name}/{champion.trial}", places.of_study))
    return use_registered(registered, places)


def use_registered(name: str, places: Places) -> tuple[str, ...]:
    """Return the commands that export, try and serve the champion of a registered model."""
    model = f"models:/{name}@champion"
    serve = f"{places.for_mlflow}mlflow models serve -m {shlex.quote(model)}"
    serve += " --env-manager local --port 5001"
    return _ready(places, *_use(model, places.of_models), serve)


def _ready(places: Places, *commands: str) -> tuple[str, ...]:
    """The commands, after a comment on what must be set first."""
    first = (f"# {FIRST} {export}" for export in places.exports(*commands))
    return (*first, *commands)


def _use(model: str, where: str) -> tuple[str, str]:
    model = shlex.quote(model)
    return (
        f"nas export {model} --format onnx{where}",
        f"nas upscale photo.avif -o photo-4x.png --model {model}{where}",
    )


def gain_told(info: StudyInfo) -> str:
    """What to add to the name of a study's teacher: what it gains, where a run has measured it."""
    if info.teacher_gain_db is None:
        return ""
    return f", {info.teacher_gain_db:+.3f} dB over Lanczos on the held-out pictures"


def _agreements(promotions: Sequence[Promotion]) -> list[str]:
    """What the proxy's ranking was worth, for each group that was trained alike."""
    groups: dict[tuple[object, ...], list[Promotion]] = {}
    for p in promotions:
        groups.setdefault((p.recipe, p.steps, p.data, p.teacher, p.seed), []).append(p)
    found = [agreed.sentence for g in groups.values() if (agreed := promoted.agreement(g))]
    return [line for sentence in found for line in (f"{sentence[0].upper()}{sentence[1:]}", "")]


def front_table(records: Sequence[Record]) -> dict[str, Any]:
    """Columns and rows, the form that MLflow shows as a table."""
    columns = ["trial", "name", "gain_db", "runtime_ms", "runtime_kind"]
    columns += ["macs_g", "params", "memory_mb", "trainings", "gain_sd_db", "front_probability"]
    columns += ["gain_cb_db", "gain_cr_db"]
    members = with_probabilities(trained(records), seed_noise(records))
    rows = [member.to_dict() for member in front(members)]
    return {"columns": columns, "data": [[row[column] for column in columns] for row in rows]}


def front_markdown(records: Sequence[Record]) -> str:
    """The front as a Markdown table, fastest first."""
    noise = seed_noise(records)
    members, digits = front(with_probabilities(trained(records), noise)), noise.digits
    if not members:
        return "No candidate was trained yet, or none within the limits."
    columns = ["trial", "network", "gain dB", *(["±"] if noise.repeats else []), "on front"]
    columns += ["colour dB", f"ms ({members[0].runtime_kind})", "MACs G", "params", "MB"]
    rows = [columns, ["---:", "---", *["---:"] * (len(columns) - 2)]]
    rows += [
        [
            str(m.trial),
            plain(m.network),
            db_cell(m.gain_db, digits),
            *([spread_shown(m, digits)] if noise.repeats else []),
            probability_shown(m),
            m.colour_shown(digits),
            f"{m.runtime_ms:.3f}",
            f"{m.macs_g:.2f}",
            f"{m.params:,}",
            memory_shown(m),
        ]
        for m in members
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _taken(found: Recommendation) -> str:
    """A recommended member with its figures, and a sentence on its ties."""
    member, digits = found.member, found.noise.digits
    colour = colour_words(member.gain_cb_db, member.gain_cr_db, digits)
    seen = f" ({colour})" if member.colour_gain_db is not None else ""
    told = (
        f"{plain(member.title)}: **{db_cell(member.gain_db, digits)} dB** over Lanczos "
        f"at {member.runtime_ms:.3f} ms {member.runtime_kind}{seen}."
    )
    return f"{told} {found.tie}".rstrip()


def _told(value: Any) -> str:
    """A setting as its name, with the note on it, or else as what it consists of."""
    if isinstance(value, Mapping) and not value.get("name"):
        return plain(", ".join(f"{key} {part}" for key, part in value.items()))
    note = value.get("note") if isinstance(value, Mapping) else None
    return code(_name_of(value)) + (f" ({plain(str(note))})" if note else "")


def _name_of(value: Any) -> str:
    """A setting in a word: its name where it has one."""
    if isinstance(value, dict):
        return str(value.get("name") or json.dumps(value))
    return str(value)
