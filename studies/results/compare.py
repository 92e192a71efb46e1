"""Several studies beside each other: which front covers more, and which leads at which runtime."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nas.common.errors import InputError
from studies.core.noise import Noise
from studies.results.front import (
    Member,
    best_within,
    hypervolume,
)
from studies.results.snapshot import StudySnapshot


@dataclass(frozen=True, slots=True)
class Entry:
    """One of the studies.

    Attributes:
        study: Its name.
        trained: How many candidates it trained.
        members: Its front, fastest first.
        hypervolume: What the front covers, from the common reference.
        leads: Share of the octaves of runtime in which it has a higher gain than every other front.
        beaten: How many members of the front another study's front dominates.
        colour_gain_db: The lowest gain of Cb or Cr over Lanczos of the front's members; None where
            it was not measured.
    """

    study: str
    trained: int
    members: tuple[Member, ...]
    hypervolume: float
    leads: float
    beaten: int
    colour_gain_db: float | None


@dataclass(frozen=True, slots=True)
class Lead:
    """A range of runtimes in which one front has the highest gain.

    Attributes:
        from_ms: Where it begins.
        to_ms: Where it ends.
        study: Whose front leads; None where several are equal.
        least_db: Its smallest distance to the next in the range; None where no other has anything.
        most_db: The largest; None likewise.
    """

    from_ms: float
    to_ms: float
    study: str | None
    least_db: float | None
    most_db: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What several studies found, beside each other.

    Attributes:
        reference_ms: Runtime of the common reference point; its gain is 0 dB.
        runtime_kind: ``measured`` or ``predicted``.
        target: Whose runtimes they are.
        entries: The studies, as they were asked for.
        leads: Who leads where, fastest first.
        noise: The largest seed noise of the studies.
        attainment: For each runtime at which a front rises: ``runtime_ms`` and, by study, the
            highest gain that is not slower, None where there is none.
        notes: In what the studies differ beside what they found.
    """

    reference_ms: float
    runtime_kind: str
    target: str
    entries: tuple[Entry, ...]
    leads: tuple[Lead, ...]
    noise: Noise
    attainment: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON."""
        return asdict(self)


def compare(studies: Sequence[StudySnapshot]) -> Comparison:
    """Compare studies whose gains and runtimes mean the same.

    Raises:
        InputError: There are fewer than two, one has nothing trained, or they were made with
            other data, another target or another length of the proxy run.
    """
    names = [study.name for study in studies]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise InputError("give the names of two or more different studies to compare")
    for study in studies:
        if not study.front:
            raise InputError(f"the study {study.name!r} has no trained candidate within its limits")
    for other in studies[1:]:
        _require_same(studies[0], other)
    reference = max((study.reference for study in studies), key=lambda each: each.runtime_ms)
    fronts = {study.name: study.front_with_probability for study in studies}
    rises = _rises(fronts, reference.runtime_ms)
    leads = _leads(rises, fronts, reference.runtime_ms)
    octaves = math.log2(reference.runtime_ms / rises[0]) if rises else 0.0
    runtime = next(iter(fronts.values()))[0]
    return Comparison(
        reference_ms=reference.runtime_ms,
        runtime_kind=runtime.runtime_kind,
        target=str(_setting(studies[0], "target").get("name", "unknown")),
        entries=tuple(
            Entry(
                study=study.name,
                trained=study.counts.trained,
                members=fronts[study.name],
                hypervolume=hypervolume(fronts[study.name], reference),
                leads=_share(leads, study.name, octaves),
                beaten=_beaten(study.name, fronts),
                colour_gain_db=min(
                    (m.colour_gain_db for m in study.front if m.colour_gain_db is not None),
                    default=None,
                ),
            )
            for study in studies
        ),
        leads=leads,
        noise=max((study.noise for study in studies), key=lambda noise: noise.sd_db),
        attainment=tuple({"runtime_ms": ms, **_gains_at(ms, fronts)} for ms in rises),
        notes=_notes(studies),
    )


def _require_same(a: StudySnapshot, b: StudySnapshot) -> None:
    """Refuse studies whose gains or runtimes do not mean the same."""
    digests = (_setting(study, "data").get("digest") for study in (a, b))
    steps = (_setting(study, "proxy").get("steps") for study in (a, b))
    for what, mine, theirs in (
        ("data", *digests),
        ("target", _target(a), _target(b)),
        ("number of proxy steps", *steps),
    ):
        if mine != theirs:
            raise InputError(
                f"the studies {a.name!r} and {b.name!r} cannot be compared: they have another "
                f"{what} ({_short(mine)} and {_short(theirs)})"
            )


def _target(study: StudySnapshot) -> str:
    """Identify the device: a note names a measured one, a digest distinguishes fitted models."""
    target = _setting(study, "target")
    if study.trained[0].runtime_kind == "measured":
        return str(target.get("note"))
    return " ".join(filter(None, [str(target.get("name")), target.get("digest")]))


def _rises(fronts: Mapping[str, Sequence[Member]], reference: float) -> list[float]:
    """Runtimes at which a front rises above what it had, up to the reference."""
    runtimes = {member.runtime_ms for members in fronts.values() for member in members}
    return sorted(ms for ms in runtimes if ms < reference)


def _gains_at(ms: float, fronts: Mapping[str, Sequence[Member]]) -> dict[str, float | None]:
    best = {name: best_within(members, ms) for name, members in fronts.items()}
    return {name: None if member is None else member.gain_db for name, member in best.items()}


def _leads(
    rises: Sequence[float], fronts: Mapping[str, Sequence[Member]], reference: float
) -> tuple[Lead, ...]:
    """Between two rises nothing changes; neighbours with one leader are joined."""
    parts = []
    for begin, end in itertools.pairwise([*rises, reference]):
        gains = {n: g for n, g in _gains_at(begin, fronts).items() if g is not None}
        highest = max(gains.values())
        first = [name for name, gain in gains.items() if gain == highest]
        rest = sorted(gains.values())[:-1]
        ahead = highest - rest[-1] if rest else None
        parts.append((begin, end, first[0] if len(first) == 1 else None, ahead))
    leads = []
    for study, group in itertools.groupby(parts, key=lambda part: part[2]):
        joined = list(group)
        known = [ahead for *_, ahead in joined if ahead is not None]
        least, most = (min(known), max(known)) if known else (None, None)
        leads.append(Lead(joined[0][0], joined[-1][1], study, least, most))
    return tuple(leads)


def _share(leads: Sequence[Lead], study: str, octaves: float) -> float:
    own = sum(math.log2(lead.to_ms / lead.from_ms) for lead in leads if lead.study == study)
    return own / octaves if octaves else 0.0


def _beaten(study: str, fronts: Mapping[str, Sequence[Member]]) -> int:
    others = [m for name, members in fronts.items() if name != study for m in members]

    def beats(a: Member, b: Member) -> bool:
        no_worse = a.gain_db >= b.gain_db and a.runtime_ms <= b.runtime_ms
        return no_worse and (a.gain_db, a.runtime_ms) != (b.gain_db, b.runtime_ms)

    return sum(any(beats(other, member) for other in others) for member in fronts[study])


def _notes(studies: Sequence[StudySnapshot]) -> tuple[str, ...]:
    """Describe other differences: intended by the user, or overlooked."""
    notes = []
    for key in ("space", "budget", "teacher", "seed"):
        values = [study.info.identity.get(key) for study in studies]
        if any(value != values[0] for value in values):
            notes.append(f"they differ in {key}: {', '.join(_short(v) for v in values)}")
    proxies = [dict(_setting(study, "proxy")) for study in studies]
    for proxy in proxies:
        proxy.pop("seed", None)  # the study's own
    differing = sorted(
        key for key in set().union(*proxies) if len({str(p.get(key)) for p in proxies}) > 1
    )
    for key in differing:
        values = [proxy.get(key) for proxy in proxies]
        notes.append(f"they differ in the proxy's {key}: {', '.join(map(str, values))}")
    trained = [study.counts.trained for study in studies]
    if len(set(trained)) > 1:
        numbers = ", ".join(map(str, trained))
        notes.append(f"they trained different numbers of candidates ({numbers}): more cover more")
    return tuple(notes)


def _setting(study: StudySnapshot, key: str) -> Mapping[str, Any]:
    value = study.info.identity.get(key)
    return value if isinstance(value, Mapping) else {}


def _short(value: Any) -> str:
    """A setting in a few words."""
    if isinstance(value, Mapping):
        named = value.get("name")
        if named is not None:
            return str(named)
        return ", ".join(f"{k} {v:g}" for k, v in value.items() if v is not None) or "no limit"
    text = "none" if value is None else str(value)
    return text[:12] if len(text) == 64 else text
