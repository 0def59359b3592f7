"""Scores of all groups on one scale: per MAC, and by what a group costs when it alone is pruned."""

from __future__ import annotations

import networks
import numpy as np
import pytest

from prunecli.allocation.choosing import allocate
from prunecli.allocation.scales import Curve, on_one_scale
from prunecli.errors import WrongUse
from prunecli.graph.channel_graph import build_graph

GRAPH = build_graph(networks.Plain(), (3, 8, 8))  # 3 → 8 → 6 → 5, kernels of 3 × 3 on 8 × 8
SCORES = {"conv1": np.arange(8.0), "conv2": np.arange(6.0)}


def test_per_mac_divides_by_what_a_channel_saves():
    found = on_one_scale(GRAPH, SCORES, "per-MAC")
    saved = {"conv1": 64 * 9 * (3 + 6), "conv2": 64 * 9 * 8 + 5}
    for name, scores in SCORES.items():
        np.testing.assert_allclose(found[name], scores / saved[name])


def test_a_curve_never_falls_and_goes_on():
    curve = Curve((0.25, 0.5, 0.75), (1.0, 0.5, 4.0))
    np.testing.assert_allclose(curve.at(np.array([0.0, 0.125, 0.25])), [0, 0.5, 1])
    np.testing.assert_allclose(curve.at(np.array([0.5, 0.625, 0.75])), [1, 2.5, 4])
    np.testing.assert_allclose(curve.at(np.array([1.0])), [4 + 4 / 3])


def test_each_channel_adds_no_less_than_the_one_before():
    added = Curve((0.25, 0.5, 0.75), (1.0, 0.5, 4.0)).added(channels=4)
    np.testing.assert_allclose(added, [0.5, 0.5, 13 / 6, 13 / 6])  # the bump at 0.25 lies above the hull
    assert (np.diff(Curve((0.5,), (2.0,)).added(channels=7)) >= -1e-12).all()


def test_what_has_left_counts():
    curve = Curve((0.5, 1.0), (1.0, 5.0))
    np.testing.assert_allclose(curve.added(channels=4, gone=4), [1, 1, 1, 1])


def test_the_group_that_costs_less_loses_more():
    cheap, dear = Curve((0.5,), (0.01,)), Curve((0.5,), (10.0,))
    curves = {"conv1": dear, "conv2": cheap}
    found = allocate(
        GRAPH, SCORES, ratio=5 / 14, scope="global", normalization="sensitivity", sensitivity=curves
    )
    assert found.removed == {"conv2": (0, 1, 2, 3, 4)}


def test_a_group_without_a_curve_is_refused():
    with pytest.raises(WrongUse, match="sensitivity of conv2"):
        on_one_scale(GRAPH, SCORES, "sensitivity", sensitivity={"conv1": Curve((0.5,), (1.0,))})
