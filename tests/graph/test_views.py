"""Which dimensions of a view hold the same elements."""

from __future__ import annotations

import pytest

from prunecli.graph.rules.views import matching_blocks


@pytest.mark.parametrize(
    ("before", "after", "blocks"),
    [
        ((2, 6), (2, 6), [([0], [0]), ([1], [1])]),
        ((2, 3, 4), (2, 12), [([0], [0]), ([1, 2], [1])]),
        ((2, 12), (2, 3, 4), [([0], [0]), ([1], [1, 2])]),
        ((2, 6, 2), (2, 4, 3), [([0], [0]), ([1, 2], [1, 2])]),
        ((2, 6), (2, 6, 1), [([0], [0]), ([1], [1]), ([], [2])]),
        ((4, 5), (20,), [([0, 1], [0])]),
    ],
)
def test_blocks(before, after, blocks):
    assert [(list(a), list(b)) for a, b in matching_blocks(before, after)] == blocks
