"""``nas report``: one page that needs nothing else, on which all that is said is so."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from pages import Page
from photos import evaluation_set
from PIL import Image
from quick_search import BUDGET, Quick, Real, settings

from nas.data.manifest import HR
from nas.data.store import lanczos
from nas.measure.tiling import upscale_picture
from search_spaces import Architecture
from search_spaces.model_file import load_model
from studies.core.candidate import Candidate
from studies.core.info import StudyInfo
from studies.core.outcome import Broken, Rejected, Runtime, Size, Trained
from studies.core.record import Record, count
from studies.core.weights import weights_file
from studies.report.report import report
from studies.report.static import front_figure
from studies.report.summary import Places
from studies.results.front import contributions, front, reference_of, trained
from studies.results.snapshot import load
from studies.search import conduct

pytestmark = pytest.mark.usefixtures("own_place")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return evaluation_set(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def searched(tmp_path_factory, prepared):
    """A study of real networks on that set: its storage, where it says that the set lies."""
    folder = tmp_path_factory.mktemp("study")
    identity = {
        "target": {"name": "quick", "note": "predicted, leave-one-out error 12%"},
        "data": {"name": "photos", "digest": prepared.digest},
    }
    study = settings(folder, identity=identity, sources={"data": str(prepared.path)})
    conduct(study, Real())
    return study.store


def read(store):
    snapshot = load(store, "quick")
    return snapshot.info, snapshot.records


def test_the_page_says_what_the_study_found_and_what_to_do(nas, searched):
    code, out, err = nas(
        "report", "quick", "--storage", searched.url, "-o", "out/page.html", "--json"
    )
    assert code == 0, err
    written = json.loads(out)
    text = Path(written["report"]).read_text(encoding="utf-8")
    assert written["bytes"] == len(text.encode())
    page = Page(text)
    _, records = read(searched)
    members = front(trained(records))
    worth = contributions(members, reference_of((), BUDGET))
    header = next(i for i, row in enumerate(page.rows) if row[:2] == ["trial", "network"])
    for row, member in zip(page.rows[header + 1 :], members, strict=False):
        assert row[:2] == [str(member.trial), member.name]
        assert row[2] == f"{member.gain_db:+.3f}" and row[4] == f"{member.runtime_ms:.3f}"
        assert re.fullmatch(r"\d+%", row[3]), "how probably it is on the front"
        assert row[page.rows[header].index("worth")] == f"{worth[member.trial]:.3f}"
    assert f"{count(records).trained} candidates were trained" in page.words
    assert "ms predicted" in page.rows[header] and "leave-one-out error 12%" in page.words
    for command in ("nas promote quick --top 3", "nas export quick/", "nas upscale pictures/"):
        assert f"{command}" in page.words
    assert f"--storage {searched.url}" in page.words


def test_the_page_asks_nothing_of_the_network(nas, searched):
    assert nas("report", "quick", "--storage", searched.url)[0] == 0
    page = Page(Path("report.html").read_text(encoding="utf-8"))
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
        assert tag not in ("link", "iframe", "object", "embed")
    assert not re.search(r"url\(|@import", page.styles)
    (policy,) = [a["content"] for t, a in page.tags if a.get("http-equiv")]
    assert policy.startswith("default-src 'none'") and "http" not in policy
    assert "showSendToCloud: false" in page.scripts[-1], "Plotly offers an upload by itself"
    assert page.styles.count("prefers-color-scheme: dark") == 1


def test_every_figure_has_its_place_and_is_one_of_plotly(searched):
    info, records = read(searched)
    page = Page(report(info, records, Places()))
    places = {a["data-figure"] for _, a in page.tags if "data-figure" in a}
    assert places == set(page.figures) >= {"front", "hypervolume", "curves", "parallel"}
    for figure in page.figures.values():
        go.Figure(figure)  # raises at an unknown property
    traces = {trace["name"]: trace for trace in page.figures["front"]["data"]}
    members = front(trained(records))
    assert traces["front (trial)"]["x"] == [m.runtime_ms for m in members]
    first = traces["front (trial)"]["hovertext"][0]
    assert "QP 31:" in first and "parameters" in first and members[0].name in first
    survey = traces.pop("survey, full training")
    assert len(survey["x"]) >= 16
    low, high = page.figures["front"]["layout"]["xaxis"]["range"]
    every = [x for trace in traces.values() for x in trace["x"]] + [BUDGET.runtime_ms]
    assert low < math.log10(min(every)) and math.log10(max(every)) < high
    rug = traces["not trained"]
    assert (rug["yaxis"], page.figures["front"]["layout"]["yaxis2"]["range"]) == ("y2", [0, 1])
    over = [r.outcome.runtime.ms for r in records if isinstance(r.outcome, Rejected | Broken)]
    assert sorted(rug["x"]) == sorted(over)
    assert all("template" not in figure["layout"] for figure in page.figures.values())


def test_a_weak_front_fills_its_figures_and_the_survey_is_a_click_away():
    """The survey's networks gain up to 1 dB: on axes for them a hundredth is less than a point."""
    runtime, size = Runtime(1.0, "predicted", "x"), Size(1, 1)
    gains = [(0.010, 0.012), (0.020, 0.024), (0.030, 0.028)]
    records = [
        Record(
            Candidate(trial, Architecture(width=8 + trial)),
            Trained(first, {}, {}, replace(runtime, ms=1.0 + trial), size),
            repeats=(second,),
        )
        for trial, (first, second) in enumerate(gains)
    ]
    far = Trained(-3.0, {}, {}, runtime, size)
    records.append(Record(Candidate(9, Architecture(width=60)), far))
    info = StudyInfo("s", {"budget": BUDGET.to_dict(), "space": {"name": "s"}}, ())
    page = Page(report(info, records, Places()))
    layout = page.figures["front"]["layout"]
    low, high = layout["yaxis"]["range"]
    tops = [m.gain_db + m.gain_sd_db for m in front(trained(records))]
    assert high / 2 < max(tops) < high, "with its error bars"
    assert -0.04 < low < 0, "but for what is far below"
    (button,) = [a for t, a in page.tags if "data-whole" in a]
    assert button["data-whole"] == "front"
    hidden = r"1 of the candidates, far below the others; (\d+) of the survey's"
    told = re.search(hidden, page.words)
    (axes,) = front_figure(records, info.budget).axes
    assert axes.get_ylim() == pytest.approx((low, high))
    label = next(t.get_text() for t in axes.get_legend().get_texts() if "survey" in t.get_text())
    assert int(re.search(r"\((\d+) of", label)[1]) == int(told[1]) > 0


