"""The table: what is measured, how often, and what the sum holds; the seconds are made up."""

from __future__ import annotations

import math

import networks
import pytest

from prunecli.graph.channel_graph import build_graph
from prunecli.latency import layers
from prunecli.latency.layers import ANCHORS, LatencyTable
from prunecli.latency.timing import Timing

SHAPE = (3, 8, 8)


def elements(piece):
    return float(math.prod(piece.args[0].shape[:2]))


@pytest.fixture
def counted(monkeypatch):
    """Each piece takes as many seconds as the elements of its first tensor; gives the keys asked for."""
    asked = []

    def measure(pieces, **settings):
        asked.append(([piece.key for piece in pieces], settings))
        slower = 1.0 if len(asked) == 1 else 2.0  # another program has started
        return {
            piece.key: None if "mean" in piece.name else Timing((slower * elements(piece),) * 5)
            for piece in pieces
        }

    monkeypatch.setattr(layers, "measure", measure)
    return asked


def table(network=networks.Plain, **settings):
    return LatencyTable(build_graph(network(), SHAPE), **settings)


def test_the_sum_follows_the_channels(counted):
    found = table(batch=2)
    rows = found.rows({"conv1": (0, 1, 2)})
    by_name = {row.operation: row for row in rows if row.name != "conv1"}
    norm = by_name["aten.native_batch_norm"]
    assert (norm.name, norm.shape_before, norm.shape_after) == ("bn1", (2, 8, 8, 8), (2, 5, 8, 8))
    assert (norm.seconds_before, norm.seconds_after) == (16.0, 10.0)
    assert by_name["aten.mean"].seconds_before is None
    whole = sum(row.seconds_before or 0 for row in rows)
    assert found.seconds({}) == whole
    assert found.seconds({"conv1": (0, 1, 2)}) == sum(row.seconds_after or 0 for row in rows)
    assert whole - found.seconds({"conv1": (0, 1, 2)}) == 3 * 2 * 3  # norm, relu, second convolution


def test_each_shape_is_measured_once(counted):
    found = table()
    found.seconds({"conv1": (0,)})
    found.seconds({"conv1": (5,)})
    found.seconds({"conv1": (0,)})
    assert len(counted) == 2
    whole, cut = (keys for keys, _ in counted)
    assert len(set(whole)) == len(whole)
    assert len(set(whole) & set(cut)) == min(ANCHORS, len(whole) - 1)  # the mean has no seconds
    found.seconds({"conv1": (0, 1)})
    assert len(counted) == 3


def test_what_is_known_is_not_measured(counted):
    first = table()
    first.seconds({})
    again = table(known=first.known)
    assert again.seconds({}) == first.seconds({})
    assert len(counted) == 1


def test_what_the_sum_does_not_explain_stays(counted):
    found = table()
    before, after = found.seconds({}), found.seconds({"conv1": (0, 1)})
    assert found.share_left({"conv1": (0, 1)}) == after / before
    assert found.share_left({"conv1": (0, 1)}, measured=before + 10) == (after + 10) / (before + 10)
    assert found.share_left({"conv1": (0, 1)}, measured=before / 2) == after / before


def test_settings_reach_the_measurement(counted):
    table(device="cuda:1", threads=3).seconds({})
    assert counted[0][1] == {"device": "cuda:1", "threads": 3}
