"""``nas networks`` and ``nas networks show``, as users and scripts see them."""

from __future__ import annotations

import json

import pytest

from search_spaces import Architecture, published, references


@pytest.fixture
def nas(nas, own_place):
    """Run ``nas`` in its own folder and return what it prints."""

    def run(*arguments):
        code, out, err = nas(*arguments)
        assert code == 0, err
        return out

    return run


def test_the_list_for_scripts(nas):
    documents = json.loads(nas("networks", "--json"))
    assert [d["name"] for d in documents] == list(published)
    for document in documents:
        network = published[document["name"]]
        assert Architecture.from_dict(document["architecture"]) == network.architecture
        assert document["fidelity"] == network.fidelity
        assert {"params", "macs_g", "macs_organiser_g", "predicted_runtime_ms"} <= set(document)
        figures = document["published"]
        assert {"params_m", "macs_g", "runtime_ms", "gain_db", "score"} <= set(figures)
        assert {"psnr_y_qp31", "psnr_rgb_qp63", "ssim_y_qp63", "ssim_rgb_qp31"} <= set(figures)
        assert document["agrees_params"]
        assert document["agrees_macs"] == (document["name"] != "XiaomiMM")


def test_the_list_for_people_says_what_differs_and_what_is_predicted(nas):
    shown = nas("networks")
    assert all(name in shown for name in published)
    assert "XiaomiMM: MACs +0.47%" in shown
    assert "runtime: predicted for rtx4090" in shown and "leave-one-out error" in shown


def test_the_comparators_on_request(nas):
    documents = json.loads(nas("networks", "--references", "--json"))
    assert [d["name"] for d in documents] == [*published, *references]
    assert all(d["agrees_params"] for d in documents)


def test_a_cost_names_the_precision_of_its_memory(nas):
    found = json.loads(nas("cost", "RepTCN", "--json"))
    listed = {d["name"]: d for d in json.loads(nas("networks", "--json"))}["RepTCN"]
    if found["memory_kind"] == "computed":  # where there is no GPU
        assert found["memory_mb"] == listed["memory_mb"]
    assert found["memory_precision"] == "float16"
    assert found["memory_float32_mb"] == pytest.approx(2 * listed["memory_mb"])
    # two maps of 48 channels at 540x960, before and after the pixel-shuffle, the LR and weights
    expected = 2 * (2 * 48 + 3) * 540 * 960 + 2 * found["params"]
    assert listed["memory_mb"] * 1e6 == pytest.approx(expected)
    shown = nas("cost", "RepTCN")
    assert "peak memory, FP16" in shown and "peak memory, FP32" in shown


def test_the_layers_of_a_network(nas):
    shown = nas("networks", "show", "anunet")
    assert "body.0 x3" in shown and "28>192" in shown and "270x480" in shown
    assert "predicted for rtx4090" in shown
    rows = json.loads(nas("networks", "show", "RVSR", "--json"))["layers"]
    assert sum(row["macs"] for row in rows) == 15_618_357_248


def test_the_layers_of_a_file_and_of_a_comparator(nas, tmp_path):
    (tmp_path / "mine.json").write_text(Architecture(width=20).to_json())
    assert "3>20" in nas("networks", "show", "mine.json")
    assert "36>72" in nas("networks", "show", "SAFMN", "--height", 64, "--width", 64)


def test_a_network_has_its_own_name_however_it_was_asked_for(nas):
    for command in (("cost",), ("latency", "--target", "rtx4090"), ("networks", "show")):
        assert json.loads(nas(*command, "reptcn", "--json"))["name"] == "RepTCN"


def test_a_trained_model_is_a_network_too(nas):
    """Costs are asked of what one is about to ship, so any MODEL will do."""
    for command in (("cost",), ("latency", "--target", "rtx4090"), ("networks", "show")):
        assert json.loads(nas(*command, "avif4x", "--json"))
