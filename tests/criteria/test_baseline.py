"""Random scores follow from the seed and the layer's name alone."""

from __future__ import annotations

import torch

from prunecli.criteria.baseline import uniform
from prunecli.criteria.contract import Evidence


def scores(layer, seed):
    return uniform(Evidence(layer=layer, weight=torch.ones(4000, 1), kernel_shape=(4000, 1), seed=seed))


def test_layers_and_seeds_differ_and_repeats_agree():
    assert torch.equal(scores("conv1", 0), scores("conv1", 0))
    assert not torch.equal(scores("conv1", 0), scores("conv2", 0))
    assert not torch.equal(scores("conv1", 0), scores("conv1", 1))


def test_the_scores_fill_the_unit_interval_evenly():
    drawn = scores("conv1", 0)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 0.02
    assert abs(drawn.std() - 12**-0.5) < 0.01


def test_the_state_of_the_global_generator_is_left_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    scores("conv1", 0)
    assert torch.equal(torch.rand(1), expected)
