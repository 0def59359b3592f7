"""Single tensors are cut as the whole network is, piece by piece."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import networks
import numpy as np
import pytest
import torch

from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.plan import Cut, Plan, Scaling
from prunecli.surgery.planning import make_plan
from prunecli.surgery.single_tensors import (
    Change,
    changes_of,
    cut_pieces,
    first_names,
    is_of_single_tensors,
    last_names,
    row_spans,
    taken,
)


@pytest.mark.parametrize("network", [networks.Residual, networks.GroupedTransposed, networks.FusedAttention])
@pytest.mark.parametrize("most_bytes", [1, 200, 1 << 20])
def test_pieces_put_together_are_the_cut_tensor(network, most_bytes):
    model = networks.randomised(network())
    graph = build_graph(model, (3, 8, 8))
    plan = make_plan(graph, {g.name: range(0, g.channels, 2) for g in graph.prunable}).plan
    changes, first = changes_of(plan), first_names(model)
    small = carry_out(plan, copy.deepcopy(model)).state_dict()
    assert plan.cuts
    for name, tensor in model.state_dict().items():
        change = changes.get(first[name], Change())
        pieces = list(cut_pieces(tensor, change, tensor.dtype, most_bytes=most_bytes))
        found = torch.cat([piece.reshape(-1) for piece in pieces])
        assert torch.equal(found, small[name].reshape(-1))
        if tensor.dim():
            row = tensor[0].numel() * tensor.element_size()
            assert all(piece.numel() * piece.element_size() <= max(row, most_bytes) for piece in pieces)


@pytest.mark.parametrize("dtype", [torch.bool, torch.bfloat16, torch.float32, torch.float64])
def test_positions_are_taken_in_every_type(dtype):
    tensor = (torch.arange(24).reshape(2, 3, 4) % 3).to(dtype)
    for axis in range(3):
        found = taken(tensor, axis, np.array([1]))
        assert found.dtype == dtype
        assert torch.equal(found, tensor.index_select(axis, torch.tensor([1])))


def test_spans_cover_the_rows_once():
    assert list(row_spans(torch.zeros(7, 3), 24)) == [(0, 2), (2, 4), (4, 6), (6, 7)]
    assert list(row_spans(torch.zeros(2, 300), 24)) == [(0, 1), (1, 2)]
    assert list(row_spans(torch.zeros(0, 3), 24)) == []


def test_a_tied_tensor_has_the_first_name_in_plans_and_the_numbers_of_the_last():
    model = networks.TiedWeights()
    names = [name for name, other in first_names(model).items() if name != other]
    assert names
    assert all(last_names(model)[first_names(model)[name]] == name for name in names)


def test_scaled_rows_are_those_of_the_whole_network():
    model = networks.randomised(networks.Plain()).bfloat16()
    scalings = (Scaling("conv2.weight", 0, (1, 3), 1.3), Scaling("conv2.weight", 1, (0, 5), 0.7))
    plan = Plan(cuts=(Cut("conv2.weight", 0, 6, (0, 2)), Cut("conv2.weight", 1, 8, (5,))), scalings=scalings)
    expected = carry_out(plan, copy.deepcopy(model)).conv2.weight
    pieces = cut_pieces(
        model.conv2.weight.detach().float(), changes_of(plan)["conv2.weight"], torch.bfloat16, most_bytes=700
    )
    assert torch.equal(torch.cat(list(pieces)), expected)


def test_a_plan_that_does_more_is_known():
    @dataclass(frozen=True)
    class Stranger(Plan):
        joins: tuple[str, ...] = ()

    assert is_of_single_tensors(Plan())
    assert is_of_single_tensors(Stranger())
    assert not is_of_single_tensors(Stranger(joins=("a",)))
