"""The document of `compare` has the contract's keys, and its remarks say what the figures mean."""

from __future__ import annotations

import json
import time

import pytest
import torch

from prunecli.analysis.comparison import compare_scores
from prunecli.analysis.cwda import LayerWeights
from prunecli.scoring.normalization import ALL_NORMALIZATIONS, NORMALIZATIONS

UP = torch.arange(1.0, 21.0)


# Overlap of twenty units with the reversed order at p = 0.9: X_d = 2 (d − 10) from d = 11 on.
REVERSED = 0.9**20 + sum(2 * (d - 10) / d * 0.9**d for d in range(11, 21)) / 9


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
    assert list(document) == [
        "criteria",
        "ratios",
        "rbo_p",
        "pairs",
        "global",
        "global_by_normalization",
        "applicability",
        "first_pruned",
    ]
    assert document["criteria"] == ["l1", "l2", "bn_gamma"]
    assert document["ratios"] == [0.5]
    assert [(pair["a"], pair["b"]) for pair in document["pairs"]] == [
        ("l1", "l2"),
        ("l1", "bn_gamma"),
        ("l2", "bn_gamma"),
    ]
    first = document["pairs"][0]
    assert list(first) == ["a", "b", "spearman", "kendall", "jaccard", "rbo", "interval", "layers"]
    assert first["layers"][0] == {
        "name": "conv1",
        "spearman": pytest.approx(-1),
        "kendall": pytest.approx(-1),
        "jaccard": {"0.5": 0.0},
        "rbo": pytest.approx(REVERSED),
    }
    assert list(document["global"][0]) == ["a", "b", "spearman", "jaccard", "rbo", "kendall"]
    assert [one["normalization"] for one in document["global_by_normalization"]] == list(NORMALIZATIONS)
    assert document["global_by_normalization"][0]["pairs"][0] == {
        key: value for key, value in document["global"][0].items() if key != "kendall"
    }
    assert document["pairs"][1]["spearman"] is None
    assert document["first_pruned"] == [
        {"layer": "conv1", "indices": {"l1": [0, 1], "l2": [19, 18], "bn_gamma": None}},
        {"layer": "conv2", "indices": {"l1": [0, 1], "l2": [0, 1], "bn_gamma": None}},
    ]
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_what_is_asked_for_in_addition_has_keys_of_its_own():
    scores = {"conv1": {"l1": UP, "taylor_act": UP.flip(0)}}
    again = {"conv1": {"taylor_act": UP.flip(0)}}
    weight = torch.randn(20, 18, generator=torch.Generator().manual_seed(0))
    found = compare_scores(
        scores,
        criteria=["l1", "taylor_act"],
        ratios=[0.5],
        costs={"conv1": 3.0},
        again=again,
        weights=[LayerWeights("conv1", weight, (20, 2, 3, 3))],
        p=0.8,
    )
    document = found.document()
    assert document["rbo_p"] == 0.8
    assert [one["normalization"] for one in document["global_by_normalization"]] == list(ALL_NORMALIZATIONS)
    assert [(one["criterion"], one["exact"]) for one in document["noise"]] == [
        ("l1", True),
        ("taylor_act", True),
    ]
    assert [one["verdict"] for one in document["cwda"]] == ["holds"]
    assert found.remarks() == ("the weight-distribution assumption holds in 1 of the 1 layers it speaks of",)
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_independent_gaussian_filters_give_the_known_figures():
    # 64 filters of 144 weights: Spearman(l1, l2) 0.924 ± 0.03, CV(l2) 0.0585 ± 0.005 over 20 seeds.
    layers = {}
    for seed in range(20):
        weight = torch.randn(64, 144, generator=torch.Generator().manual_seed(seed))
        layers[f"conv{seed}"] = {"l1": weight.abs().sum(1), "l2": weight.norm(dim=1)}
    found = compare_scores(layers, criteria=["l1", "l2"], ratios=[0.5])
    pair = found.pairs[0]
    assert pair.average.spearman == pytest.approx(0.924, abs=0.03)
    assert pair.interval.spearman[0] < pair.average.spearman < pair.interval.spearman[1]
    assert found.applicability[1].cv == pytest.approx(0.0585, abs=0.005)


def test_the_seed_is_that_of_the_intervals():
    generator = torch.Generator().manual_seed(0)
    layers = {
        f"conv{number}": {"l1": torch.rand(9, generator=generator), "l2": torch.rand(9, generator=generator)}
        for number in range(9)
    }
    first, again, other = (
        compare_scores(layers, criteria=["l1", "l2"], ratios=[0.5], seed=seed).pairs[0] for seed in (3, 3, 4)
    )
    assert first == again
    assert first.average == other.average
    assert first.interval != other.interval


def test_thirty_criteria_take_seconds():
    generator = torch.Generator().manual_seed(0)
    names = [f"criterion{number}" for number in range(30)]
    layers = {
        f"conv{number}": {name: torch.rand(256, generator=generator) for name in names}
        for number in range(20)
    }
    start = time.perf_counter()
    found = compare_scores(layers, criteria=names, ratios=[0.3, 0.5])
    found.document()
    assert time.perf_counter() - start < 10  # about one on one core
    assert len(found.pairs) == 435


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
