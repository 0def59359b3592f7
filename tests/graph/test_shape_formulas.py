"""Shapes that are worked out here are those of torch's own kernels, or none."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from prunecli.graph.shape_formulas import FORMULAS, empty_like, like_its_input

aten = torch.ops.aten


def meta(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


def laid_out(found):
    made = found if isinstance(found, (tuple, list)) else (found,)
    return [(tuple(each.shape), each.stride(), each.dtype) for each in made]


PLAIN = ([1, 1], [0, 0], [1, 1], False, [0, 0], 1)
CONVOLUTIONS = [
    (
        meta(2, 8, *[9] * dims),
        meta(*((8, 16 // groups) if transposed else (16, 8 // groups)), *[taps] * dims),
        None,
        [step] * dims,
        [pad] * dims,
        [gap] * dims,
        transposed,
        [1 if transposed and step == 2 else 0] * dims,
        groups,
    )
    for dims, groups, transposed, taps, step, pad, gap in product(
        (1, 2, 3), (1, 4, 8), (False, True), (1, 3), (1, 2), (0, 1), (1, 2)
    )
]
CASES = [
    *((aten.convolution.default, args) for args in CONVOLUTIONS),
    (aten.native_batch_norm.default, (meta(2, 8, 5, 5), *[meta(8)] * 4, True, 0.1, 1e-5)),
    (aten.native_batch_norm.default, (meta(2, 8, 5, 5).to(torch.bfloat16), *[meta(8)] * 4, False, 0.1, 1e-5)),
    (aten.native_layer_norm.default, (meta(2, 3, 8), [8], meta(8), meta(8), 1e-5)),
    (aten.native_layer_norm.default, (meta(2, 8, 3).transpose(1, 2), [8], None, None, 1e-5)),
    (aten.native_layer_norm.default, (meta(2, 3, 4, 8), [4, 8], meta(4, 8), meta(4, 8), 1e-5)),
    *(
        (aten.mean.dim, (meta(2, 3, 4, 5), dims, keep))
        for dims in ([2, 3], [-1], [1])
        for keep in (True, False)
    ),
    (aten.addmm.default, (meta(5), meta(3, 4), meta(4, 5))),
    (aten.cat.default, ([meta(2, 3, 4), meta(2, 1, 1).expand(2, 1, 4)], 1)),
    (aten.cat.default, ([meta(2, 3, 4, 4), meta(2, 5, 4, 4)], -3)),
    *(
        (aten.max_pool2d_with_indices.default, (meta(2, 3, 9, 9), [taps, taps], [step, step], [pad, pad]))
        for taps, step, pad in ((2, 2, 0), (3, 2, 1), (3, 1, 1))
    ),
    (aten.avg_pool2d.default, (meta(2, 3, 9, 9), [2, 2], [2, 2])),
    (aten.avg_pool2d.default, (meta(2, 3, 9, 9), [3, 3], [1, 1], [1, 1])),
]


@pytest.mark.parametrize(("func", "args"), CASES)
def test_a_formula_gives_what_torch_gives(func, args):
    assert laid_out(FORMULAS[func](*args)) == laid_out(func(*args))


@pytest.mark.parametrize(
    ("func", "args"),
    [
        (aten.convolution.default, (meta(2, 8, 9, 9), meta(16, 7, 3, 3), None, *PLAIN)),
        (aten.convolution.default, (meta(2, 8, 2, 2), meta(16, 8, 3, 3), None, *PLAIN)),
        (aten.native_layer_norm.default, (meta(2, 3, 8), [7], meta(7), meta(7), 1e-5)),
        (aten.addmm.default, (meta(5), meta(3, 4), meta(3, 5))),
        (aten.cat.default, ([meta(2, 3, 4), meta(2, 3, 5)], 1)),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_left_to_torch_which_refuses_it(func, args):
    assert FORMULAS[func](*args) is None
    with pytest.raises((RuntimeError, ValueError)):
        func(*args)


def test_element_wise_operations_have_the_shape_of_their_inputs():
    x, row = meta(2, 3, 4), meta(4)
    turned = meta(2, 4, 3).transpose(1, 2)
    for func, args in (
        (aten.relu.default, (turned,)),
        (aten.add.Tensor, (x, row)),
        (aten.mul.Tensor, (x, meta(2, 1, 1))),
        (aten.hardtanh.default, (x, 0.0, 6.0)),
    ):
        assert laid_out(like_its_input(func, args, {})) == laid_out(func(*args))
    assert like_its_input(aten.relu_.default, (x,), {}) is x
    assert like_its_input(aten.add_.Tensor, (x, row), {}) is None  # whether it fits, torch says
    assert like_its_input(aten.add.Tensor, (x, meta(3)), {}) is None
    assert like_its_input(aten.add.Tensor, (x, meta(2, 3, 4, dtype=torch.float64)), {}) is None
    assert like_its_input(aten.add.Tensor, (x, torch.ones(4)), {}) is None


def test_a_like_tensor_keeps_the_order_of_dimensions():
    for x in (meta(2, 3, 4), meta(2, 4, 3).transpose(1, 2), meta(2, 1, 3).expand(2, 4, 3), meta(4, 1)):
        assert laid_out(empty_like(x)) == laid_out(torch.empty_like(x))
