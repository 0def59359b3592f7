"""Scores in the type of the weights, whatever type they were computed in."""

from __future__ import annotations

import pytest
import torch

from prunecli.criteria.rows import representable


@pytest.mark.parametrize("computed", [torch.float32, torch.float64])
@pytest.mark.parametrize("weights", [torch.float32, torch.float64])
def test_scores_take_the_type_of_the_weights_and_stay_finite(computed, weights):
    enormous = 0.9 * torch.finfo(computed).max
    found = representable(
        torch.tensor([enormous, -enormous, 0.5], dtype=computed), torch.ones(1, dtype=weights)
    )
    limit = torch.finfo(weights).max
    assert found.dtype == weights
    assert found.tolist() == pytest.approx([min(enormous, limit), -min(enormous, limit), 0.5], rel=1e-6)
