"""Products without the terms of removed channels are the products with zeros there."""

from __future__ import annotations

import pytest
import torch

from prunecli.surgery.products import ENOUGH_ROWS, pairing_of, product_of_kept

aten = torch.ops.aten
GONE, KEPT = torch.tensor([1, 2, 6]), torch.tensor([0, 3, 4, 5, 7])


def random(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def convolution(x, weight, *, transposed=False, groups=1):
    return (x, weight, None, [1, 1], [0, 0], [1, 1], transposed, [0, 0], groups)


CASES = {
    "mm": (aten.mm.default, (random(100, 8), random(8, 5)), 0, 1),
    "few rows": (aten.mm.default, (random(3, 8), random(8, 5)), 0, 1),
    "addmm": (aten.addmm.default, (random(5), random(100, 8), random(8, 5)), 1, 1),
    "bmm": (aten.bmm.default, (random(2, 100, 8), random(2, 8, 5)), 0, 2),
    "few rows of many": (aten.bmm.default, (random(100, 3, 8), random(100, 8, 5)), 0, 2),
    "convolution": (aten.convolution.default, convolution(random(2, 8, 9, 9), random(5, 8, 3, 3)), 0, 1),
    "transposed": (
        aten.convolution.default,
        convolution(random(2, 8, 9, 9), random(8, 5, 3, 3), transposed=True),
        0,
        1,
    ),
}


@pytest.mark.parametrize(("function", "args", "place", "dim"), CASES.values(), ids=CASES)
def test_leaving_out_is_what_zeros_do(function, args, place, dim):
    zeroed = list(args)
    zeroed[place] = args[place].index_fill(dim, GONE, 0)
    pairing = pairing_of(str(function.overloadpacket), args)
    found = product_of_kept(function, args, {}, pairing, KEPT)
    torch.testing.assert_close(found, function(*zeroed))
    assert not torch.allclose(found, function(*args))


def test_grouped_convolutions_and_sums_are_no_plain_products():
    assert (
        pairing_of("aten.convolution", convolution(random(1, 8, 3, 3), random(8, 4, 1, 1), groups=2)) is None
    )
    assert pairing_of("aten.sum", (random(8),)) is None


def test_what_is_no_number_at_removed_positions_is_left_out_or_handed_back():
    weight = random(8, 5)
    weight[GONE] = float("nan")
    for rows, found in ((ENOUGH_ROWS, True), (2, False)):
        args = (random(rows, 8), weight)
        product = product_of_kept(aten.mm.default, args, {}, pairing_of("aten.mm", args), KEPT)
        assert (product is not None) is found
