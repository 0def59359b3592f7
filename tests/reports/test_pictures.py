"""Pictures show the figures of the documents, and the same document gives the same bytes."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from prunecli.errors import WorkFailed, WrongUse
from prunecli.reports import pictures

CRITERIA = ["l1", "apoz", "l2"]
COMPARED = {
    "criteria": CRITERIA,
    "ratios": [0.5],
    "pairs": [
        {"a": "l1", "b": "apoz", "spearman": -0.25, "jaccard": {"0.5": 0.125}},
        {"a": "l1", "b": "l2", "spearman": 0.96, "jaccard": {"0.5": 0.875}},
        {"a": "apoz", "b": "l2", "spearman": None, "jaccard": {"0.5": None}},
    ],
}
SCORED = {
    "criteria": CRITERIA,
    "layers": [
        {"name": "conv1", "scores": {"l1": [1.0, 2.0, 3.0], "apoz": None, "l2": [3.0, 2.0, 1.0]}},
        {"name": "conv2", "scores": {"l1": [1.0, 1.0], "apoz": [0.5, 0.25], "l2": [2.0, 5.0]}},
    ],
}


def texts(axis):
    return {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in axis.texts}


def test_a_heatmap_has_every_pair_twice_and_a_dash_for_what_is_undefined():
    spearman, jaccard = pictures.agreement_heatmaps(COMPARED).axes
    names = [label.get_text() for label in spearman.get_xticklabels()]
    at = {name: index for index, name in enumerate(names)}
    cells = texts(spearman)
    assert sorted(names) == sorted(CRITERIA)
    assert cells[at["l1"], at["apoz"]] == cells[at["apoz"], at["l1"]] == "-.25"
    assert cells[at["l1"], at["l2"]] == ".96"
    assert cells[at["apoz"], at["l2"]] == "–"
    assert cells[at["l1"], at["l1"]] == "1.00"
    assert texts(jaccard)[at["l2"], at["l1"]] == ".88"
    # Criteria that rank alike stand together.
    assert abs(at["l1"] - at["l2"]) == 1


def test_ranks_are_drawn_of_the_criteria_that_score_the_layer():
    axes = pictures.rank_pictures(SCORED, "conv1").axes
    assert len(axes) == 4
    points = axes[1].collections[0].get_offsets()
    np.testing.assert_array_equal(points, [[3, 1], [2, 2], [1, 3]])


@pytest.mark.parametrize("layer", ["conv9", "conv1"])
def test_a_layer_that_cannot_be_drawn_is_refused(layer):
    one = {"criteria": ["l1"], "layers": [{"name": "conv1", "scores": {"l1": [1.0, 2.0]}}]}
    with pytest.raises(WrongUse, match=layer):
        pictures.rank_pictures(one, layer)


def test_distributions_have_a_box_for_every_layer_that_has_the_criterion():
    first, second, third = pictures.score_distributions(SCORED).axes
    assert [label.get_text() for label in first.get_xticklabels()] == ["conv1", "conv2"]
    assert [label.get_text() for label in second.get_xticklabels()] == ["conv2"]
    assert [label.get_text() for label in third.get_xticklabels()] == ["conv1", "conv2"]
    empty = {"criteria": ["apoz"], "layers": SCORED["layers"][:1]}
    assert pictures.score_distributions(empty).axes[0].texts[0].get_text() == "not available"


def _trained(*, best=2, count=3, **last):
    history = [
        {"epoch": 1 + at, "train_loss": 1.5 / (1 + at), "loss": 1.25 / (1 + at), "accuracy": 80.0 + at}
        for at in range(count)
    ]
    history[-1].update(last)
    return {"best": {"epoch": best, "accuracy": 81.0}, "history": history}


def _lines(axis):
    return {line.get_label(): line for line in axis.get_lines()}


def test_the_course_of_a_training_has_both_losses_and_the_kept_epoch():
    losses, accuracies = pictures.training_curves(_trained()).axes
    lines = _lines(losses)
    np.testing.assert_allclose(lines["training"].get_ydata(), [1.5, 0.75, 0.5])
    np.testing.assert_allclose(lines["validation"].get_ydata(), [1.25, 0.625, 1.25 / 3])
    np.testing.assert_array_equal(lines["validation"].get_xdata(), [1, 2, 3])
    ring = lines["best: epoch 2, 0.625"]
    assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([2], [0.625])
    np.testing.assert_array_equal(_lines(accuracies)["validation"].get_ydata(), [80, 81, 82])
    assert "best: epoch 2, 81" in _lines(accuracies)
    assert "training" not in _lines(accuracies)
    assert [axis.get_title() for axis in (losses, accuracies)] == ["Loss", "Accuracy, %"]


def test_an_undefined_figure_is_a_gap_and_an_undefined_best_has_no_ring():
    losses, _ = pictures.training_curves(_trained(best=3, loss=None)).axes
    values = _lines(losses)["validation"].get_ydata()
    np.testing.assert_array_equal(np.isnan(values), [False, False, True])
    assert not any(label.startswith("best") for label in _lines(losses))


@pytest.mark.parametrize(("count", "dotted"), [(1, True), (30, True), (31, False)])
def test_few_epochs_are_dotted_and_only_whole_epochs_are_named(count, dotted):
    [axis] = pictures.training_curves(_trained(best=1, count=count), panels=("accuracy",)).axes
    assert (_lines(axis)["validation"].get_marker() == "o") is dotted
    low, high = axis.get_xlim()
    ticks = [tick for tick in axis.get_xticks() if low <= tick <= high]
    assert ticks
    assert all(float(tick).is_integer() for tick in ticks)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_same_training_gives_the_same_file(tmp_path, kind):
    first, second = (
        pictures.write_picture(pictures.training_curves(_trained()), str(tmp_path / f"{name}.{kind}"))
        for name in "ab"
    )
    assert first.sha256 == second.sha256


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_same_document_document_gives_the_same_file(tmp_path, kind):
    first = pictures.write_picture(pictures.agreement_heatmaps(COMPARED), str(tmp_path / f"a.{kind}"))
    second = pictures.write_picture(pictures.agreement_heatmaps(COMPARED), str(tmp_path / f"b.{kind}"))
    assert first.sha256 == second.sha256
    assert first.bytes > 1000


def test_a_missing_package_is_said_before_the_work(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WorkFailed, match="matplotlib, which is not installed") as caught:
        pictures.check_picture("heat.svg")
    assert caught.value.hints == ("install it: pip install 'prunecli[plot]'",)
    with pytest.raises(WrongUse, match=r"heat\.jpg"):
        pictures.check_picture("heat.jpg")


def test_another_ending_is_refused_with_what_is_valid(tmp_path):
    with pytest.raises(WrongUse, match=r"heat\.jpg") as caught:
        pictures.write_picture(pictures.agreement_heatmaps(COMPARED), str(tmp_path / "heat.jpg"))
    assert ".png" in caught.value.hints[0]
