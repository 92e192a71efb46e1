"""What a promotion left: the files of a fully trained winner, and what can be read from several.

Each lies in the study's folder, in ``promoted/TRIAL/HOW``, where HOW names the recipe and a hash of
all that the training depends on: another recipe or set never meets the files of the first.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import FiniteFloat, TypeAdapter, ValidationError

from nas.common.checked_files import read_json, write_json
from nas.common.errors import InputError
from nas.common.text import plain
from nas.measure.colour import colour_cell, colour_gain_db, db_cell
from nas.measure.rank_metrics import kendall, spearman
from studies.core.budget import Budget
from studies.core.candidate import network_title
from studies.core.noise import Noise

MODEL, ONNX, RESULT = "model.safetensors", "model.onnx", "promotion.json"
FRONT, EVALUATION, SAMPLES, FORMS = "front.json", "evaluation", "samples", "forms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """A winner that was trained fully, and measured.

    Attributes:
        study: Name of the study that it won.
        trial: Its trial there.
        name: The network's, as in the study.
        architecture: Its key.
        recipe: Name of the recipe.
        steps: Steps of training.
        seed: Of the training.
        data: Digest of the set.
        data_name: The set's name.
        teacher: Name of the teacher, or ``none``.
        proxy_gain_db: What its proxy run ended with.
        gain_db: PSNR-Y over Lanczos on the whole held-out pictures, mean over QPs, in dB.
        gain_db_per_qp: The same for each QP.
        psnr_y_db: PSNR-Y for each QP.
        runtime_ms: For one 540x960 picture, as the study has it.
        runtime_kind: ``measured`` or ``predicted``.
        runtime_target: The device.
        macs_g: Multiply-accumulates in units of 1e9.
        params: Of the deploy form.
        digest: SHA-256 of the model's file.
        onnx_error: Largest difference of the ONNX file from PyTorch; None if there is no such file.
        seconds: Of training.
        made_by: Versions, commit, machine and time.
        number: Counts the study's promotions from 1, in the order in which they ended; 0 in files
            of earlier versions, which did not count.
        gain_cb_db: PSNR of Cb over Lanczos on the whole held-out pictures, mean over QPs, in dB;
            None in files of earlier versions.
        gain_cr_db: The same of Cr.
        forms: Gains in dB of the training forms that were tried first, by block; the best was
            trained. Empty where there was no choice.
    """

    study: str
    trial: int
    name: str
    architecture: str
    recipe: str
    steps: int
    seed: int
    data: str
    data_name: str
    teacher: str
    proxy_gain_db: FiniteFloat
    gain_db: FiniteFloat
    gain_db_per_qp: Mapping[int, FiniteFloat]
    psnr_y_db: Mapping[int, FiniteFloat]
    runtime_ms: FiniteFloat
    runtime_kind: str
    runtime_target: str
    macs_g: FiniteFloat
    params: int
    digest: str
    onnx_error: FiniteFloat | None
    seconds: FiniteFloat
    made_by: Mapping[str, Any]
    number: int = 0
    gain_cb_db: FiniteFloat | None = None
    gain_cr_db: FiniteFloat | None = None
    forms: Mapping[str, FiniteFloat] = field(default_factory=dict)

    @property
    def colour_gain_db(self) -> float | None:
        """The lower gain of Cb and Cr."""
        return colour_gain_db(self.gain_cb_db, self.gain_cr_db)

    def colour_shown(self, limits: Budget) -> str:
        """The lower gain of Cb and Cr as a cell of a table."""
        tints = limits.is_tinted(self.colour_gain_db)
        return colour_cell(self.gain_cb_db, self.gain_cr_db, tints)

    @property
    def network(self) -> str:
        """The name as tables show it; see `studies.core.candidate.network_title`."""
        return network_title(self.name)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


_WRITTEN = TypeAdapter(Promotion)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the proxy's ranking of promoted networks agrees with the one after full training.

    Attributes:
        networks: How many were compared.
        kendall: Kendall's tau-b.
        spearman: Spearman's coefficient.
        chance: Standard deviation of Kendall's coefficient when the ranking is pure luck.
    """

    networks: int
    kendall: float
    spearman: float
    chance: float

    @property
    def sentence(self) -> str:
        """What it says, and how much that proves."""
        line = (
            f"proxy rank against full rank of {self.networks} networks: "
            f"Kendall {self.kendall:+.2f}, Spearman {self.spearman:+.2f}"
        )
        few = " Few networks prove little" if self.networks < _MANY else " Luck is not excluded"
        if abs(self.kendall) >= 2 * self.chance and self.networks >= _MANY:
            return f"{line}; luck alone gives 0 +- {self.chance:.2f}."
        return f"{line}.{few}: luck alone gives 0 +- {self.chance:.2f}."


_MANY = 8


def promoted_root(study_folder: Path) -> Path:
    """Return the folder of all promotions of a study."""
    return study_folder / "promoted"


