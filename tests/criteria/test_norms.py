"""Norms against hand arithmetic."""

from __future__ import annotations

import torch

from prunecli.criteria.contract import Evidence
from prunecli.criteria.norms import l1_norm, l2_norm, linf_norm

GIVEN = Evidence(layer="conv", weight=torch.tensor([[3.0, -4.0], [0.0, 2.0]]), kernel_shape=(2, 2))


def test_the_three_norms_of_two_filters():
    assert l1_norm(GIVEN).tolist() == [7.0, 2.0]
    assert l2_norm(GIVEN).tolist() == [5.0, 2.0]
    assert linf_norm(GIVEN).tolist() == [4.0, 2.0]


def test_the_published_agreement_of_l1_and_l2_under_iid_gaussian_filters():
    from scipy.stats import spearmanr

    agreement, contrast = [], []
    for seed in range(20):
        weight = torch.randn(64, 144, generator=torch.Generator().manual_seed(seed))
        given = Evidence(layer="conv", weight=weight, kernel_shape=(64, 16, 3, 3))
        l1, l2 = l1_norm(given), l2_norm(given)
        agreement.append(float(spearmanr(l1, l2).statistic))
        contrast.append(float(l2.std() / l2.mean()))
    assert abs(sum(agreement) / 20 - 0.924) < 0.03
    assert abs(sum(contrast) / 20 - 0.0585) < 0.005


def test_a_float16_sum_does_not_overflow():
    given = Evidence(
        layer="conv", weight=torch.full((1, 100), 60000.0, dtype=torch.float16), kernel_shape=(1, 100)
    )
    assert l1_norm(given).item() == 100 * float(torch.tensor(60000.0, dtype=torch.float16))
