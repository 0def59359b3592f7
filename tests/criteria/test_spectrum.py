"""Singular values against the eigenvalues of each filter's own Gram matrix."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from prunecli.criteria.contract import Evidence
from prunecli.criteria.norms import l2_norm
from prunecli.criteria.spectrum import effective_rank, nuclear_norm


def evidence(weight):
    return Evidence(layer="conv", weight=weight.flatten(1), kernel_shape=tuple(weight.shape))


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def singular_values(matrix):
    small = matrix @ matrix.T if len(matrix) < len(matrix.T) else matrix.T @ matrix
    return np.sqrt(np.clip(np.linalg.eigvalsh(small), 0, None))


@pytest.mark.parametrize(
    "shape", [(5, 16, 3, 3), (5, 3, 7, 7), (4, 1, 3, 3), (6, 8, 1, 1), (6, 8), (3, 4, 5)]
)
def test_both_scores_are_those_of_a_loop_over_filters(shape):
    weight = drawn(*shape)
    nuclear, rank = nuclear_norm(evidence(weight)), effective_rank(evidence(weight))
    for f, one in enumerate(weight.double().numpy()):
        values = singular_values(one.reshape(one.shape[0], -1))
        shares = [value / values.sum() for value in values if value > 0]
        assert float(nuclear[f]) == pytest.approx(values.sum(), rel=1e-6)
        assert float(rank[f]) == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)), rel=1e-6)


def test_three_filters_by_hand():
    weight = torch.zeros(3, 2, 2, 1)
    weight[0, :, :, 0] = torch.tensor([[3.0, 0.0], [0.0, -3.0]])  # two equal values
    weight[1, :, :, 0] = torch.tensor([[3.0, 4.0], [3.0, 4.0]])  # rank one, √50
    given = evidence(weight)
    torch.testing.assert_close(nuclear_norm(given), torch.tensor([6.0, 50**0.5, 0.0]))
    torch.testing.assert_close(effective_rank(given), torch.tensor([2.0, 1.0, 0.0]))


def test_one_by_one_kernels_have_their_length_and_rank_one():
    given = evidence(drawn(6, 8, 1, 1))
    torch.testing.assert_close(nuclear_norm(given), l2_norm(given))
    assert effective_rank(given).tolist() == [1.0] * 6


@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_the_rank_knows_no_size(size):
    weight = drawn(4, 6, 3, 3)
    torch.testing.assert_close(effective_rank(evidence(weight * size)), effective_rank(evidence(weight)))
    torch.testing.assert_close(nuclear_norm(evidence(weight * size)) / size, nuclear_norm(evidence(weight)))