def test_those_that_tint_are_marked_in_figures_and_told_with_their_loss():
    runtime, size = Runtime(1.0, "predicted", "x"), Size(1, 1)
    kept = Trained(0.1, {}, {}, runtime, size, gain_cb_db=0.2, gain_cr_db=-0.05)
    tinted = replace(kept, gain_db=0.3, gain_cr_db=-0.4)
    records = [
        Record(Candidate(0, Architecture()), kept),
        Record(Candidate(3, Architecture(width=60)), tinted, tints=True),
    ]
    budget = replace(BUDGET, colour_loss_db=0.1)
    info = StudyInfo("s", {"budget": budget.to_dict(), "space": {"name": "s"}}, ())
    page = Page(report(info, records, Places()))
    traces = {trace["name"]: trace for trace in page.figures["front"]["data"]}
    assert traces["front (trial)"]["y"] == [0.1]
    assert "Cb +0.200 dB, Cr -0.050 dB" in traces["front (trial)"]["hovertext"][0]
    assert traces["trained, but it tints"]["y"] == [0.3]
    assert "Cr -0.400 dB: it tints" in traces["trained, but it tints"]["hovertext"][0]
    assert "1 left out, Cb or Cr too far below Lanczos" in page.words
    assert "trial 3 (-0.400 dB)" in page.words and "colour loss 0.1 dB" in page.words
    (axes,) = front_figure(records, budget).axes
    assert "trained, but it tints" in [t.get_text() for t in axes.get_legend().get_texts()]

    alone = Page(report(info, records[1:], Places()))
    assert "trial 3 (-0.400 dB)" in alone.words and "front" in alone.figures


