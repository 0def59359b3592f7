"""Every kind of coupling in one place: what leaves, how many parameters stay by arithmetic, and the proof.

The numbers in the comments are those of the parameters that stay, tensor by tensor, in the order of the
network; a convolution of 3x3 with bias has out · (9 · in + 1).
"""

from __future__ import annotations

import copy

import attention_networks as attending
import coupling_networks as more
import networks as tiny
import numpy as np
import pytest
import torch
from torch import nn

from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan
from prunecli.surgery.verification import verify
from prunecli.torchvision_import import load_torchvision

IMAGE, SEQUENCE = (3, 8, 8), (7, 6)


def frozen():
    return more.Frozen(load_torchvision().ops.FrozenBatchNorm2d)


def lstm():
    return more.Recurrent(nn.LSTM(10, 8, 2, bidirectional=True, dropout=0.4), 16)


def projecting_lstm():
    return more.Recurrent(nn.LSTM(10, 8, batch_first=True, proj_size=4), 4)


def gru():
    return more.Recurrent(nn.GRU(10, 8, batch_first=True), 8)


def rnn():
    return more.Recurrent(nn.RNN(10, 8, 2, bias=False, nonlinearity="relu"), 8)


def lstm_cell():
    return more.RecurrentCell(nn.LSTMCell)


def gru_cell():
    return more.RecurrentCell(nn.GRUCell)


