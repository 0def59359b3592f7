"""The criterion against numbers worked out by hand; run with `pytest` where the package is installed."""

from __future__ import annotations

import torch
from prunecli_criterion_topk.topk import mean_of_the_largest

from prunecli.criteria.contract import Evidence

WEIGHT = torch.tensor([[1.0, -5.0, 2.0, 0.0], [3.0, 3.0, -3.0, 3.0]])
EVIDENCE = Evidence("conv", WEIGHT, (2, 4, 1, 1))


def test_the_largest_weight_decides_by_default() -> None:
    """A quarter of four weights is one."""
    assert mean_of_the_largest(EVIDENCE).tolist() == [5.0, 3.0]


def test_all_weights_make_it_the_mean() -> None:
    """Then it ranks as l1 does."""
    assert mean_of_the_largest(EVIDENCE, share=1.0).tolist() == [2.0, 3.0]
