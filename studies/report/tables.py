"""Tables of studies: fronts, promoted networks, lists and comparisons of studies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nas.common.tables import Column, Table, by_column
from studies.core.budget import Budget
from studies.core.noise import Noise
from studies.results.front import Member, front

if TYPE_CHECKING:
    from studies.results.compare import Comparison
    from studies.results.promotions import Promotion

TEXT_FRONT = (
    *("trial", "gain_db", "spread", "front_probability", "colour", "runtime_ms"),
    *("macs_g", "params", "memory_mb", "network"),
)
MARKDOWN_FRONT = ("trial", "network", *TEXT_FRONT[1:-1])
_HTML_FRONT = (
    *("trial", "network", "gain_db", "gain_cb_db", "gain_cr_db", "gain_sd_db"),
    *("front_probability", "runtime_ms", "macs_g", "params", "memory_mb", "worth"),
)
_MLFLOW_FRONT = (
    *("trial", "name", "gain_db", "runtime_ms", "runtime_kind", "macs_g", "params", "memory_mb"),
    *("trainings", "gain_sd_db", "front_probability", "gain_cb_db", "gain_cr_db"),
)
TEXT_PROMOTED = (
    *("trial", "proxy_gain_db", "full_gain_db", "colour", "runtime_ms", "params", "version"),
    "network",
)
MARKDOWN_PROMOTED = (
    *("trial", "network", "proxy_gain_db", "full_gain_db", "colour", "runtime_ms", "macs_g"),
    *("params", "recipe", "steps"),
)
HTML_PROMOTED = (
    *("trial", "proxy_gain_db", "full_gain_db", "full_gain_cb_db", "full_gain_cr_db"),
    *("runtime_ms", "params", "steps", "recipe", "network"),
)
TEXT_PLAN = ("trial", "proxy_gain_db", "colour", "runtime_ms", "params", "state", "network")


def _columns(keys: Iterable[str], digits: int, kind: str = "") -> list[Column]:
    """Columns of networks by their keys.

    Args:
        keys: Those that are shown, in their order.
        digits: Decimals of the gains of proxy runs.
        kind: Whether runtimes are measured or predicted.
    """
    gain = f"+.{digits}f"
    every = (
        Column("trial", "trial", "d"),
        Column("network", "network"),
        Column("gain_db", "gain dB", gain),
        Column("gain_cb_db", "Cb dB", gain),
        Column("gain_cr_db", "Cr dB", gain),
        Column("gain_sd_db", "± dB", f".{digits}f"),
        Column("spread", "±", "s", optional=3),
        Column("front_probability", "on front", ".0%", optional=2),
        Column("colour", "colour dB", gain, optional=4),
        Column("proxy_gain_db", "proxy dB", gain, optional=2),
        Column("full_gain_db", "full dB", "+.3f"),
        Column("full_gain_cb_db", "Cb dB", "+.3f"),
        Column("full_gain_cr_db", "Cr dB", "+.3f"),
        Column("runtime_ms", f"ms {kind}".rstrip(), ".3f", optional=1),
        Column("macs_g", "MACs G", ".2f", optional=7),
        Column("params", "params", ",d", optional=6),
        Column("memory_mb", "MB", ".1f", optional=8),
        Column("worth", "worth", f".{digits}f"),
        Column("steps", "steps", ",d"),
        Column("recipe", "recipe"),
        Column("version", "version", "d", optional=5),
        Column("state", "state", optional=3),
    )
    by_key = {column.key: column for column in every}
    return [by_key[key] for key in keys]


def front_table(
    members: Sequence[Member],
    noise: Noise,
    keys: Iterable[str],
    star: Member | None = None,
    most_rows: int = 0,
) -> Table:
    """The front of trained candidates, fastest first.

    Args:
        members: Trained candidates, with their probabilities; their front is not empty.
        noise: Seed noise of the study.
        keys: `TEXT_FRONT` or `MARKDOWN_FRONT`.
        star: The member to mark.
        most_rows: Number of the slowest members to show; 0 for all.
    """
    rows = [
        {
            **member.to_dict(),
            "trial": f"{member.trial}*" if member == star else member.trial,
            "network": member.network,
            "spread": None
            if member.gain_sd_db is None
            else f"{member.gain_sd_db:.{noise.digits}f} ({member.trainings})",
            "colour": None if member.colour_gain_db is None else member.colour_shown(noise.digits),
        }
        for member in front(members)[-most_rows:]
    ]
    return Table(_columns(keys, noise.digits, members[0].runtime_kind), rows)


def front_details(
    members: Sequence[Member],
    noise: Noise,
    worth: Mapping[int, float],
    gains_per_qp: Mapping[int, Mapping[int, float]],
) -> Table:
    """All that is known of the members of a front, for HTML.

    Args:
        members: Of the front.
        noise: Seed noise of the study.
        worth: Contribution to the hypervolume by trial.
        gains_per_qp: Gain in dB by trial and QP.
    """
    qps = sorted({qp for gains in gains_per_qp.values() for qp in gains})
    columns = _columns(_HTML_FRONT, noise.digits, members[0].runtime_kind)
    columns += [Column(f"qp{qp}", f"QP {qp}", f"+.{noise.digits}f") for qp in qps]
    rows = [
        {
            **member.to_dict(),
            "network": member.network,
            "worth": worth[member.trial],
            **{f"qp{qp}": gain for qp, gain in gains_per_qp.get(member.trial, {}).items()},
        }
        for member in members
    ]
    return Table(columns, rows)


def front_by_column(members: Sequence[Member]) -> dict[str, Any]:
    """The front as MLflow shows it: unformatted values by column."""
    return by_column(_MLFLOW_FRONT, [member.to_dict() for member in front(members)])


def promoted_table(
    promotions: Sequence[Promotion],
    limits: Budget,
    noise: Noise,
    keys: Iterable[str],
    champion: Promotion | None = None,
    versions: Mapping[int, str] | None = None,
) -> Table:
    """Fully trained networks.

    Args:
        promotions: Their results.
        limits: Those that decide whether one tints.
        noise: Seed noise of their proxy runs.
        keys: `TEXT_PROMOTED`, `MARKDOWN_PROMOTED` or `HTML_PROMOTED`.
        champion: Gets a star.
        versions: Registered versions by trial.
    """
    rows = [
        {
            **p.to_dict(),
            "trial": f"{p.trial}*" if p == champion else p.trial,
            "network": p.network,
            "full_gain_db": p.gain_db,
            "full_gain_cb_db": p.gain_cb_db,
            "full_gain_cr_db": p.gain_cr_db,
            "colour": None if p.colour_gain_db is None else p.colour_shown(limits),
            "version": (versions or {}).get(p.trial),
        }
        for p in promotions
    ]
    kinds = " or ".join(sorted({p.runtime_kind for p in promotions}))
    return Table(_columns(keys, noise.digits, kinds), rows)


def plan_table(members: Sequence[Member], states: Sequence[str], noise: Noise) -> Table:
    """Candidates to promote, and how far each is."""
    rows = [
        {
            **member.to_dict(),
            "network": member.network,
            "proxy_gain_db": member.gain_db,
            "colour": None if member.colour_gain_db is None else member.colour_shown(noise.digits),
            "state": state,
        }
        for member, state in zip(members, states, strict=True)
    ]
    return Table(_columns(TEXT_PLAN, noise.digits, members[0].runtime_kind), rows)


def studies_table(documents: Sequence[Mapping[str, Any]], digits: Sequence[int]) -> Table:
    """Studies of a storage.

    Args:
        documents: As ``nas studies --json`` prints them.
        digits: Decimals of each study's gains.
    """
    columns = [
        Column("name", "study"),
        Column("space", "space", optional=2),
        Column("budget", "budget", optional=7),
        Column("trained", "trained", "d", optional=3),
        Column("rejected", "rejected", "d", optional=5),
        Column("broken", "broken", "d", optional=6),
        Column("front", "front", "d", optional=4),
        Column("best_gain_db", "best dB", "+.3f", optional=1),
    ]
    rows = []
    for document, shown in zip(documents, digits, strict=True):
        gain = document["best_gain_db"]
        rows.append({**document, "best_gain_db": None if gain is None else f"{gain:+.{shown}f}"})
    return Table(columns, rows)


def comparison_table(comparison: Comparison) -> Table:
    """Studies that are compared, each with the figures of its front."""
    digits = comparison.noise.digits
    columns = [
        Column("study", "study"),
        Column("trained", "trained", "d", optional=5),
        Column("front", "front", "d", optional=6),
        Column("hypervolume", "hypervolume", f".{digits}f", optional=1),
        Column("leads", "leads in", ".0%", optional=2),
        Column("beaten", "beaten", "d", optional=4),
        Column("best_gain_db", "best dB", f"+.{digits}f", optional=3),
        Column("colour_gain_db", "colour dB", f"+.{digits}f", optional=7),
        Column("fastest_ms", "fastest ms", ".3f", optional=8),
        Column("slowest_ms", "slowest ms", ".3f", optional=9),
    ]
    rows = [
        {
            "study": entry.study,
            "trained": entry.trained,
            "front": len(entry.members),
            "hypervolume": entry.hypervolume,
            "leads": entry.leads,
            "beaten": entry.beaten,
            "best_gain_db": entry.members[-1].gain_db,
            "colour_gain_db": entry.colour_gain_db,
            "fastest_ms": entry.members[0].runtime_ms,
            "slowest_ms": entry.members[-1].runtime_ms,
        }
        for entry in comparison.entries
    ]
    return Table(columns, rows)


def leads_table(comparison: Comparison) -> Table:
    """Ranges of runtime, and the study whose front has the highest gain in each."""
    gain = f".{comparison.noise.digits}f"
    columns = [
        Column("from_ms", "from ms", ".3f"),
        Column("to_ms", "to ms", ".3f"),
        Column("study", "study"),
        Column("least_db", "by at least dB", gain),
        Column("most_db", "at most dB", gain),
    ]
    rows = [
        {
            "from_ms": lead.from_ms,
            "to_ms": lead.to_ms,
            "study": lead.study or "equal",
            "least_db": lead.least_db,
            "most_db": lead.most_db,
        }
        for lead in comparison.leads
    ]
    return Table(columns, rows)


def attainment_table(comparison: Comparison) -> Table:
    """The highest gain of each study within a runtime."""
    gain = f"+.{comparison.noise.digits}f"
    columns = [Column("runtime_ms", "ms", ".3f")]
    columns += [Column(entry.study, entry.study, gain) for entry in comparison.entries]
    return Table(columns, comparison.attainment)