# Kind → network, shape of an input, how many channels of which group leave, parameters that stay.
ROWS = {
    # 5·27 + 2·5 + 4·46 + 25
    "chain": (tiny.Plain, IMAGE, {"conv1": 3, "conv2": 2}, 354),
    # 5·28 + 8·46 + 5·73 + 30
    "residual sum": (tiny.Residual, IMAGE, {"stem": 3, "inner": 4}, 903),
    # 3·28 + 5·28 + 2·5 + 30: of eight channels one leaves with the stem and two are new ones
    "padded shortcut": (tiny.PaddedShortcut, IMAGE, {"stem": 1, "down": 2}, 264),
    # 3·28 + 4·28 + 2·7 + 5·64 + 30
    "concatenation": (tiny.Concatenation, IMAGE, {"left": 1, "right": 2, "join": 3}, 560),
    # 3·28 + 3·28 + 2·55 + 45
    "dense concatenation": (tiny.Dense, IMAGE, {"stem": 1, "first": 1, "second": 2}, 323),
    # 6·28 + 3·55 + 2·28 + 6·12 + 35
    "cascaded concatenation": (more.Cascade, IMAGE, {"stem": 2, "first": 1, "second": 2}, 496),
    # 4·28 + 4·28 + 4·37 + 25
    "concatenation along another dimension": (more.JoinedInWidth, IMAGE, {"left": 2}, 397),
    # 7·28 + 4·28 + 4·37 + 25
    "split": (more.SplitBySizes, IMAGE, {"stem": 1, "stem#2": 2, "left": 2}, 481),
    # 6·28 + 4·28 + 25
    "chunk": (tiny.Chunk, IMAGE, {"stem": 1, "left": 2}, 305),
    # 5·28 + 6·19 + 6·28 + 35
    "slice": (more.Sliced, IMAGE, {"stem": 1, "stem#2": 2}, 457),
    # 6·28 + 3·28 + 20
    "strided slice": (tiny.StridedSlice, IMAGE, {"stem": 1, "next": 1}, 272),
    # 6·28 + 4·28 + 3·28 + 40
    "strided halves": (tiny.StridedHalves, IMAGE, {"stem": 1, "even": 2, "odd": 3}, 404),
    # 6·28 + 6·28 + 4·55 + 25
    "channel shuffle": (tiny.ChannelShuffle, IMAGE, {"stem": 1, "mix": 1, "last": 2}, 581),
    # 12·28 + 4·28 + 25
    "pixel shuffle": (tiny.PixelShuffle, IMAGE, {"stem": 1, "last": 2}, 473),
    # 3·28 + 4·109 + 25
    "pixel unshuffle": (more.PixelUnshuffle, IMAGE, {"stem": 1, "next": 2}, 545),
    # 10·28 + 10·19 + 55
    "grouped": (tiny.Grouped, IMAGE, {"stem#2": 3}, 525),
    # 5·3 + 2·5 + 5·10 + 3·6 + 20
    "depthwise": (tiny.Depthwise, IMAGE, {"expand": 3, "project": 1}, 113),
    # 5·28 + 10·10 + 55
    "depthwise with a multiplier": (tiny.DepthwiseMultiplier, IMAGE, {"stem": 3}, 295),
    # 5·28 + 5·4·4 + 4 + 25
    "transposed": (tiny.Transposed, IMAGE, {"stem": 3, "up": 2}, 249),
    # 10·28 + 10·3·4 + 15 + 80
    "grouped transposed": (tiny.GroupedTransposed, IMAGE, {"stem": 3}, 495),
    # 4·28 + 6·65 + 35
    "flatten": (tiny.FlattenLinear, IMAGE, {"stem": 2, "linear1": 4}, 537),
    # the same
    "channels-last flatten": (tiny.ChannelsLastFlatten, IMAGE, {"stem": 2, "linear1": 4}, 537),
    # 3·28 + 4·28 + 5·113
    "concatenation then flatten": (tiny.ConcatenationThenFlatten, IMAGE, {"left": 1, "right": 2}, 761),
    # 5·28 + 5·11
    "global pooling": (more.GlobalPooling, IMAGE, {"stem": 3}, 195),
    # 5·28 + 3·6 + 5·4 + 30
    "squeeze-excite": (tiny.SqueezeExcite, IMAGE, {"stem": 3, "down": 1}, 208),
    # 5·28 + 46 + 30
    "gate of one channel": (tiny.OneChannelGate, IMAGE, {"stem": 3}, 216),
    # 5·10 + 46 + 4·10 + 25
    "convolution of one channel": (tiny.OneChannelInput, (1, 8, 8), {"stem": 3, "wide": 2}, 161),
    # 5·28 + 5 + 5 + 30
    "layer scale and a kernel that is a buffer": (tiny.BareParameters, IMAGE, {"stem": 3}, 180),
    # 5·28 + 30
    "blur pool": (more.BlurPool, IMAGE, {"stem": 3}, 170),
    # 10·49 + 10 + 5·10 + 2·10 + 55
    "class token and positions": (more.Tokens, IMAGE, {"embed": 6}, 625),
    # 5·28 + 4·5 + 5·5
    "tied weights": (tiny.TiedWeights, IMAGE, {"stem": 3, "first": 2}, 185),
    # 5·28 + 5·46 + 30
    "layer called several times": (tiny.SharedLayer, IMAGE, {"stem": 3}, 400),
    # the same
    "fixed-point cell": (more.FixedPoint, IMAGE, {"stem": 3}, 400),
    # 10·4 + 60·11 + 10·21 + 55
    "fused attention": (tiny.FusedAttention, IMAGE, {"embed": 6, "qkv": 3}, 965),
    # 10·4 + 3·20·11 + 10·21 + 55
    "separate attention": (attending.SeparateAttention, IMAGE, {"embed": 6, "query": 3}, 965),
    # the same
    "scaled_dot_product_attention": (attending.ScaledDotProduct, IMAGE, {"embed": 6, "query": 3}, 965),
    # 10·4 + 24·11 + 2·8·11 + 10·25 + 55: of four queries on each head of keys one leaves
    "grouped queries": (attending.GroupedQueries, IMAGE, {"embed": 6, "query#3": 1}, 785),
    # 20·4 + 2·20 + 60·21 + 20·21 + 105
    "MultiheadAttention": (tiny.TorchAttention, IMAGE, {"embed": 12, "attention": 3}, 1905),
    # 10·4 + 60·11 + 10·21 + 49·5 + 55
    "relative positions": (attending.RelativePosition, (3, 4, 4), {"embed": 6, "attention.qkv": 3}, 1210),
    # the same
    "windows and roll": (attending.ShiftedWindows, IMAGE, {"embed": 6, "attention.qkv": 3}, 1210),
    # 5·28 + 2·5 + 30
    "LayerNorm": (tiny.LayerNorm, IMAGE, {"stem": 3}, 180),
    # 10·28 + 2·10 + 55: a slot of both groups
    "GroupNorm": (tiny.GroupNorm, IMAGE, {"stem#2": 3}, 355),
    # the same: three of eight groups, whole
    "groups of GroupNorm": (more.EightGroups, IMAGE, {"stem": 3}, 355),
    # 5·28 + 2·5 + 5 + 4·46 + 25
    "InstanceNorm and PReLU": (tiny.PerChannelNorms, IMAGE, {"stem": 3, "next": 2}, 364),
    # 5·28 + 5 + 30
    "RMSNorm": (more.RMSNorm, IMAGE, {"stem": 3}, 175),
    # 5·28 + 30
    "norms without scale": (more.NormsWithoutScale, IMAGE, {"stem": 3}, 170),
    # 5·28 + 5 + 5 + 30
    "GRN": (more.ResponseNorm, IMAGE, {"stem": 3}, 180),
    # 5·27 + 4·46 + 25
    "FrozenBatchNorm2d": (frozen, IMAGE, {"stem": 3, "next": 2}, 344),
    # 5·28 + 4·46 + 25
    "softmax over channels": (tiny.OverChannels, IMAGE, {"stem": 3, "next": 2}, 349),
    # 5·28 + 6·45 + 35
    "standardised weight": (tiny.WeightStandardised, IMAGE, {"stem": 3}, 445),
    # 5·(1 + 27 + 1) + 4·(1 + 45 + 1) + 3·37 + 20
    "parametrised weights": (more.Parametrised, IMAGE, {"stem": 3, "next": 2, "last": 1}, 464),
    # 8·28 + 4·73 + 25: filters of the weight itself
    "spectral norm": (more.SpectralNorm, IMAGE, {"next": 2}, 541),
    # 5·28 + 4·5 + 5·4
    "functional layers": (more.Functional, IMAGE, {"kernel": 3, "matrix": 2}, 180),
    # 5·28 + 4·5 + 4·37 + 25
    "einsum": (more.Einsum, IMAGE, {"stem": 3, "mix": 2}, 333),
    # 9·28 + 2·28 + 6·9 + 35
    "partial convolution": (more.PartialConvolution, IMAGE, {"stem": 1, "stem#2": 2, "partial": 2}, 397),
    # 5·28 + 3·46 + 45
    "detached branch": (more.Detached, IMAGE, {"stem": 3, "side": 1}, 323),
    # 5·13 + 8·17 + 16·9 + 14·6 + 5·15 + 30
    "token mixing": (more.TokenMixing, IMAGE, {"embed": 3, "tokens.0": 4, "channels.0": 6}, 534),
    # 6·7 + 2·20·(6 + 5 + 2) + 2·20·(10 + 5 + 2) + 5·11
    "LSTM": (lstm, SEQUENCE, {"embed": 4, "layer": 3}, 1297),
    # 6·7 + 24·(6 + 3 + 2) + 3·6 + 20
    "LSTM with a projection": (projecting_lstm, SEQUENCE, {"embed": 4, "layer": 2, "layer#2": 1}, 344),
    # 6·7 + 15·(6 + 5 + 2) + 30
    "GRU": (gru, SEQUENCE, {"embed": 4, "layer": 3}, 267),
    # 6·7 + 5·(6 + 5) + 5·(5 + 5) + 30
    "RNN": (rnn, SEQUENCE, {"embed": 4, "layer": 3}, 177),
    # 20·(6 + 5 + 2) + 30
    "LSTMCell": (lstm_cell, SEQUENCE, {"cell": 3}, 290),
    # 15·(6 + 5 + 2) + 30
    "GRUCell": (gru_cell, SEQUENCE, {"cell": 3}, 225),
    # 11·10 + 15·11 + 10·16
    "embedding and tied head": (more.TiedHead, (6,), {"down": 6, "up": 9}, 435),
    # 5·28 + 5·28 + 30
    "two inputs": (more.TwoInputs, IMAGE, {"left": 3}, 310),
    # 5·28 + 30 + 6·46
    "two outputs in a dict": (tiny.TwoOutputs, IMAGE, {"stem": 3}, 446),
}  # fmt: skip


