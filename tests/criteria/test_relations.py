"""Distances between filters against naive sums in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from prunecli.criteria import relations
from prunecli.criteria.contract import Evidence
from prunecli.criteria.relations import cosine_distance, distance_sum, distance_to_median, mean_distance
from prunecli.errors import WrongUse


def evidence(weight):
    return Evidence(layer="conv", weight=weight, kernel_shape=tuple(weight.shape))


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def naive(weight):
    rows = weight.double()
    return torch.stack([(rows - row).norm(dim=1).sum() for row in rows])


def near_copies():
    return drawn(1, 576) + 1e-6 * drawn(48, 576, seed=1)


def two_heaps():
    return (5 * drawn(2, 144)).repeat_interleave(20, dim=0) + 1e-5 * drawn(40, 144, seed=1)


def copies_and_an_outlier():
    weight = torch.ones(64, 30) + 1e-6 * drawn(64, 30)
    weight[0] += 100
    return weight


def gaussian():
    return drawn(64, 144) + 10


def lengths_of_many_sizes():
    return drawn(60, 64) * torch.logspace(-6, 3, 60)[:, None]


def mostly_dead():
    return drawn(50, 90) * torch.where(torch.arange(50) % 5 == 0, 1.0, 1e-9)[:, None]


def pairs_of_copies():
    return drawn(30, 200).repeat_interleave(2, dim=0) + 1e-4 * drawn(60, 200, seed=1)


def enormous():
    return drawn(20, 30) * 1e30


def tiny():
    return drawn(20, 30) * 1e-30


def wide():
    return drawn(40, 20000)


HARD = [
    near_copies, two_heaps, copies_and_an_outlier, gaussian, lengths_of_many_sizes, mostly_dead,
    pairs_of_copies, enormous, tiny, wide,
]  # fmt: skip


@pytest.mark.parametrize("make", HARD, ids=lambda make: make.__name__)
@pytest.mark.parametrize("side", [1, 7, 256])
def test_fpgm_is_the_naive_distance_sum(make, side, monkeypatch):
    monkeypatch.setattr(relations, "TILE_FILTERS", side)
    weight = make()
    error = (distance_sum(evidence(weight)).double() - naive(weight)).abs() / naive(weight)
    assert error.max() < 1e-5
    assert mean_distance(evidence(weight)).double() * (len(weight) - 1) == pytest.approx(
        naive(weight), rel=1e-5
    )


@pytest.mark.parametrize("make", HARD, ids=lambda make: make.__name__)
def test_the_bound_of_the_error_of_float32_sums_holds(make):
    weight = make()
    sums, bound = relations._quick_sums(weight)
    known = torch.isfinite(bound)
    error = (sums - naive(weight)).abs() / naive(weight)
    assert (error[known] <= bound[known]).all()


def test_float32_sums_of_near_copies_would_be_wrong():
    weight = two_heaps()
    sums, bound = relations._quick_sums(weight)
    assert ((sums - naive(weight)).abs() / naive(weight)).max() > 1e-4
    assert not (bound <= relations.DOUBTFUL).any()


def test_float32_sums_of_gaussian_filters_are_trusted_wherever_their_mean_is():
    _, bound = relations._quick_sums(drawn(300, 1152) + 10)
    assert (bound <= relations.DOUBTFUL).all()


def test_fpgm_of_equal_filters_is_exactly_zero():
    weight = drawn(1, 27).repeat(9, 1)
    for score in (distance_sum, mean_distance, distance_to_median):
        assert score(evidence(weight)).tolist() == [0.0] * 9


def test_the_distance_of_a_filter_to_itself_adds_nothing():
    weight = drawn(8, 4608).double()
    torch.testing.assert_close(distance_sum(evidence(weight)), naive(weight), rtol=1e-12, atol=0)


def test_fpgm_of_three_points_on_a_line():
    given = evidence(torch.tensor([[0.0], [1.0], [3.0]]))
    assert distance_sum(given).tolist() == [4.0, 3.0, 5.0]
    assert mean_distance(given).tolist() == [2.0, 1.5, 2.5]


def test_the_only_filter_of_a_layer_is_far_from_nobody():
    given = evidence(torch.ones(1, 4))
    for score in (distance_sum, mean_distance, distance_to_median, cosine_distance):
        assert score(given).tolist() == [0.0]


class LargestTensor(TorchDispatchMode):
    """Elements of the largest tensor that an operation makes."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        made = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.elements = max(self.elements, *made, 0)
        return result


