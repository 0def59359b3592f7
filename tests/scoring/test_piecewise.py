"""Scores of some filters at a time are those of the whole layer, and no more is looked at than was said."""

from __future__ import annotations

import networks
import pytest
import torch

from prunecli.criteria.contract import CRITERIA, Needs
from prunecli.graph.channel_graph import build_graph
from prunecli.scoring.filter_scores import score_filters
from prunecli.scoring.piecewise import PieceScorer

ALONE = sorted(name for name in CRITERIA if CRITERIA[name].each_alone)
TOGETHER = ["fpgm", "lamp", "random", "bn_gamma", "ens(l1,l2)"]


def test_criteria_that_look_at_each_filter_alone_say_so():
    assert ALONE == ["l1", "l2", "linf", "lp_mean"]
    assert all(CRITERIA[name].needs == Needs.WEIGHT for name in ALONE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("network", [networks.Plain, networks.Grouped, networks.GroupedTransposed])
def test_pieces_come_to_the_scores_of_the_whole(network, dtype):
    model = networks.randomised(network()).to(dtype)
    graph = build_graph(model, (3, 8, 8))
    criteria = [*ALONE, *TOGETHER]
    scorer = PieceScorer(model=model, graph=graph, criteria=criteria, piece=40)
    expected = score_filters(model, graph, criteria)
    for layer in graph.layers:
        found = scorer.score(layer, model.get_parameter(layer.weight).detach())
        assert list(found) == criteria
        for name in criteria:
            one, other = found[name], expected[layer.name][name]
            assert (one is None and other is None) or torch.equal(one, other), (layer.name, name)


def test_a_piece_has_at_most_the_numbers_that_were_said(monkeypatch):
    model = networks.randomised(networks.Plain())
    graph = build_graph(model, (3, 8, 8))
    seen = []

    def look(evidence):
        seen.append(evidence.weight.numel())
        return evidence.weight.sum(dim=1)

    known = CRITERIA["l1"]
    monkeypatch.setattr(
        "prunecli.scoring.piecewise.criterion_named",
        lambda _: type(known)(**{**vars(known), "function": look}),
    )
    layer = next(each for each in graph.layers if each.name == "conv2")
    weight = model.get_parameter(layer.weight).detach()
    row = weight[0].numel()
    PieceScorer(model=model, graph=graph, criteria=["l1"], piece=2 * row + 1).score(layer, weight)
    assert max(seen) == 2 * row
    assert sum(seen) == weight.numel()
