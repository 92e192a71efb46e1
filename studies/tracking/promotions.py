"""Promotions of a study in MLflow: runs, registered models, champion and note."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mlflow.entities import Metric, RunTag

from studies.core.budget import Budget
from studies.core.candidate import network_title
from studies.core.info import StudyInfo
from studies.core.noise import seed_noise
from studies.core.record import Record
from studies.report.cli_hints import CommandHints, registered_commands
from studies.report.summary import summary_markdown
from studies.report.tables import MARKDOWN_PROMOTED, promoted_table
from studies.results import promotions
from studies.results.promotions import Promotion
from studies.tracking import registry
from studies.tracking.store import (
    DONE,
    NOTE,
    REGISTERED,
    Store,
    SyncResult,
    connected,
    fault,
    measured,
)
from studies.tracking.study import StudyTracking
from studies.tracking.training import Title, find, has_started, write_training

_REGISTERED_AS = "registered"


class PromotionTracking:
    """Writes promotions to one tracking store, each as a child run of the study.

    Args:
        uri: MLflow tracking URI.
        info: The study.
        records: Reads its trials: a search may run beside the promotion.
        study_folder: Folder of the study.
        folders: Folders of the promotions.
        name: Name of the registered model.
        limits: Limits that a champion keeps.

    Attributes:
        versions: Registered versions by trial, as far as known.
        champion: URI of the champion once it is known.
    """

    def __init__(
        self,
        uri: str,
        info: StudyInfo,
        records: Callable[[], Sequence[Record]],
        study_folder: Path,
        folders: Sequence[Path],
        name: str,
        limits: Budget,
    ) -> None:
        self._uri, self._info, self._records = uri, info, records
        self._study_folder, self._folders = study_folder, folders
        self._name, self._limits = name, limits
        self._study_written = False
        self.versions: dict[int, str] = {}
        self.champion: str | None = None

    def sync(self, state: None = None, /, *, final: bool = False) -> SyncResult:
        """Write what the store lacks; with ``final`` also champion and note.

        Never raises for a fault of the store but returns it. The next call continues.
        """
        written = 0
        try:
            if not self._study_written:  # MLflow may lack the study, or a part of it
                study = StudyTracking(self._uri, self._info, self._study_folder)
                if failed := study.sync(self._records(), final=True).fault:
                    return SyncResult(0, failed)
                self._study_written = True
            store = connected(self._uri)
            parent = store.study(self._info).info.run_id
            for folder in self._folders:
                if has_started(folder):
                    written += self._show(store, parent, folder, final)
            if final:
                self._write_summary(store, parent)
        except Exception as error:
            return SyncResult(written, fault(self._uri, error))
        return SyncResult(written)

    def _show(self, store: Store, parent: str, folder: Path, final: bool) -> int:
        """Update the run of one promotion; return the number of runs that are now complete."""
        ended = promotions.read(folder)
        run = find(store, folder)
        if ended is not None and run is not None and run.info.status in DONE:
            uri = run.data.tags.get(_REGISTERED_AS, "")  # set last: then it is complete
            if uri.startswith(f"models:/{self._name}/"):
                self.versions[ended.trial] = uri.rpartition("/")[2]
                return 0
        trial = int(folder.parent.name)
        name = next(r.candidate.name for r in self._records() if r.trial == trial)
        run_name = f"{trial:03d} {network_title(name)} full"
        title = Title(run_name, "promotion", {"trial": str(trial)}, parent)
        run_id = write_training(store, folder, title)
        if ended is None:
            if final:
                store.client.set_terminated(run_id, "KILLED")
            return 0
        version = self._complete(store, run_id, folder, ended)
        self.versions[ended.trial] = version
        return 1

    def _complete(self, store: Store, run_id: str, folder: Path, ended: Promotion) -> str:
        client = store.client
        started = client.get_run(run_id).info.start_time
        metrics = [Metric(name, value, started, 0) for name, value in _metrics(ended).items()]
        client.log_batch(
            run_id, metrics, [], [RunTag(*tag) for tag in registry.tags(ended).items()]
        )
        for file in (promotions.MODEL, promotions.ONNX, promotions.FRONT, promotions.RESULT):
            if (folder / file).is_file():
                client.log_artifact(run_id, str(folder / file))
        if (folder / promotions.EVALUATION).is_dir():
            client.log_artifacts(run_id, str(folder / promotions.EVALUATION), promotions.EVALUATION)
        client.set_tag(run_id, NOTE, registry.description(ended))
        version = registry.register(store, run_id, self._name, folder, ended)
        client.set_terminated(run_id, "FINISHED")
        client.set_tag(run_id, _REGISTERED_AS, f"models:/{self._name}/{version}")
        return version

    def _write_summary(self, store: Store, parent: str) -> None:
        ended = [p for folder in self._folders if (p := promotions.read(folder)) is not None]
        every = list(promotions.ended(self._study_folder).values())
        hints = CommandHints(self._info.storage, self._uri)
        if ended:
            version = registry.set_champion(store, self._name, ended[0].data, self._limits)
            self.champion = None if version is None else f"models:/{self._name}@{registry.CHAMPION}"
            noise = seed_noise(self._records())
            table = promoted_table(every, self._info.budget, noise, MARKDOWN_PROMOTED).markdown()
            text = _model_description(self._info, self._name, table, self._limits, hints)
            store.client.update_registered_model(self._name, text)
        if every:
            store.client.set_tag(parent, REGISTERED, self._name)
            note = summary_markdown(self._info, self._records(), hints, every, self._name)
            store.client.set_tag(parent, NOTE, note)
        store.client.log_dict(parent, promotions.gains(every), "gains.json")


def _model_description(
    info: StudyInfo, name: str, table: str, limits: Budget, hints: CommandHints
) -> str:
    """Describe a registered model in Markdown: its versions, and how to use it."""
    limit = "any runtime" if limits.runtime_ms is None else f"at most {limits.runtime_ms:g} ms"
    if limits.colour_loss_db is not None:
        limit += f" and colour at most {limits.colour_loss_db:g} dB below Lanczos"
    return "\n".join(
        [
            f"4x super-resolution networks of the study `{info.name}` under {info.budget}.",
            "",
            table,
            "",
            f"`champion` has the highest gain within {limit}. Use it:",
            "",
            "```",
            *registered_commands(name, hints),
            "```",
        ]
    )


def _metrics(promotion: Promotion) -> dict[str, float]:
    """Return metrics under the names that trials use, so that both share columns."""
    p = promotion
    values = {
        "gain_db": p.gain_db,
        "proxy_gain_db": p.proxy_gain_db,
        "runtime_ms": p.runtime_ms,
        "params": float(p.params),
        "macs_g": p.macs_g,
        "seconds": p.seconds,
        **measured(gain_cb_db=p.gain_cb_db, gain_cr_db=p.gain_cr_db),
    }
    values |= {f"gain_db_qp{qp}": gain for qp, gain in p.gain_db_per_qp.items()}
    return values | {f"psnr_y_db_qp{qp}": psnr for qp, psnr in p.psnr_y_db.items()}
