"""The document of `compare` has the contract's keys, and its remarks say what the figures mean."""

from __future__ import annotations

import json

import pytest
import torch

from prunecli.analysis.comparison import compare_scores

UP = torch.arange(1.0, 21.0)


def swapped(*pairs):
    scores = UP.clone()
    for i, j in pairs:
        scores[i], scores[j] = UP[j], UP[i]
    return scores


def comparison(**criteria):
    return compare_scores({"conv1": criteria}, criteria=list(criteria), ratios=[0.5, 0.25], top=3)


def test_the_document_has_the_keys_of_the_contract():
    document = compare_scores(
        {"conv1": {"l1": UP, "l2": UP.flip(0), "bn_gamma": None}, "conv2": {"l1": UP[:4], "l2": UP[:4]}},
        criteria=["l1", "l2", "bn_gamma"],
        ratios=[0.5],
        top=2,
    ).document()
    assert list(document) == ["criteria", "ratios", "pairs", "global", "applicability", "first_pruned"]
    assert document["criteria"] == ["l1", "l2", "bn_gamma"]
    assert document["ratios"] == [0.5]
    assert [(pair["a"], pair["b"]) for pair in document["pairs"]] == [
        ("l1", "l2"),
        ("l1", "bn_gamma"),
        ("l2", "bn_gamma"),
    ]
    first = document["pairs"][0]
    assert list(first) == ["a", "b", "spearman", "kendall", "jaccard", "layers"]
    assert first["layers"][0] == {
        "name": "conv1",
        "spearman": pytest.approx(-1),
        "kendall": pytest.approx(-1),
        "jaccard": {"0.5": 0.0},
    }
    assert list(document["global"][0]) == ["a", "b", "spearman", "jaccard"]
    assert document["pairs"][1]["spearman"] is None
    assert document["first_pruned"] == [
        {"layer": "conv1", "indices": {"l1": [0, 1], "l2": [19, 18], "bn_gamma": None}},
        {"layer": "conv2", "indices": {"l1": [0, 1], "l2": [0, 1], "bn_gamma": None}},
    ]
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_the_gap_is_taken_at_the_first_ratio():
    scores = torch.tensor([1.0, 2.0, 4.0, 9.0])
    found = comparison(l1=scores).applicability[0]
    assert found.layers["conv1"].gap == pytest.approx((4 - 2) / 4)


def test_criteria_that_remove_the_same_filters_are_called_the_same():
    found = comparison(l2=UP, fpgm=swapped((0, 1), (17, 18)))
    assert found.remarks() == (
        "l2 and fpgm choose the same filters here (Jaccard 1.00 at 0.5 and 1.00 at 0.25): "
        "choosing between them changes nothing",
    )


def test_criteria_that_only_rank_alike_are_called_so():
    remarks = comparison(l1=UP, l2=swapped((9, 10), (4, 5))).remarks()
    assert remarks == ("l1 and l2 rank alike (Spearman 1.00)",)


def test_criteria_that_differ_are_not_remarked_on():
    assert comparison(l1=UP, l2=UP.flip(0)).remarks() == ()


def test_a_criterion_without_contrast_is_named():
    found = comparison(l1=UP, cosine=100 - UP / 10)
    assert found.remarks() == ("cosine has no contrast (CV 0.0058): it hardly tells one filter from another",)


def test_half_precision_and_gradients_are_accepted():
    found = comparison(l1=UP.bfloat16(), l2=UP.clone().requires_grad_())
    assert found.pairs[0].average.spearman == pytest.approx(1)


def test_layers_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match=r"different numbers of units in conv1: \[3, 20\]"):
        comparison(l1=UP, l2=UP[:3])
    with pytest.raises(ValueError, match="at least one ratio"):
        compare_scores({}, criteria=["l1"], ratios=[])
