"""Which widths are liked, from made-up throughputs; and which layers do not keep to it."""

from __future__ import annotations

import math

import networks
import pytest
import torch

from prunecli.graph.channel_graph import build_graph
from prunecli.latency import widths
from prunecli.latency.timing import Timing
from prunecli.latency.widths import liked_widths, slow_widths

SHAPE = (3, 8, 8)


def in_blocks_of(block, *, growing=0.0):
    """Seconds of a machine that works on whole blocks of channels, quicker the more there are."""

    def measure(pieces, *, device, threads):
        found = {}
        for piece in pieces:
            outwards, inwards = piece.args[1].shape[:2]
            work = math.prod(-(-width // block) * block for width in (outwards, inwards) if width > 1)
            found[piece.key] = Timing((work / (1 + growing * outwards),) * 3)
        return found

    return measure


@pytest.mark.parametrize("block", [1, 2, 8, 16])
@pytest.mark.parametrize("growing", [0.0, 0.002])
def test_the_block_is_found(monkeypatch, block, growing):
    monkeypatch.setattr(widths, "measure", in_blocks_of(block, growing=growing))
    found = liked_widths(build_graph(networks.Plain(), SHAPE))
    assert found.multiple == (block if block > 2 else 1)  # a block of two costs odd widths 3 %
    assert found.throughput[32] == pytest.approx(1.0, abs=0.01)


def test_what_was_found_is_said(monkeypatch):
    graph = build_graph(networks.Plain(), SHAPE)
    monkeypatch.setattr(widths, "measure", in_blocks_of(8))
    assert liked_widths(graph).remark == (
        "this machine likes multiples of 8 channels: odd widths lose about 12%"
    )
    monkeypatch.setattr(widths, "measure", in_blocks_of(1))
    assert "at any width" in liked_widths(graph).remark


def test_layers_are_tried_as_the_network_has_them(monkeypatch):
    seen = []

    def measure(pieces, *, device, threads):
        seen.append((pieces[0].key, pieces[-1].key, device, threads))
        return {piece.key: Timing((1.0,)) for piece in pieces}

    monkeypatch.setattr(widths, "measure", measure)
    liked_widths(build_graph(networks.Plain(), SHAPE), threads=2)
    ((first, last, device, threads),) = seen  # the linear layer does next to nothing
    assert (device, threads) == ("cpu", 2)
    assert first.startswith("aten.convolution(float32[4x32x8x8], float32[32x32x3x3], None, [1, 1], [1, 1]")
    assert last.startswith("aten.convolution(float32[4x96x8x8], float32[96x96x3x3]")


def test_linear_layers_are_products():
    (kind,) = widths._heaviest_kinds(build_graph(torch.nn.Linear(6, 5), (7, 6)))
    assert kind.piece(32, 4).key == "aten.mm(float32[1024x32], float32[32x32])"


def test_one_depthwise_layer_is_tried_beside_the_heaviest():
    kinds = widths._heaviest_kinds(build_graph(networks.Depthwise(), SHAPE))
    assert [(kind.side, kind.kernel, kind.depthwise) for kind in kinds] == [
        (8, (1, 1), False),
        (8, (3, 3), True),
    ]
    assert "float32[50x1x3x3], None, [1, 1], [1, 1], [1, 1], False, [0, 0], 50" in kinds[1].piece(50, 4).key


def test_the_kind_that_asks_for_most_decides(monkeypatch):
    def measure(pieces, **settings):
        depthwise = pieces[0].args[-1] == 32
        return in_blocks_of(16 if depthwise else 1)(pieces, device="cpu", threads=1)

    monkeypatch.setattr(widths, "measure", measure)
    assert liked_widths(build_graph(networks.Depthwise(), SHAPE)).multiple == 16
    assert liked_widths(build_graph(networks.Plain(), SHAPE)).multiple == 1


def test_layers_that_do_not_run_are_left_out(monkeypatch):
    monkeypatch.setattr(widths, "measure", lambda pieces, **_: {piece.key: None for piece in pieces})
    assert liked_widths(build_graph(networks.Plain(), SHAPE)).multiple == 1


@pytest.mark.parametrize(
    ("removed", "slow"),
    [
        ({}, ()),
        ({"conv1": range(4)}, ()),
        ({"conv1": range(3)}, ("conv1",)),
        ({"conv1": range(3), "conv2": range(1)}, ("conv1", "conv2")),
    ],
)
def test_layers_that_keep_odd_widths(removed, slow):
    found = slow_widths(build_graph(networks.Plain(), SHAPE), removed, multiple=4)
    assert found.layers == slow
    assert len(found.remarks) == bool(slow)


def test_the_advice_counts_layers():
    graph = build_graph(networks.Plain(), SHAPE)
    two = slow_widths(graph, {"conv1": range(3), "conv2": range(1)}, multiple=8)
    assert two.remarks == ("2 layers keep widths that are no multiple of 8; expect less than the MAC ratio",)
    one = slow_widths(graph, {"conv1": range(3)}, multiple=8)
    assert one.remarks == ("1 layer keeps a width that is no multiple of 8; expect less than the MAC ratio",)
