"""Axes: merging, splitting, ties, bindings, pins, with answers that counting gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from prunecli.graph.labels import (
    LabelSpace,
    TooManyFactors,
    _classes,
    concatenate,
    fixed,
    merge,
    removed_positions,
)


def column(*labels):
    return np.array(labels, dtype=np.int64)[:, None]


def test_a_merged_dimension_repeats_the_outer_and_tiles_the_inner():
    assert merge([column(1, 2), fixed(3)]).tolist() == [[1], [1], [1], [2], [2], [2]]
    assert merge([column(1, 2), column(5, 6)]).tolist() == [[1, 5], [1, 6], [2, 5], [2, 6]]
    assert merge([fixed(2), fixed(3)]).shape == (6, 0)


def test_joined_axes_of_different_width_are_padded_with_no_label():
    assert concatenate([column(1), merge([column(2), column(3)])]).tolist() == [[1, 0], [2, 3]]


def test_a_position_leaves_when_any_of_its_labels_does():
    axis = merge([column(1, 2), column(3, 4)])
    marked = np.zeros(5, dtype=bool)
    marked[[1, 4]] = True
    assert removed_positions(axis, marked).tolist() == [True, True, False, True]
    assert not removed_positions(fixed(3), marked).any()


def test_a_merged_dimension_splits_back_into_what_it_was():
    space = LabelSpace(first=10)
    parts = space.split(merge([column(1, 2), fixed(3), column(5, 6)]), (2, 3, 2))
    assert [part.tolist() for part in parts] == [[[1], [2]], [[], [], []], [[5], [6]]]
    assert not space.solve().refined


def test_splitting_independent_positions_binds_each_to_row_and_column():
    space = LabelSpace()
    axis = space.fresh(6)
    rows, columns = space.split(axis, (2, 3))
    components = space.solve()
    assert components.refined
    refined = components.refine(axis)
    assert refined.shape == (6, 2)
    for i in range(2):
        for j in range(3):
            expected = {int(components.of[rows[i, 0]]), int(components.of[columns[j, 0]])}
            assert set(refined[3 * i + j].tolist()) == expected


def test_a_split_sees_which_positions_are_copies_of_each_other():
    space = LabelSpace()
    batch_and_heads, width = space.split(merge([fixed(2), space.fresh(6)]), (4, 3))
    assert batch_and_heads[:2].tolist() == batch_and_heads[2:].tolist()
    assert len(set(batch_and_heads[:, 0].tolist())) == 2
    assert width.shape == (3, 1)


def test_without_small_factors_a_split_ties_across_the_smallest():
    space = LabelSpace(small_factors=False)
    axis = space.fresh(6)
    groups, slots = space.split(axis, (2, 3))
    refined = space.solve().refine(axis)
    assert groups.shape == (2, 0)
    assert refined[:3].tolist() == refined[3:].tolist()
    assert slots.shape == (3, 1)


def test_ties_are_transitive_and_join_components():
    space = LabelSpace()
    a, b, c = (space.fresh(3) for _ in range(3))
    space.tie(a, b, "met")
    space.tie(b, c[::-1], "met")
    of = space.solve().of
    assert of[a[:, 0]].tolist() == of[c[::-1, 0]].tolist()
    assert len(set(of[a[:, 0]].tolist())) == 3


def test_tying_to_a_fixed_dimension_pins_with_the_reason():
    space = LabelSpace()
    axis = space.fresh(2)
    space.tie(axis, fixed(2), "meets the input")
    assert [(pin.labels.tolist(), pin.reason) for pin in space.pins] == [([1, 2], "meets the input")]


def test_a_label_tied_to_a_product_is_bound_to_it():
    space = LabelSpace()
    product = merge([space.fresh(2), space.fresh(2)])
    single = space.fresh(4)
    space.tie(product, single, "met")
    components = space.solve()
    assert components.refine(single).tolist() == components.refine(product).tolist()


def test_products_of_different_factors_are_pinned():
    space = LabelSpace()
    two = merge([space.fresh(2), space.fresh(4)])
    three = merge([space.fresh(2), space.fresh(2), space.fresh(2)])
    space.tie(two, three, "met")
    assert {label for pin in space.pins for label in pin.labels.tolist()} == set(range(1, 13))


def test_a_dimension_of_one_is_no_factor():
    space = LabelSpace()
    channels = space.fresh(3)
    assert merge([space.fresh(1), channels]).tolist() == channels.tolist()
    assert merge([space.fresh(1), space.fresh(1)]).shape == (1, 2)


def test_a_component_in_its_own_product_stays_whole():
    space = LabelSpace()
    axis = space.fresh(4)
    rows, columns = space.split(axis, (2, 2))
    space.tie(axis[:2], rows, "met")
    components = space.solve()
    pinned = {int(label) for pin in components.pins for label in components.of[pin.labels]}
    assert int(components.of[1]) in pinned
    assert columns.shape == (2, 1)


def test_a_dimension_of_very_many_factors_is_given_up():
    space = LabelSpace()
    with pytest.raises(TooManyFactors):
        space.split(merge([space.fresh(2) for _ in range(5)]), (4, 8))


@pytest.mark.parametrize("edges", [0, 1, 30, 200, 2000])
@pytest.mark.parametrize("seed", range(5))
def test_what_edges_connect_is_what_scipy_says(edges, seed):
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, 400, size=(2, edges))
    ends = first.astype(np.int32), second.astype(np.int32)
    graph = coo_array((np.ones(edges, dtype=np.int8), ends), shape=(400, 400))
    assert np.array_equal(_classes(first, second, 400), connected_components(graph, directed=False)[1])


def test_a_long_chain_in_the_wrong_order_is_one():
    places = np.random.default_rng(0).permutation(5000)
    assert not _classes(places[:-1], places[1:], 5000).any()
