"""Group scores: the mean over the layers that make a channel, of the mean over each layer's filters."""

from __future__ import annotations

import networks
import numpy as np
import pytest
import torch

from prunecli.calibration.gathering import gather
from prunecli.calibration.observing import Scene
from prunecli.criteria.contract import CRITERIA
from prunecli.graph.channel_graph import build_graph
from prunecli.scoring.evidence import collect_evidence
from prunecli.scoring.filter_scores import needs_of, score_filters
from prunecli.scoring.group_scores import score_groups
from prunecli.scoring.normalization import NORMALIZATIONS, normalise_scores
from prunecli.workflows.calibrating import classify


def scored(network, criterion):
    model = networks.randomised(network())
    graph = build_graph(model, (3, 8, 8))
    filters = score_filters(model, graph, [criterion])
    return model, graph, filters, score_groups(graph.prunable, graph.layers, filters, criterion)


def test_tied_layers_are_averaged():
    model, _, _, groups = scored(networks.Residual, "l1")
    expected = (model.stem.weight.abs().sum((1, 2, 3)) + model.outer.weight.abs().sum((1, 2, 3))) / 2
    assert groups["stem"] == pytest.approx(expected.detach().double().numpy(), rel=1e-6)


def test_a_head_is_the_mean_of_its_filters():
    model, _, _, groups = scored(networks.FusedAttention, "l1")
    rows = model.qkv.weight.abs().sum(1).reshape(3, 8, 4)
    assert groups["qkv"] == pytest.approx(rows.mean((0, 2)).detach().double().numpy(), rel=1e-6)


def test_a_padded_channel_is_scored_by_the_layers_that_make_it():
    model, _, _, groups = scored(networks.PaddedShortcut, "l1")
    down = model.down.weight.abs().sum((1, 2, 3)).detach().double().numpy()
    assert groups["down"] == pytest.approx(down[[0, 1, 6, 7]], rel=1e-6)


def test_what_no_layer_of_a_group_has_is_not_available():
    _, _, filters, groups = scored(networks.Plain, "bn_gamma")
    assert filters["conv2"]["bn_gamma"] is None
    assert groups["conv2"] is None
    assert groups["conv1"] is not None


def test_evidence_holds_one_row_a_filter_also_for_transposed_convolutions():
    model = networks.randomised(networks.Transposed())
    graph = build_graph(model, (3, 8, 8))
    evidence = collect_evidence(model, graph, next(layer for layer in graph.layers if layer.name == "up"))
    assert evidence.weight.shape == (6, 8 * 4)
    assert torch.equal(evidence.weight[2], model.up.weight[:, 2].reshape(-1))


def test_every_criterion_scores_every_filter_it_can():
    model = networks.randomised(networks.Plain())
    graph = build_graph(model, (3, 8, 8))
    scene, (images, labels) = Scene(model, graph, 12), (torch.randn(12, 3, 8, 8), torch.arange(12) % 5)
    gathered = gather(scene, [(images, labels)], classify, needs=needs_of(CRITERIA))
    scores = score_filters(model, graph, list(CRITERIA), gathered=gathered)
    assert {name for name, values in scores["conv1"].items() if values is None} == set()
    assert {len(values) for values in scores["conv1"].values()} == {8}
    assert all(torch.isfinite(values).all() for values in scores["conv1"].values())
    with pytest.raises(ValueError, match="apoz needs a calibration"):
        score_filters(model, graph, ["l1", "apoz"])


@pytest.mark.parametrize("how", NORMALIZATIONS)
def test_normalisation_keeps_the_order_and_ignores_the_scale(how):
    scores = np.array([3.0, 1.0, 2.0, 8.0])
    found = normalise_scores(scores, how)
    assert np.argsort(found).tolist() == np.argsort(scores).tolist()
    if how != "none":
        assert normalise_scores(scores * 7, how) == pytest.approx(found)


@pytest.mark.parametrize(
    ("how", "first"),
    [("none", 3.0), ("mean", 1.5), ("l2", 0.6), ("max", 0.75), ("sum", 3 / 4), ("rank", 2 / 4)],
)
def test_known_values(how, first):
    scores = {"mean": [3, 1, 2, 2], "l2": [3, 4, 0, 0], "max": [3, 4], "sum": [3, 1], "rank": [3, 1, 4, 5]}
    assert normalise_scores(np.array(scores.get(how, [3.0, 1.0]), dtype=float), how)[0] == pytest.approx(
        first
    )


def test_scores_that_are_all_zero_stay():
    assert normalise_scores(np.zeros(3), "mean").tolist() == [0, 0, 0]
