"""Files that a disk, a crash or a careless copy has damaged: seen by their hash, then made again.

What cannot be made again is named in one sentence. See ``docs/faults.md``.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import photo_set
from quick_search import Real, settings

from nas.cli.model_arguments import model
from nas.common.checked_files import read_json, write_json
from nas.common.errors import InputError
from nas.common.files import cache_root
from nas.data.store import open_set
from nas.data.windows import windows
from nas.measure.evaluation.evaluate import LANCZOS, evaluate_all
from nas.measure.latency.measure import Latency
from nas.measure.latency.store import entries, load, save
from nas.measure.quality import lanczos_psnr_y
from nas.training.data.teacher_quality import evaluate_teacher
from nas.training.engine.checkpoint import load_checkpoint, save_checkpoint
from nas.training.proxy.proxy import proxy_data
from studies.core.outcome import Trained
from studies.core.weights import weights_file, weights_folder
from studies.search import conduct
from teachers.loading import load_teacher


def flip(path: Path, at: float = 0.5) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


DAMAGES = [flip, cut_short, empty]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Prepared pictures, whose cache is this module's own."""
    root = tmp_path_factory.mktemp("damage")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(root / "cache"))
        yield photo_set(root).path


def everything(pictures: Path) -> list[np.ndarray]:
    """All that proxy runs read: patches, the teacher's too, held-out pictures, baselines."""
    pair_set = open_set(pictures)
    data = proxy_data(pair_set, load_teacher("hat-tiny"))
    held_out = pair_set.validation[0]
    return [
        *(patches.numpy().copy() for patches in (data.bank.lr, data.bank.hr, data.bank.teacher)),
        *(np.array(window.hr()) for window in data.validation),
        np.array(held_out.lr(63)),
        np.array(list(lanczos_psnr_y(held_out, pair_set.qps).values())),
    ]


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_of_the_caches_is_damaged_all_of_it_is_made_again(pictures, damage):
    good = everything(pictures)
    kept = [*cache_root().rglob("*.npy"), *cache_root().rglob("*.json")]
    kept += (pictures / "teacher").glob("*.npy")
    kinds = {path.parent.name for path in kept} | {path.parent.parent.name for path in kept}
    assert {"patches", "decoded", "baseline", "teacher"} <= kinds
    for path in kept:
        damage(path)
    assert all(np.array_equal(a, b) for a, b in zip(everything(pictures), good, strict=True))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_runtime_is_measured_again_and_no_fit_learns_from_it(
    tmp_path, monkeypatch, damage
):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    measured = Latency(2.5, "measured", "cpu", "eager", "wall")
    save({"structure": "a"}, measured, (), None)
    assert load({"structure": "a"}) == measured
    (entry,) = (tmp_path / "latency").iterdir()
    text = entry.read_text()
    if damage is flip:  # in the figure itself: it is JSON as before
        entry.write_text(text.replace("2.5", "2.4"))
    else:
        damage(entry)
    assert load({"structure": "a"}) is None
    assert list(entries(tmp_path / "latency")) == []


def test_a_figure_of_quality_that_was_damaged_is_computed_again(pictures):
    pair_set = open_set(pictures)
    small = windows(pair_set.validation, 2000)

    def figures():
        (ours,) = evaluate_all([LANCZOS], small, (63,))
        return ours, evaluate_teacher(load_teacher("hat-tiny"), pair_set, pictures=small)

    good = figures()
    kept = [
        p for kind in ("evaluation", "teacher-quality") for p in (cache_root() / kind).iterdir()
    ]
    assert len(kept) > 1
    for path in kept:  # the first digit behind a point: it is JSON as before
        text = path.read_text()
        at = text.index(".") + 1
        path.write_text(f"{text[:at]}{(int(text[at]) + 1) % 10}{text[at + 1 :]}")
    assert figures() == good


def test_names_that_json_makes_words_are_no_damage(tmp_path):
    write_json(tmp_path / "told.json", {"gain_db_per_qp": {31: 0.2, 5: 0.1}}, indent=2)
    assert read_json(tmp_path / "told.json") == {"gain_db_per_qp": {"31": 0.2, "5": 0.1}}


@pytest.mark.parametrize("damage", [*DAMAGES, remove])
def test_a_damaged_picture_of_a_set_is_named(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    pair_set = photo_set(tmp_path)
    damage(pair_set.path / "qp47" / f"{pair_set.train[0].name}.avif")
    told = r"\.avif (is not the file that was prepared|cannot be read .*): prepare the set again"
    with pytest.raises(InputError, match=told):
        proxy_data(pair_set)
    photo_set_again(tmp_path)
    assert proxy_data(open_set(tmp_path / "set")).bank.lr.shape[1] == len(pair_set.qps)


def photo_set_again(folder: Path) -> None:
    from nas.data.prepare import prepare

    assert prepare(folder / "hr", folder / "set", qps=(31, 47, 63), validation=0.34).made == 1


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_never_continued(tmp_path, damage):
    path, whose = tmp_path / "checkpoint.pt", {"network": "x"}
    save_checkpoint(path, whose, {"weights": torch.zeros(5000), "step": 3})
    assert load_checkpoint(path, whose)["step"] == 3
    damage(path)
    with pytest.raises(
        InputError, match=r"checkpoint.pt is no checkpoint .* or is damaged: remove"
    ):
        load_checkpoint(path, whose)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_of_a_trial_are_missed_in_one_sentence_and_shown_nowhere(tmp_path, damage):
    study = settings(tmp_path, trials=2)
    summary = conduct(study, Real())
    folder = study.store.folder(study.name)
    first, second = (r for r in summary.records if isinstance(r.outcome, Trained))
    assert math.isfinite(first.outcome.gain_db)
    damage(weights_folder(folder) / first.outcome.weights.file)
    assert weights_file(first.outcome, folder) is None
    with pytest.raises(InputError, match=r"damaged: train it with 'nas promote quick --trial"):
        model(f"quick/{first.trial}", storage=study.store.url)
    assert model(f"quick/{second.trial}", storage=study.store.url).architecture
    again = conduct(settings(tmp_path, trials=3), Real(), tracking_uri=f"sqlite:///{tmp_path}/m.db")
    assert again.counts.done == 3 and again.tracking_fault is None
