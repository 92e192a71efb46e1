"""What a report shows beyond the records: pictures and promoted networks.

They need the study's data set and its files. Where one is missing the report says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nas.common.errors import InputError
from nas.common.text import Progress, silent
from nas.data.sample import sample_set
from nas.data.store import PairSet, open_set
from nas.data.windows import windows
from nas.training.proxy.proxy import HELD_OUT_AREA
from search_spaces.model_file import Model, load_model
from studies.core.info import StudyInfo
from studies.core.record import Record
from studies.core.weights import weights_file
from studies.report.images import BeforeAfter, before_after, spread
from studies.results.front import front, trained
from studies.results.model_files import with_embedded_architecture
from studies.results.promotions import Promotion, ended


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found beside the records.

    Attributes:
        pictures: Networks of the front beside Lanczos and the original.
        why_no_pictures: One sentence where there are none, and on networks that are left out;
            empty also when nobody looked.
        promoted: Fully trained winners.
    """

    pictures: BeforeAfter | None = None
    why_no_pictures: str = ""
    promoted: tuple[Promotion, ...] = ()


NOTHING = Evidence()
"""When nobody looked."""


def gather(
    info: StudyInfo,
    records: Sequence[Record],
    folder: Path,
    data: Path | None = None,
    progress: Progress = silent,
) -> Evidence:
    """Find what there is; nothing that is missing is an error, except a set that was named.

    Args:
        info: The study.
        records: Its trials.
        folder: Its folder, where weights and promoted networks lie.
        data: The set it was made with; None looks where the study says that it was.
        progress: Called while pictures are upscaled.

    Raises:
        InputError: ``data`` is no set, or not the study's.
    """
    evidence = Evidence(promoted=tuple(ended(folder).values()))
    try:
        pair_set = _set_of(info, data, progress)
    except InputError as fault:
        if data is not None:
            raise
        return replace(evidence, why_no_pictures=str(fault))
    try:
        return _looked(evidence, records, folder, pair_set, progress)
    except InputError as fault:  # a damaged picture, a full cache: the rest of the page stands
        return replace(evidence, why_no_pictures=str(fault))


def _looked(
    evidence: Evidence,
    records: Sequence[Record],
    folder: Path,
    pair_set: PairSet,
    progress: Progress,
) -> Evidence:
    seen = windows(pair_set.validation, HELD_OUT_AREA)
    models, missing = _models(records, folder)
    if not models:
        return replace(evidence, why_no_pictures="No network of the front has its weights here.")
    pictures = before_after(models, seen, pair_set.qps, progress)
    told = f"Left out, as their weights are not here: trials {missing}." if missing else ""
    return replace(evidence, pictures=pictures, why_no_pictures=told)


def _set_of(info: StudyInfo, data: Path | None, progress: Progress) -> PairSet:
    """Open the set that the study was made with."""
    recorded = info.identity.get("data") or {}
    known = info.sources.get("data")
    if data is None and known is not None:
        data = Path(known)
    elif data is None:
        if recorded.get("name") != "sample":
            raise InputError(
                f"The study does not say where its set {str(recorded.get('name'))!r} lies: "
                "give it with --data."
            )
        data = sample_set(progress)
    pair_set = open_set(data)
    if pair_set.digest != recorded.get("digest"):
        raise InputError(f"{pair_set.path} is not the set that the study was made with.")
    if not pair_set.validation:
        raise InputError(f"{pair_set.path} holds out no picture.")
    return pair_set


def _models(records: Sequence[Record], folder: Path) -> tuple[list[tuple[str, Model]], str]:
    """Networks of the front with labels, and the trials whose weights cannot be used."""
    by_trial = {record.trial: record for record in records}
    members = front(trained(records))
    found, missing = [], []
    for member in (members[index] for index in spread(len(members))):
        record = by_trial[member.trial]
        file = weights_file(record.outcome, folder)
        try:
            if file is None:
                raise InputError("deleted")
            model = load_model(with_embedded_architecture(file, record.candidate.architecture))
        except InputError:
            missing.append(str(member.trial))
            continue
        found.append((f"trial {member.trial}, {member.runtime_ms:.2f} ms", model))
    return found, ", ".join(missing)