def cut(network, shape, leaving, *, seed=0):
    """The network, its graph, what was planned, and the cut network."""
    model = tiny.randomised(network())
    graph = build_graph(model, shape)
    generator = np.random.default_rng(seed)
    sizes = {group.name: group.channels for group in graph.prunable}
    chosen = {name: sorted(generator.permutation(sizes[name])[:n].tolist()) for name, n in leaving.items()}
    planned = make_plan(graph, chosen)
    return model, graph, planned, carry_out(planned.plan, copy.deepcopy(model))


@pytest.mark.parametrize(("network", "shape", "leaving", "left"), ROWS.values(), ids=ROWS)
def test_what_leaves_is_what_arithmetic_says_and_the_rest_computes_the_same(network, shape, leaving, left):
    model, graph, planned, small = cut(network, shape, leaving)
    assert planned.protected == {}
    assert {group.name: len(group.removed) for group in planned.plan.groups} == leaving
    assert sum(parameter.numel() for parameter in small.parameters()) == left
    removed = {group.name: group.removed for group in planned.plan.groups}
    assert len(graph.traces) == 2  # inference and training are both compared
    found = verify(graph, model, small, removed, scalings=planned.plan.scalings)
    assert found.max_rel_error < 1e-10
    assert found.equivalent


def test_torchs_attention_gives_the_same_on_its_fast_path():
    _, _, _, small = cut(tiny.TorchAttention, IMAGE, {"embed": 12, "attention": 3})
    x = torch.randn(2, *IMAGE)
    found = {}
    for fast in (False, True):
        torch.backends.mha.set_fastpath_enabled(fast)
        with torch.no_grad():
            found[fast] = small(x)
    torch.testing.assert_close(found[True], found[False])
    assert (small.attention.num_heads, small.attention.embed_dim, small.attention.head_dim) == (5, 20, 4)


def test_norms_without_tensors_say_their_channels():
    _, _, _, small = cut(more.NormsWithoutScale, IMAGE, {"stem": 3})
    assert (small.norms[0].num_features, small.norms[2].num_features) == (5, 5)
    assert small.norms[1].num_channels == 5
    assert small.last.normalized_shape == (5,)