@pytest.mark.parametrize("copies", [False, True])
def test_fpgm_works_in_tiles_of_bounded_size(copies):
    weight = drawn(1000, 4)
    weight = weight[:1] + 1e-6 * weight if copies else weight
    with LargestTensor() as seen:
        distance_sum(evidence(weight))
    assert seen.elements <= relations.tile_side(weight) ** 2


def test_the_geometric_median_of_a_square_with_a_far_corner_pair():
    weight = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    torch.testing.assert_close(distance_to_median(evidence(weight)), torch.tensor([1.0, 1.0, 2.0, 2.0]))


@pytest.mark.parametrize("size", [1.0, 1e-30, 1e30])
def test_the_median_is_no_mean(size):
    # Three of four points lie together: they are the median, wherever the fourth is.
    weight = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [8.0, 6.0]])
    scores = distance_to_median(evidence(weight * size)) / size
    torch.testing.assert_close(scores, torch.tensor([0.0, 0.0, 0.0, 10.0]), atol=1e-3, rtol=0)


def test_no_point_near_the_median_has_a_smaller_sum_of_distances():
    weight = drawn(15, 6).double()
    scores = distance_to_median(evidence(weight))
    # The median is found from its distances to 15 points: least squares of |x|² − 2 x·F_f + |F_f|² = score².
    ones = torch.ones(15, 1, dtype=torch.float64)
    system = torch.cat([-2 * weight, ones], dim=1)
    point = torch.linalg.lstsq(system, (scores.square() - weight.square().sum(1))[:, None]).solution[:6, 0]
    least = (weight - point).norm(dim=1).sum()
    for step in drawn(50, 6, seed=1).double() * 1e-3:
        assert (weight - point - step).norm(dim=1).sum() > least


def test_the_published_agreement_of_fpgm_and_fermat():
    from scipy.stats import spearmanr

    for seed in range(20):
        given = evidence(drawn(64, 144, seed=seed))
        assert spearmanr(distance_sum(given), distance_to_median(given)).statistic > 0.99


def test_cosine_distances_of_three_directions_and_a_zero_filter():
    given = evidence(torch.tensor([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0], [0.0, 0.0]]))
    assert cosine_distance(given).tolist() == [3.0, 2.0, 3.0, 0.0]
    assert cosine_distance(given, how="min").tolist() == [1.0, 1.0, 1.0, 0.0]


def test_the_least_cosine_distance_without_another_direction_is_the_greatest_there_is():
    given = evidence(torch.tensor([[2.0, 0.0], [0.0, 0.0]]))
    assert cosine_distance(given, how="min").tolist() == [2.0, 0.0]


@pytest.mark.parametrize("side", [1, 4, 256])
def test_cosine_distances_are_those_of_a_loop(side, monkeypatch):
    monkeypatch.setattr(relations, "TILE_FILTERS", side)
    weight = drawn(11, 5)
    rows = weight.double().numpy()
    apart = [
        [1 - f @ j / np.linalg.norm(f) / np.linalg.norm(j) for j in np.delete(rows, i, axis=0)]
        for i, f in enumerate(rows)
    ]
    np.testing.assert_allclose(cosine_distance(evidence(weight)), np.sum(apart, axis=1), rtol=1e-6)
    np.testing.assert_allclose(cosine_distance(evidence(weight), how="min"), np.min(apart, axis=1), rtol=1e-6)


@pytest.mark.parametrize("how", ["sum", "min"])
def test_cosine_knows_no_lengths(how):
    weight = drawn(10, 27)
    scaled = weight * torch.logspace(-20, 20, 10)[:, None]
    expected = cosine_distance(evidence(weight), how=how)
    torch.testing.assert_close(cosine_distance(evidence(scaled), how=how), expected)


def test_a_way_that_cosine_does_not_know():
    with pytest.raises(WrongUse, match="how of cosine is sum or min, not max"):
        cosine_distance(evidence(torch.eye(3)), how="max")
