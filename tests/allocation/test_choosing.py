"""How many leave, and which: floor of the ratio, then bounds, then rounding; ties by index."""

from __future__ import annotations

import networks
import numpy as np
import pytest

from prunecli.allocation.bounds import Bounds, within_bounds
from prunecli.allocation.choosing import allocate
from prunecli.errors import WrongUse
from prunecli.graph.channel_graph import build_graph

RESIDUAL = build_graph(networks.Residual(), (3, 8, 8))  # groups: stem 8, inner 12
SCORES = {"stem": np.arange(8.0)[::-1], "inner": np.arange(12.0) * 10}


def counts(**kwargs):
    found = allocate(RESIDUAL, kwargs.pop("scores", SCORES), **kwargs)
    return {name: len(gone) for name, gone in found.removed.items()}, found


@pytest.mark.parametrize(("ratio", "stem", "inner"), [(0.5, 4, 6), (0.3, 2, 3), (0.99, 7, 11), (0.25, 2, 3)])
def test_the_floor_of_the_ratio_leaves_each_group(ratio, stem, inner):
    assert counts(ratio=ratio)[0] == {"stem": stem, "inner": inner}


def test_the_lowest_leave():
    removed = counts(ratio=0.25)[1].removed
    assert removed == {"stem": (6, 7), "inner": (0, 1, 2)}


def test_ties_go_by_index():
    assert counts(ratio=0.5, scores={"stem": np.ones(8), "inner": None})[1].removed == {"stem": (0, 1, 2, 3)}


def test_a_group_that_the_criterion_cannot_score_is_protected():
    found = counts(ratio=0.5, scores={"stem": np.ones(8), "inner": None})[1]
    assert found.protected == {"inner": "the criterion is not available for its layers"}


def test_all_channels_in_one_list():
    scores = {"stem": np.full(8, 1.0), "inner": np.full(12, 2.0)}
    found, _ = counts(ratio=0.3, scores=scores, scope="global", normalization="none")
    assert found == {"stem": 6}
    found, _ = counts(ratio=0.5, scores=scores, scope="global", normalization="none")
    assert found == {"stem": 7, "inner": 3}  # one stays in every group
    assert sum(found.values()) == 10


def test_normalisation_makes_scales_equal():
    scores = {"stem": np.arange(1.0, 9), "inner": np.arange(1.0, 13) * 1000}
    found, _ = counts(ratio=0.5, scores=scores, scope="global", normalization="rank")
    assert found == {"stem": 4, "inner": 6}


@pytest.mark.parametrize(
    ("wanted", "bounds", "leaves", "rule"),
    [
        (4, Bounds(), 4, ""),
        (8, Bounds(), 7, "at least 1 channels stay"),
        (6, Bounds(min_channels=4), 4, "at least 4 channels stay"),
        (3, Bounds(round_to=4), 0, "5 kept channels rounded up to 8"),
        (5, Bounds(round_to=4), 4, "3 kept channels rounded up to 4"),
        (5, Bounds(round_to=16), 0, "3 kept channels rounded up to 8"),
        (1, Bounds(min_channels=100), 0, "at least 100 channels stay"),
    ],
)
def test_bounds(wanted, bounds, leaves, rule):
    assert within_bounds(wanted, 8, bounds) == (leaves, rule)


def test_protected_layers_keep_their_channels():
    found = counts(ratio=0.5, bounds=Bounds(protect=("inn*",)))
    assert found[0] == {"stem": 4}
    assert found[1].protected == {"inner": "protected by --protect inn*"}


def test_a_layer_has_its_own_ratio():
    assert counts(ratio=0.5, bounds=Bounds(layer_ratio={"inner": 0.75}))[0] == {"stem": 4, "inner": 9}
    assert counts(ratio=0.0, bounds=Bounds(layer_ratio={"outer": 0.5}))[0] == {"stem": 4}


def test_inner_leaves_residual_sums_alone():
    found = counts(ratio=0.5, bounds=Bounds(residual="inner"))
    assert found[0] == {"inner": 6}
    assert "residual" in found[1].protected["stem"]


def test_depthwise_pairs_are_no_residual_sums():
    graph = build_graph(networks.Depthwise(), (3, 8, 8))
    scores = {group.name: np.arange(float(group.channels)) for group in graph.prunable}
    assert set(allocate(graph, scores, ratio=0.5, bounds=Bounds(residual="inner")).removed) == {
        "expand",
        "project",
    }


def test_a_glob_that_fits_nothing_is_wrong_use_with_the_nearest():
    with pytest.raises(WrongUse, match="no layer is called 'iner'") as caught:
        counts(ratio=0.5, bounds=Bounds(protect=("iner",)))
    assert caught.value.hints[0] == "did you mean 'inner'?"
