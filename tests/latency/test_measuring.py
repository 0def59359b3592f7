"""Operations that are really run, one by one."""

from __future__ import annotations

import coupling_networks
import networks
import pytest
import torch

from prunecli.graph.channel_graph import build_graph
from prunecli.latency.measuring import measure, threads_set
from prunecli.latency.pieces import Piece, Spread, keeping, steps_of, whole


def spread(*shape, order=None, repeated=(), dtype="float32"):
    return Spread(shape, tuple(order or range(len(shape))), repeated, dtype)


def piece(name, *args):
    return Piece(name, args, {}, f"{name}{args}")


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (networks.Plain(), (3, 8, 8)),
        (networks.SqueezeExcite(), (3, 8, 8)),
        (networks.FusedAttention(), (3, 8, 8)),
        (networks.Grouped(), (3, 8, 8)),
        (coupling_networks.Recurrent(torch.nn.LSTM(10, 8, batch_first=True), 8), (7, 6)),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, torch.nn.Module) else "",
)
def test_every_operation_runs_by_itself(network, shape):
    graph = build_graph(network, shape)
    removed = {group.name: (0,) for group in graph.prunable if group.channels > 2}
    keeps = (whole, keeping(graph.marked(removed)))
    pieces = {
        each.key: each for keep in keeps for step in steps_of(graph, batch=2) for each in [step.piece(keep)]
    }
    found = measure(list(pieces.values()), device="cpu", threads=1)
    assert set(found) == set(pieces)
    assert all(timing is not None and timing.median > 0 for timing in found.values())


def test_one_that_does_not_run_has_no_seconds():
    bad = piece("aten.mm", spread(2, 3), spread(4, 5))
    good = piece("aten.mm", spread(2, 3), spread(3, 5))
    found = measure([bad, good], device="cpu", threads=None)
    assert found[bad.key] is None
    assert found[good.key].median > 0


def test_tensors_have_the_layout_that_was_traced(monkeypatch):
    seen = {}

    def look(x, y, index):
        seen.update(x=x, y=y, index=index)

    monkeypatch.setattr(torch.ops.aten, "add", look)
    turned, repeated = spread(2, 3, order=(1, 0)), spread(4, 3, repeated=(0,))
    measure([piece("aten.add", turned, repeated, spread(5, dtype="int64"))], device="cpu", threads=None)
    assert (seen["x"].shape, seen["x"].stride()) == ((2, 3), (1, 2))
    assert (seen["y"].shape, seen["y"].stride()) == ((4, 3), (0, 1))
    assert seen["index"].tolist() == [0] * 5


def test_threads_are_put_back():
    before = torch.get_num_threads()
    with threads_set(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
