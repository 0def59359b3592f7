"""Norms against hand arithmetic, and against loops in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prunecli.criteria import rows
from prunecli.criteria.contract import Evidence
from prunecli.criteria.norms import adaptive_magnitude, l1_norm, l2_norm, linf_norm, power_mean
from prunecli.errors import WrongUse


def evidence(weight):
    return Evidence(layer="conv", weight=weight, kernel_shape=tuple(weight.shape))


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


GIVEN = evidence(torch.tensor([[3.0, -4.0], [0.0, 2.0]]))


def test_the_norms_of_two_filters():
    assert l1_norm(GIVEN).tolist() == [7.0, 2.0]
    assert l2_norm(GIVEN).tolist() == [5.0, 2.0]
    assert linf_norm(GIVEN).tolist() == [4.0, 2.0]
    assert power_mean(GIVEN).tolist() == [3.5, 1.0]
    assert power_mean(GIVEN, p=2.0).tolist() == [12.5, 2.0]


@pytest.mark.parametrize("entries", [1, 50, 100, 1 << 19])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_norms_are_those_of_a_loop_in_float64(entries, dtype, monkeypatch):
    monkeypatch.setattr(rows, "PIECE_ENTRIES", entries)
    weight = drawn(13, 45, dtype=dtype)
    filters = weight.double().numpy()
    expected = {
        l1_norm: [sum(abs(w) for w in row) for row in filters],
        l2_norm: [sum(w * w for w in row) ** 0.5 for row in filters],
        linf_norm: [max(abs(w) for w in row) for row in filters],
        power_mean: [sum(abs(w) for w in row) / 45 for row in filters],
    }
    for norm, values in expected.items():
        np.testing.assert_allclose(norm(evidence(weight)).double().numpy(), values, rtol=1e-6)
    cubes = [sum(abs(w) ** 3 for w in row) / 45 for row in filters]
    np.testing.assert_allclose(power_mean(evidence(weight), p=3).double().numpy(), cubes, rtol=1e-6)


def test_the_norms_leave_the_weights_as_they_are():
    weight = drawn(6, 20)
    before = weight.clone()
    for norm in (l1_norm, l2_norm, linf_norm, power_mean, adaptive_magnitude):
        norm(evidence(weight))
    assert torch.equal(weight, before)


@pytest.mark.parametrize(
    ("size", "dtype"), [(1e30, torch.float32), (1e-30, torch.float32), (1e200, torch.float64)]
)
def test_lengths_whose_squares_overflow_or_vanish(size, dtype):
    weight = torch.tensor([[3.0, 4.0], [0.0, 0.0], [5.0, 12.0]], dtype=dtype) * size
    torch.testing.assert_close(
        l2_norm(evidence(weight)), torch.tensor([5.0, 0.0, 13.0], dtype=dtype) * size, rtol=1e-6, atol=0
    )


def test_one_filter_beyond_the_range_leaves_the_others_as_they_are():
    weight = torch.stack([torch.full((9,), 1e25), torch.full((9,), 2.0), torch.full((9,), 1e-25)])
    torch.testing.assert_close(l2_norm(evidence(weight)), torch.tensor([3e25, 6.0, 3e-25]))


def test_a_score_beyond_the_range_is_the_largest_number():
    most = torch.finfo(torch.float32).max
    weight = torch.full((2, 100), most)
    for norm in (l1_norm, l2_norm, linf_norm, power_mean):
        assert norm(evidence(weight)).tolist() == [most, most]
    assert power_mean(evidence(weight), p=9.0).tolist() == [most, most]


def test_a_float16_sum_does_not_overflow():
    weight = torch.full((1, 100), 60000.0, dtype=torch.float16)
    assert l1_norm(evidence(weight)).item() == 100 * float(weight[0, 0])


@pytest.mark.parametrize("p", [0.0, -1.0, float("inf"), float("nan")])
def test_a_power_that_is_none(p):
    with pytest.raises(WrongUse, match="p of lp_mean is a positive number"):
        power_mean(GIVEN, p=p)


def test_the_published_agreement_of_l1_and_l2_under_iid_gaussian_filters():
    from scipy.stats import spearmanr

    agreement, contrast = [], []
    for seed in range(20):
        given = evidence(drawn(64, 144, seed=seed))
        l1, l2 = l1_norm(given), l2_norm(given)
        agreement.append(float(spearmanr(l1, l2).statistic))
        contrast.append(float(l2.std() / l2.mean()))
    assert abs(sum(agreement) / 20 - 0.924) < 0.03
    assert abs(sum(contrast) / 20 - 0.0585) < 0.005


def test_lamp_by_hand():
    # Squares 9, 4 | 1, 0: shares 9/9, 4/13 | 1/14, 0.
    scores = adaptive_magnitude(evidence(torch.tensor([[3.0, -2.0], [1.0, 0.0]])))
    torch.testing.assert_close(scores, torch.tensor([1 + 4 / 13, 1 / 14]))


def test_equal_squares_have_equal_shares_in_lamp():
    # 4, 4 share 4/8 each; 1, 1 share 1/10 each: no order between them is made up.
    scores = adaptive_magnitude(evidence(torch.tensor([[2.0, 1.0], [-1.0, -2.0]])))
    torch.testing.assert_close(scores, torch.tensor([0.6, 0.6]))


@pytest.mark.parametrize("size", [1.0, 1e-30, 1e30])
def test_lamp_is_the_sum_over_all_pairs(size):
    weight = drawn(7, 12).mul(4).round() / 4  # many ties, some zeros
    squares = weight.double().numpy().reshape(-1) ** 2
    shares = [w / sum(v for v in squares if v >= w) for w in squares]
    scores = adaptive_magnitude(evidence(weight * size))
    np.testing.assert_allclose(scores.numpy(), np.reshape(shares, (7, 12)).sum(axis=1), rtol=1e-6)


def test_lamp_of_a_layer_of_zeros_is_zero():
    assert adaptive_magnitude(evidence(torch.zeros(3, 4))).tolist() == [0.0, 0.0, 0.0]
