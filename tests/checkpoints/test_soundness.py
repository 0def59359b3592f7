from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunecli.checkpoints.soundness import dense_tensors, overlaps_itself, refuse_nonfinite
from prunecli.errors import InputRefused


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch._empty_affine_quantized([2], scale=0.1, zero_point=0, dtype=torch.qint8)


ODD = {
    "a sparse tensor": torch.eye(2).to_sparse(),
    "a quantised tensor": quantised(),
    "a complex tensor": torch.ones(2, dtype=torch.complex64),
    "without data": torch.ones(2, device="meta"),
    "a float8 tensor": torch.ones(2).to(torch.float8_e4m3fn),
    "elements overlap": torch.ones(1).expand(3),
    "8 bits": torch.ones(2, 2, dtype=torch.int8),
}


@pytest.mark.parametrize(("words", "tensor"), ODD.items(), ids=ODD.keys())
def test_a_tensor_that_cannot_be_worked_on_is_named(words, tensor):
    with pytest.raises(InputRefused, match=words) as refused:
        dense_tensors("x.pt", {"good": torch.ones(2), "odd.weight": tensor, "odd2.weight": tensor})
    assert "the tensor odd.weight is" in refused.value.message
    assert "2 tensors cannot be used: odd.weight, odd2.weight" in refused.value.hints


def test_dense_tensors_come_back_detached():
    given_ = {
        "w": torch.nn.Parameter(torch.ones(2)),
        "mask": torch.ones(4, dtype=torch.uint8),
        "t": torch.eye(3).T,
    }
    made = dense_tensors("x", given_)
    assert list(made) == ["w", "mask", "t"]
    assert not made["w"].requires_grad
    assert type(made["w"]) is torch.Tensor


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7)), min_size=1, max_size=3))
def test_views_that_are_taken_never_reach_one_element_twice(dimensions):
    shape, stride = zip(*dimensions, strict=True)
    places = torch.as_strided(torch.arange(64), shape, stride).reshape(-1)
    if not overlaps_itself(shape, stride):
        assert places.unique().numel() == places.numel()


def test_contiguous_and_transposed_tensors_do_not_overlap():
    for tensor in (
        torch.ones(2, 3, 4),
        torch.ones(2, 3).T,
        torch.ones(4, 1, 5),
        torch.ones(6)[::2],
        torch.ones(0, 3),
    ):
        assert not overlaps_itself(tensor.shape, tensor.stride())


def test_nan_and_infinity_are_counted_by_name():
    tensors = {
        "a": torch.tensor([1.0, float("nan"), float("inf")]),
        "b": torch.tensor([float("-inf")]).half(),
    }
    with pytest.raises(InputRefused, match=r"a holds 1 NaN and 1 infinite of 3 numbers") as refused:
        refuse_nonfinite("x.pt", tensors)
    assert "2 tensors not finite: a, b" in refused.value.hints


def test_finite_tensors_empty_ones_whole_numbers_and_masks_pass():
    mask = torch.tensor([0.0, float("-inf")])
    big = torch.full((4,), 60000.0).half()
    refuse_nonfinite(
        "x", {"a": torch.ones(2), "e": torch.ones(0), "i": torch.tensor(3), "attn_mask": mask, "h": big}
    )