def test_the_pictures_are_what_the_networks_make_of_the_held_out_one(nas, searched, prepared):
    assert nas("report", "quick", "--storage", searched.url)[0] == 0
    page = Page(Path("report.html").read_text(encoding="utf-8"))
    shown = [a for t, a in page.tags if t == "img"]
    name, left, top = re.search(r"128x128 pixels of (\S+) at (\d+),(\d+)", page.words).groups()
    (picture,) = [p for p in prepared.validation if p.name == name]
    there = slice(int(top), int(top) + 128), slice(int(left), int(left) + 128)
    _, records = read(searched)
    by_trial = {record.trial: record.outcome for record in records}
    strips = [shown[: len(shown) // 2], shown[len(shown) // 2 :]]
    for qp, strip in zip((31, 63), strips, strict=True):
        assert strip[0]["alt"] == "Lanczos" and strip[-1]["alt"] == "original"
        assert np.array_equal(pixels(strip[0]), lanczos(picture.lr(qp))[there])
        assert np.array_equal(pixels(strip[-1]), picture.hr()[there])
        for image in strip[1:-1]:
            trial = int(re.match(r"trial (\d+),", image["alt"])[1])
            file = weights_file(by_trial[trial], searched.folder("quick"))
            whole = upscale_picture(load_model(file).network, picture.lr(qp)).numpy()
            # Rounding may differ by one where a network sees other batches of pixels.
            assert np.abs(pixels(image).astype(int) - whole[there]).max() <= 1
            assert image["data-other"] == strip[-1]["id"]


def pixels(image):
    kind, _, content = image["src"].partition("base64,")
    assert kind == "data:image/png;"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


@pytest.mark.parametrize("gone", ["set", "weights"])
def test_without_the_set_or_the_weights_a_sentence_stands_for_the_pictures(
    nas, searched, tmp_path, gone
):
    identity = {"data": {"name": "photos", "digest": "0" * 64}}
    if gone == "set":
        study = settings(tmp_path, trials=3, identity=identity)
        conduct(study, Real())
        told = "does not say where its set 'photos' lies: give it with --data"
    else:
        info, _ = read(searched)
        identity["data"]["digest"] = info.identity["data"]["digest"]
        study = settings(tmp_path, trials=3, identity=identity, sources=info.sources)
        conduct(study, Quick())  # its weights are no models
        told = "No network of the front has its weights here"
    code, _, err = nas("report", "quick", "--storage", study.store.url)
    assert code == 0 and told in " ".join(err.split())
    page = Page(Path("report.html").read_text(encoding="utf-8"))
    assert told in page.words and not [t for t, _ in page.tags if t == "img"]


def test_a_damaged_picture_costs_the_pictures_and_no_more(nas, searched, prepared):
    """The cache of decoded pictures is another one in each test, so the file is read again."""
    file = prepared.path / prepared.validation[0].entry.record.files[HR].path
    content = file.read_bytes()
    try:
        file.write_bytes(content[:-100] + bytes(100))
        code, _, err = nas("report", "quick", "--storage", searched.url)
    finally:
        file.write_bytes(content)
    assert code == 0 and file.name in err
    page = Page(Path("report.html").read_text(encoding="utf-8"))
    assert "is not the file that was prepared" in page.words and "front" in page.figures


def test_a_set_that_is_not_the_studys_is_refused(nas, searched, prepared, tmp_path):
    study = settings(tmp_path, trials=2, identity={"data": {"name": "a", "digest": "0" * 64}})
    conduct(study, Quick())
    for arguments, told in (
        (["--data", prepared.path], "is not the set that the study was made with"),
        (["--data", tmp_path / "nowhere"], "nowhere"),
        (["-o", "/proc/nowhere/page.html"], "/proc/nowhere: there is no such file"),
    ):
        code, out, err = nas("report", "quick", "--storage", study.store.url, *arguments)
        assert code == 2 and out == "" and told in " ".join(err.split()), err
        assert "Traceback" not in err
    code, _, err = nas("report", "other", "--storage", study.store.url)
    assert code == 2 and "no study 'other'" in err


def test_a_study_without_results_says_so():
    info = StudyInfo("empty", {"budget": BUDGET.to_dict(), "space": {"name": "s"}}, ())
    page = Page(report(info, [], Places()))
    assert "No candidate has been trained yet" in page.words and page.figures == {}


def test_names_and_reasons_cannot_break_out_of_the_page(searched):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    info, records = read(searched)
    size, runtime = Size(1, 1), Runtime(1.0, "predicted", "x")
    broken = Record(Candidate(90, Architecture(), evil), Broken("error", evil, runtime, size))
    info = replace(info, identity={**info.identity, "data": {"name": evil, "digest": evil}})
    page = Page(report(info, [*records, broken], Places()))
    assert not [t for t, a in page.tags if t == "img" or "onerror" in a]
    assert len(page.scripts) == 3 and "alert(1)" in page.words
    assert "<img" not in json.dumps(page.figures["front"])


def test_commands_survive_the_shell(searched):
    info, records = read(searched)
    storage = "postgresql://host/db?sslmode=require&x=$(date) y"
    words = Page(report(info, records, Places(storage))).words
    (line,) = [line for line in words.splitlines() or [words] if "nas promote quick" in line]
    command = line[line.index("nas promote quick") :].split("Ship ")[0]
    assert shlex.split(command) == ["nas", "promote", "quick", "--top", "3", "--storage", storage]


def test_commands_on_the_page_show_no_secret(searched):
    info, records = read(searched)
    words = Page(report(info, records, Places("postgresql://me:s3cret@host/db"))).words
    assert "s3cret" not in words and 'nas promote quick --top 3 --storage "$NAS_STORAGE"' in words
    assert "First, with the secret in place of ***:export NAS_STORAGE=" in words


def test_runtimes_of_all_candidates_can_be_read_off_their_axis(searched):
    info, records = read(searched)
    page = Page(report(info, records, Places()))
    (runtime,) = [
        axis
        for axis in page.figures["parallel"]["data"][0]["dimensions"]
        if axis["label"] == "runtime [ms]"
    ]
    known = [member.runtime_ms for member in trained(records)]
    ends = [float(runtime["ticktext"][0]), float(runtime["ticktext"][-1])]
    assert ends == pytest.approx([min(known), max(known)], rel=0.01)
    assert sorted(runtime["tickvals"]) == runtime["tickvals"]
    assert "over the limit of runtime" in page.words and "runtime_ms" not in page.words