def folder_of(study_folder: Path, trial: int, recipe: str, identity: Mapping[str, Any]) -> Path:
    """Return the folder of a promotion; ``identity`` is all that its training depends on."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    return promoted_root(study_folder) / str(trial) / f"{recipe}-{digest}"


def read(folder: Path) -> Promotion | None:
    """Return what a folder's promotion ended with; None while it has not ended.

    Raises:
        InputError: What it says has changed since it was written.
    """
    path = folder / RESULT
    if not path.is_file() or not (folder / MODEL).is_file():
        return None
    try:
        return _WRITTEN.validate_python(read_json(path))
    except ValidationError as fault:
        raise InputError(
            f"{path} is damaged, it is not as it was written: remove it, "
            f"and 'nas promote' of trial {folder.parent.name} makes it again"
        ) from fault


def kept(folder: Path) -> Promotion | None:
    """Return what a folder's promotion ended with, if all of it is as it was written then."""
    from nas.training.engine.folder import read_training  # imports torch, which tables do without

    with suppress(OSError, InputError):
        done, _ = read(folder), read_training(folder)
        if done is not None:
            digest = hashlib.sha256((folder / MODEL).read_bytes()).hexdigest()
            return done if digest == done.digest else None
    return None


def write(folder: Path, promotion: Promotion) -> None:
    """Say that a promotion has ended; the last thing that is written."""
    write_json(folder / RESULT, promotion.to_dict(), indent=2)


def told(study_folder: Path, trial: int | None = None) -> Iterator[Path]:
    """Yield the folders of promotions that say how they ended, of one trial or of all."""
    whose = "*" if trial is None else trial
    for result in promoted_root(study_folder).glob(f"{whose}/*/{RESULT}"):
        yield result.parent


def ended(study_folder: Path, trial: int | None = None) -> dict[Path, Promotion]:
    """Return promotions of a study that have ended, by folder, the oldest first.

    By what they say themselves: a copy has other times of its files, and clocks jump.

    Args:
        study_folder: The study's folder.
        trial: Whose they are; None for those of all trials.

    Raises:
        InputError: One of them is damaged.
    """
    found = [
        (folder, promotion)
        for folder in told(study_folder, trial)
        if (promotion := read(folder)) is not None
    ]
    return dict(sorted(found, key=lambda item: (item[1].number, str(item[1].made_by.get("time")))))


def next_number(study_folder: Path) -> int:
    """Return the number of the promotion that ends next; for who holds the study's promotions."""
    return 1 + max((promotion.number for promotion in ended(study_folder).values()), default=0)


def promoted_model(study_folder: Path, trial: int) -> Path | None:
    """Return the model of a trial's promotion, the newest if there are several.

    Raises:
        InputError: One of them is damaged.
    """
    folders = list(ended(study_folder, trial))
    return folders[-1] / MODEL if folders else None


def best(promotions: Sequence[Promotion], limits: Budget) -> Promotion | None:
    """Return the one of the highest gain that is not slower than the limit and does not tint.

    None when all are or do.
    """
    limit_ms = math.inf if limits.runtime_ms is None else limits.runtime_ms
    fits = [
        p for p in promotions if p.runtime_ms <= limit_ms and not limits.is_tinted(p.colour_gain_db)
    ]
    return max(fits, key=lambda p: (p.gain_db, -p.runtime_ms), default=None)


def agreement(promotions: Sequence[Promotion]) -> Agreement | None:
    """Return how well the proxy ranked what was trained alike; None of fewer than two.

    None also when all gains of one side are equal: then there is no rank.
    """
    n = len(promotions)
    proxy, full = [p.proxy_gain_db for p in promotions], [p.gain_db for p in promotions]
    if n < 2 or len(set(proxy)) == 1 or len(set(full)) == 1:
        return None
    chance = math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))
    return Agreement(n, kendall(proxy, full), spearman(proxy, full), chance)


def gains(promotions: Sequence[Promotion]) -> dict[str, float]:
    """Return full gains by the networks' names, as ``nas proxy-check --reference`` takes them."""
    named: dict[str, float] = {}
    for p in promotions:
        named[p.name if p.name not in named else f"{p.name} ({p.trial})"] = p.gain_db
    return named


def markdown(promotions: Sequence[Promotion], limits: Budget, noise: Noise) -> str:
    """Return a table of promotions; the noise is that of their proxy runs."""
    rows = [
        f"| trial | network | proxy dB | full dB | colour dB | ms ({_kinds(promotions)}) | MACs G "
        "| params | recipe | steps |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---|---:|",
    ]
    rows += [
        f"| {p.trial} | {plain(p.network)} | {db_cell(p.proxy_gain_db, noise.digits)} "
        f"| {db_cell(p.gain_db)} | {p.colour_shown(limits)} | {p.runtime_ms:.3f} "
        f"| {p.macs_g:.2f} | {p.params:,} | {plain(p.recipe)} | {p.steps:,} |"
        for p in promotions
    ]
    return "\n".join(rows)


def _kinds(promotions: Sequence[Promotion]) -> str:
    return " or ".join(sorted({p.runtime_kind for p in promotions}))
