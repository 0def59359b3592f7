"""Shapes that are remembered are those that torch gives, and what may not be remembered is not."""

from __future__ import annotations

import networks
import pytest
import torch
from torch.nn import functional

from prunecli.graph import meta_shapes
from prunecli.graph.meta_shapes import OnShapes, run_on_shapes

aten = torch.ops.aten


@pytest.fixture
def known(monkeypatch):
    found = {}
    monkeypatch.setattr(meta_shapes, "_known", found)
    return found


def laid_out(tensor):
    return tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device.type


def empty(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


# Operations whose results are laid out in all kinds of ways.
def operations(x):
    yield functional.conv2d(x, empty(8, 6, 3, 3), stride=2)
    yield functional.conv2d(x.to(memory_format=torch.channels_last), empty(8, 6, 3, 3))
    yield functional.batch_norm(x, empty(6), empty(6), empty(6), empty(6))
    yield functional.batch_norm(x, empty(6), empty(6), empty(6), empty(6), training=True)
    yield x.transpose(1, 2) + 1
    yield x.transpose(1, 2) + x.transpose(1, 2)
    yield x + x.transpose(2, 3)
    yield x[:1] + x
    yield x * 2.0
    yield x.relu()
    yield x > 0
    yield x.permute(0, 2, 3, 1).contiguous()
    yield from torch.max(x, dim=1)
    yield x.flatten(1) @ empty(6 * 64, 5)
    yield torch.cat([x, x.half().float()], 1)
    yield x.half() * x.half()
    yield x.to(torch.bfloat16).sigmoid()
    yield x.sum(1, dtype=torch.float64)
    yield functional.gelu(x.expand(2, 6, 8, 8))
    yield x[..., ::2].tanh()


def test_a_remembered_result_is_laid_out_as_the_real_one(known):
    x = empty(1, 6, 8, 8)
    expected = [laid_out(each) for each in operations(x)]
    with OnShapes():
        first = [laid_out(each) for each in operations(x)]
        count = len(known)
        again = [laid_out(each) for each in operations(x)]
    assert first == again == expected
    assert 0 < len(known) == count


def test_other_shapes_types_layouts_and_numbers_are_other_entries(known):
    asked = [
        (empty(2, 3), 1), (empty(3, 2), 1), (empty(3, 2).t(), 1), (empty(2, 3, dtype=torch.float64), 1),
        (empty(2, 3), 0),
    ]  # fmt: skip
    for x, dim in asked:
        assert laid_out(run_on_shapes(aten.cumsum.default, (x, dim), {})) == laid_out(torch.cumsum(x, dim))
    assert len(known) == len(asked)
    for x, dim in asked:
        run_on_shapes(aten.cumsum.default, (x, dim), {})
    assert len(known) == len(asked)


def test_true_and_one_are_not_taken_for_each_other(known):
    x = empty(2, 3, 4)
    one = run_on_shapes(aten.sum.dim_IntList, (x, [1], True), {})
    other = run_on_shapes(aten.sum.dim_IntList, (x, [1], False), {})
    assert (one.shape, other.shape) == ((2, 1, 4), (2, 4))


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (aten.add_.Tensor, (empty(2), empty(2))),
        (aten.sigmoid_.default, (empty(2),)),
        # gives new tensors, and writes into the statistics as well
        (
            aten._native_batch_norm_legit.default,
            (empty(2, 3, 4, 4), empty(3), empty(3), empty(3), empty(3), True, 0.1, 1e-5),
        ),
        (aten.t.default, (empty(2, 3),)),
        (aten.view.default, (empty(2, 3), [6])),
        (aten.cumsum.default, (torch.ones(3), 0)),
        (aten.add.Tensor, (empty(2), torch.ones(()))),
        (aten._local_scalar_dense.default, (torch.ones(()),)),
    ],
)
def test_what_writes_in_place_shares_memory_or_has_values_is_not_remembered(known, function, args):
    result = run_on_shapes(function, args, {})
    assert known == {}
    if str(function.overloadpacket).endswith("_"):
        assert result is args[0]
    elif isinstance(result, torch.Tensor) and not result.is_meta:
        assert torch.equal(result, torch.tensor([1.0, 2.0, 3.0]))


def test_each_result_is_a_tensor_of_its_own(known):
    x = empty(2, 3)
    assert run_on_shapes(aten.relu.default, (x,), {}) is not run_on_shapes(aten.relu.default, (x,), {})


def test_memory_is_bounded(known, monkeypatch):
    monkeypatch.setattr(meta_shapes, "REMEMBERED", 3)
    for size in range(1, 8):
        run_on_shapes(aten.cumsum.default, (empty(size), 0), {})
    assert len(known) <= 3


def test_a_network_runs_as_without(known):
    model = networks.Plain().to("meta").eval()
    x = empty(2, 3, 8, 8)
    with torch.no_grad(), OnShapes():
        assert laid_out(model(x)) == laid_out(model(x)) == ((2, 5), (5, 1), torch.float32, "meta")
