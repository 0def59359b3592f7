"""Distances between filters against naive sums in float64."""

from __future__ import annotations

import pytest
import torch

from prunecli.criteria import relations
from prunecli.criteria.contract import Evidence
from prunecli.criteria.relations import cosine_distance_sum, distance_sum, distance_to_median


def evidence(weight):
    return Evidence(layer="conv", weight=weight, kernel_shape=tuple(weight.shape))


def naive(weight):
    rows = weight.double()
    return (rows[:, None, :] - rows[None, :, :]).norm(dim=2).sum(dim=1)


def near_copies():
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(1, 576, generator=generator)
    return one + 1e-6 * torch.randn(48, 576, generator=generator)


def two_heaps():
    generator = torch.Generator().manual_seed(1)
    heaps = 5 * torch.randn(2, 144, generator=generator)
    return heaps.repeat_interleave(20, dim=0) + 1e-5 * torch.randn(40, 144, generator=generator)


def copies_and_an_outlier():
    weight = torch.ones(64, 30) + 1e-6 * torch.randn(64, 30, generator=torch.Generator().manual_seed(2))
    weight[0] += 100
    return weight


def gaussian():
    return torch.randn(64, 144, generator=torch.Generator().manual_seed(3)) + 10


@pytest.mark.parametrize("make", [near_copies, two_heaps, copies_and_an_outlier, gaussian])
@pytest.mark.parametrize("block", [1, 100, 1 << 22])
def test_fpgm_is_the_naive_distance_sum(make, block, monkeypatch):
    monkeypatch.setattr(relations, "GRAM_BLOCK_ENTRIES", block)
    weight = make()
    error = (distance_sum(evidence(weight)).double() - naive(weight)).abs() / naive(weight)
    assert error.max() < 1e-6


def test_fpgm_of_equal_filters_is_exactly_zero():
    weight = torch.randn(1, 27, generator=torch.Generator().manual_seed(4)).repeat(9, 1)
    assert distance_sum(evidence(weight)).tolist() == [0.0] * 9
    assert distance_to_median(evidence(weight)).tolist() == [0.0] * 9


def test_the_distance_of_a_filter_to_itself_adds_nothing():
    weight = torch.randn(8, 4608, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    torch.testing.assert_close(distance_sum(evidence(weight)), naive(weight), rtol=1e-12, atol=0)


def test_fpgm_of_three_points_on_a_line():
    assert distance_sum(evidence(torch.tensor([[0.0], [1.0], [3.0]]))).tolist() == [4.0, 3.0, 5.0]


def test_the_geometric_median_of_a_square_with_a_far_corner_pair():
    weight = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    torch.testing.assert_close(distance_to_median(evidence(weight)), torch.tensor([1.0, 1.0, 2.0, 2.0]))


def test_the_median_is_no_mean():
    # Three of four points lie together: they are the median, wherever the fourth is.
    weight = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [8.0, 6.0]])
    scores = distance_to_median(evidence(weight))
    torch.testing.assert_close(scores, torch.tensor([0.0, 0.0, 0.0, 10.0]), atol=1e-3, rtol=0)


def test_the_published_agreement_of_fpgm_and_fermat():
    from scipy.stats import spearmanr

    for seed in range(20):
        given = evidence(torch.randn(64, 144, generator=torch.Generator().manual_seed(seed)))
        assert spearmanr(distance_sum(given), distance_to_median(given)).statistic > 0.99


def test_cosine_distances_of_three_directions_and_a_zero_filter():
    weight = torch.tensor([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0], [0.0, 0.0]])
    assert cosine_distance_sum(evidence(weight)).tolist() == [3.0, 2.0, 3.0, 0.0]


def test_cosine_knows_no_lengths():
    weight = torch.randn(10, 27, generator=torch.Generator().manual_seed(5))
    scaled = weight * torch.linspace(0.1, 9, 10)[:, None]
    torch.testing.assert_close(cosine_distance_sum(evidence(weight)), cosine_distance_sum(evidence(scaled)))
