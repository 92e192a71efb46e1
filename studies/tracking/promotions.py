"""The promotions of a study in the tracking store: runs, registered models, champion, the note."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mlflow.entities import Metric, RunTag

from studies.core.budget import Budget
from studies.core.candidate import network_title
from studies.core.info import StudyInfo
from studies.core.noise import seed_noise
from studies.core.record import Record
from studies.report.summary import Places, story, use_registered
from studies.results import promotions
from studies.results.promotions import Promotion
from studies.tracking import registry
from studies.tracking.store import (
    DONE,
    NOTE,
    REGISTERED,
    Delivery,
    Store,
    connected,
    fault,
    measured,
)
from studies.tracking.study import StudyTracking
from studies.tracking.training import Title, began, find, show_training

_REGISTERED_AS = "registered"


class PromotionTracking:
    """Writes a study's promotions to one tracking store, each as a child of the study's run.

    Args:
        uri: MLflow tracking URI.
        info: The study.
        records: Reads its trials: a search may go on beside the promotion.
        study_folder: The study's folder.
        folders: Those of the promotions, trial by trial.
        name: Of the registered model.
        limits: Of a champion.

    Attributes:
        versions: Registered versions by trial, as far as they are known to be there.
        champion: The registry's champion as a URI, once it is known.
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
        self._whole = False
        self.versions: dict[int, str] = {}
        self.champion: str | None = None

    def deliver(self, news: None = None, /, *, final: bool = False) -> Delivery:
        """Write what the store does not hold yet; with ``final`` also champion and note.

        Never raises for a fault of the store: the fault comes back in one sentence, and the next
        call goes on where this one stopped.
        """
        written = 0
        try:
            if not self._whole:  # the study itself may not be there, or not all of it
                study = StudyTracking(self._uri, self._info, self._study_folder)
                if told := study.deliver(self._records(), final=True).fault:
                    return Delivery(0, told)
                self._whole = True
            store = connected(self._uri)
            parent = store.study(self._info).info.run_id
            for folder in self._folders:
                if began(folder):
                    written += self._show(store, parent, folder, final)
            if final:
                self._conclude(store, parent)
        except Exception as error:
            return Delivery(written, fault(self._uri, error))
        return Delivery(written)

    def _show(self, store: Store, parent: str, folder: Path, final: bool) -> int:
        """Bring one promotion's run up to date; return how many were completed."""
        ended = promotions.read(folder)
        there = find(store, folder)
        if ended is not None and there is not None and there.info.status in DONE:
            uri = there.data.tags.get(_REGISTERED_AS, "")  # set last: then it is complete
            if uri.startswith(f"models:/{self._name}/"):
                self.versions[ended.trial] = uri.rpartition("/")[2]
                return 0
        trial = int(folder.parent.name)
        name = next(r.candidate.name for r in self._records() if r.trial == trial)
        shown = f"{trial:03d} {network_title(name)} full"
        title = Title(shown, "promotion", {"trial": str(trial)}, parent)
        run_id = show_training(store, folder, title)
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
        metrics = [Metric(name, value, started, 0) for name, value in _figures(ended).items()]
        client.log_batch(
            run_id, metrics, [], [RunTag(*tag) for tag in registry.tags(ended).items()]
        )
        for file in (promotions.MODEL, promotions.ONNX, promotions.FRONT, promotions.RESULT):
            if (folder / file).is_file():
                client.log_artifact(run_id, str(folder / file))
        if (folder / promotions.EVALUATION).is_dir():
            client.log_artifacts(run_id, str(folder / promotions.EVALUATION), promotions.EVALUATION)
        client.set_tag(run_id, NOTE, registry.described(ended))
        version = registry.register(store, run_id, self._name, folder, ended)
        client.set_terminated(run_id, "FINISHED")
        client.set_tag(run_id, _REGISTERED_AS, f"models:/{self._name}/{version}")
        return version

    def _conclude(self, store: Store, parent: str) -> None:
        ended = [p for folder in self._folders if (p := promotions.read(folder)) is not None]
        places = Places(self._info.storage, self._uri)
        if ended:
            version = registry.crown(store, self._name, ended[0].data, self._limits)
            self.champion = None if version is None else f"models:/{self._name}@{registry.CHAMPION}"
            table = promotions.markdown(
                list(promotions.ended(self._study_folder).values()),
                self._info.budget,
                seed_noise(self._records()),
            )
            told = _registered_story(self._info, self._name, table, self._limits, places)
            store.client.update_registered_model(self._name, told)
        shown = list(promotions.ended(self._study_folder).values())
        if shown:
            store.client.set_tag(parent, REGISTERED, self._name)
            note = story(self._info, self._records(), places, shown, self._name)
            store.client.set_tag(parent, NOTE, note)
        store.client.log_dict(parent, promotions.gains(shown), "gains.json")


def _registered_story(
    info: StudyInfo, name: str, table: str, limits: Budget, places: Places
) -> str:
    """Markdown on a registered model: what it is, and how to use it."""
    limit = "any runtime" if limits.runtime_ms is None else f"at most {limits.runtime_ms:g} ms"
    if limits.colour_loss_db is not None:
        limit += f" and colour at most {limits.colour_loss_db:g} dB below Lanczos"
    return "\n".join(
        [
            f"4x super-resolution networks that `{info.name}` found under {info.budget}.",
            "",
            table,
            "",
            f"`champion` has the highest gain of {limit}. Use it:",
            "",
            "```",
            *use_registered(name, places),
            "```",
        ]
    )


def _figures(promotion: Promotion) -> dict[str, float]:
    """The same names as a trial's, so that both stand in one column."""
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
