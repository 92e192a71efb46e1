"""Data of a report beside the records: images and promoted networks.

They need the dataset and the files of the study. The report says which are missing.
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
from studies.report.images import BeforeAfter, before_after, evenly_spaced
from studies.results.front import front, trained
from studies.results.model_files import with_embedded_architecture
from studies.results.promotions import Promotion, ended


@dataclass(frozen=True, slots=True)
class ReportData:
    """Data of a report beside the records.

    Attributes:
        images: Networks of the front beside Lanczos and the original.
        why_no_images: Why there are none, or why networks are left out; empty if `collect` was
            not called.
        promoted: Fully trained networks.
    """

    images: BeforeAfter | None = None
    why_no_images: str = ""
    promoted: tuple[Promotion, ...] = ()


EMPTY = ReportData()


def collect(
    info: StudyInfo,
    records: Sequence[Record],
    folder: Path,
    data: Path | None = None,
    progress: Progress = silent,
) -> ReportData:
    """Collect what there is. Only a dataset that was given must exist.

    Args:
        info: The study.
        records: Its trials.
        folder: Its folder, with weights and promoted networks.
        data: Its dataset; None for the path recorded in the study.
        progress: Called while images are upscaled.

    Raises:
        InputError: ``data`` is no dataset, or not that of the study.
    """
    found = ReportData(promoted=tuple(ended(folder).values()))
    try:
        pair_set = _open(info, data, progress)
    except InputError as fault:
        if data is not None:
            raise
        return replace(found, why_no_images=str(fault))
    models, missing = _models(records, folder)
    if not models:
        return replace(found, why_no_images="No network of the front has its weights here.")
    try:
        held_out = windows(pair_set.validation, HELD_OUT_AREA)
        images = before_after(models, held_out, pair_set.qps, progress)
    except InputError as fault:  # a damaged image or a full cache: the report does without images
        return replace(found, why_no_images=str(fault))
    left_out = f"Left out, as their weights are not here: trials {missing}." if missing else ""
    return replace(found, images=images, why_no_images=left_out)


def _open(info: StudyInfo, data: Path | None, progress: Progress) -> PairSet:
    """Open the dataset of the study."""
    recorded = info.identity.get("data") or {}
    known = info.sources.get("data")
    if data is None and known is not None:
        data = Path(known)
    elif data is None:
        if recorded.get("name") != "sample":
            raise InputError(
                f"The study has no path of its dataset {str(recorded.get('name'))!r}: "
                "give it with --data."
            )
        data = sample_set(progress)
    pair_set = open_set(data)
    if pair_set.digest != recorded.get("digest"):
        raise InputError(f"{pair_set.path} is not the dataset of the study.")
    if not pair_set.validation:
        raise InputError(f"{pair_set.path} holds out no images.")
    return pair_set


def _models(records: Sequence[Record], folder: Path) -> tuple[list[tuple[str, Model]], str]:
    """Load labelled networks of the front; return also the trials without usable weights."""
    by_trial = {record.trial: record for record in records}
    members = front(trained(records))
    found, missing = [], []
    for member in (members[index] for index in evenly_spaced(len(members))):
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
