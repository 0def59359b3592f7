"""Labels on every position of every dimension, and the two things known about them: ties and bindings.

A dimension of size n carries an *axis*: an integer array (n, k). Position p is removed when any of its
up to k labels is removed; 0 means "no label here", and a position without any label is fixed. One
column is the usual case. Several columns say that the dimension is a product, such as heads × width:
a position goes when its head goes or when its column of all heads goes.

Ties unite two labels. A *binding* replaces a label by a product of others; it arises where a view
splits a dimension whose positions were independent so far. Bindings take effect in the next pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Axis = NDArray[np.int64]  # (size, columns)

MAX_REFINEMENTS = 8
MAX_FACTORS = 4


@lru_cache(maxsize=4096)
def fixed(size: int) -> Axis:
    """An axis whose positions never leave: (size, 0)."""
    return np.zeros((size, 0), dtype=np.int64)


def is_fixed(axis: Axis) -> bool:
    """Whether no position of the axis can ever leave."""
    return axis.shape[1] == 0 or not axis.any()


def merge(axes: Sequence[Axis]) -> Axis:
    """The axis of a dimension that views `axes` as one, the first varying slowest.

    A dimension of one is no factor: its position can only stay.
    """
    sizes = [axis.shape[0] for axis in axes]
    whole = math.prod(sizes)
    columns = []
    for i, axis in enumerate(axes):
        size, count = axis.shape
        if count and (size > 1 or whole == 1):
            grid = (math.prod(sizes[:i]), size, math.prod(sizes[i + 1 :]), count)
            columns.append(np.broadcast_to(axis[None, :, None], grid).reshape(whole, count))
    if len(columns) == 1:
        return columns[0]
    return np.hstack(columns) if columns else fixed(whole)


def concatenate(axes: Sequence[Axis]) -> Axis:
    """The axis of a dimension along which tensors are joined one after the other."""
    width = max((axis.shape[1] for axis in axes), default=0)
    padded = [np.pad(axis, ((0, 0), (0, width - axis.shape[1]))) for axis in axes]
    return np.vstack(padded) if padded else fixed(0)


def removed_positions(axis: Axis, removed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which positions leave when the labels marked in `removed` (indexed by label) leave: (size,)."""
    return np.asarray(removed[axis].any(axis=1), dtype=np.bool_)


def kept_count(axis: Axis, removed: NDArray[np.bool_]) -> int:
    """How many positions stay when the labels marked in `removed` leave."""
    return len(axis) - int(removed_positions(axis, removed).sum())


def _packed(axis: Axis) -> Axis:
    """Each row's labels moved to the left, in their order, zeros to the right."""
    order = np.argsort(axis == 0, axis=1, kind="stable")
    return np.take_along_axis(axis, order, axis=1)


def _varies(grid: NDArray[np.int64], dim: int) -> bool:
    """Whether the grid has different values along a dimension."""
    first = grid[(slice(None),) * dim + (slice(0, 1),)]
    return not (grid == first).all()


def _together(labels: NDArray[np.int64], coordinate: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Numbers (size,) of the coordinates along one dimension, equal where a label stands at both."""
    order = np.argsort(labels, kind="stable")
    again = np.flatnonzero((labels[order][1:] == labels[order][:-1]) & (labels[order][1:] > 0))
    first, second = coordinate[order[again]], coordinate[order[again + 1]]
    if np.array_equal(first, second):  # the usual case, for which nothing has to be searched
        return np.arange(size)
    return _classes(first, second, size)


def _classes(first: NDArray[np.int64], second: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Numbers (size,), equal for what edges between `first` and `second` connect, in order of appearance.

    scipy answers the same, but importing its graphs takes longer than tracing a network.
    """
    lowest = np.arange(size)
    one, other = first, second
    while one.size:
        low = np.minimum(lowest[one], lowest[other])
        np.minimum.at(lowest, lowest[one], low)  # the roots of both
        np.minimum.at(lowest, lowest[other], low)
        while (lowest[lowest] != lowest).any():
            lowest = lowest[lowest]
        apart = lowest[one] != lowest[other]
        one, other = one[apart], other[apart]
    return (np.cumsum(lowest == np.arange(size)) - 1)[lowest]


def _cycles(first: NDArray[np.int64], second: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Numbers (size,), equal for what the edges from `first` to `second` connect both ways."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # scipy before 1.12 knows no wider index, and answers at random with one.
    ends = (first.astype(np.int32), second.astype(np.int32))
    edges = coo_array((np.ones(first.size, dtype=np.int8), ends), shape=(size, size))
    return np.asarray(connected_components(edges, connection="strong")[1], dtype=np.int64)


class TooManyFactors(Exception):
    """A dimension became a product of more factors than are worth following."""


@dataclass(frozen=True)
class Pin:
    """Labels that must not leave, and why."""

    labels: NDArray[np.int64]
    reason: str


class LabelSpace:
    """Hands out labels and collects what one pass over the operations learns about them.

    Without `small_factors`, a view that splits a dimension labels its larger factors only: the smallest
    stays whole. Channel shuffles in a row need that, since each would add a factor.
    """

    def __init__(self, *, first: int = 1, small_factors: bool = True) -> None:
        self._next = first
        self._small_factors = small_factors
        self._ties: list[NDArray[np.int64]] = []
        self._bindings: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self._seen: dict[tuple[int, ...], tuple[Sequence[Axis], list[Axis]]] = {}
        self.pins: list[Pin] = []

    def fresh(self, size: int) -> Axis:
        """An axis of `size` positions with a new label each."""
        labels = np.arange(self._next, self._next + size, dtype=np.int64)
        self._next += size
        return labels[:, None]

    def pin(self, axis: Axis, reason: str) -> None:
        """Forbid every label of `axis` to leave."""
        labels = np.unique(axis[axis > 0])
        if labels.size:
            self.pins.append(Pin(labels, reason))

    def tie(self, first: Axis, second: Axis, reason: str) -> None:
        """Positions of two axes of equal size leave together.

        A position tied to a fixed one is pinned with `reason`. A single label tied to a product is
        bound to it. Products of different widths do not tie: both are pinned.
        """
        if first.shape == second.shape and (first is second or np.array_equal(first, second)):
            return
        if first.shape[1] == second.shape[1] == 1 and first.all() and second.all():  # the usual case
            self._tie_labels(first[:, 0], second[:, 0])
            return
        first, second = _packed(first), _packed(second)
        count_first, count_second = (first > 0).sum(axis=1), (second > 0).sum(axis=1)
        same = (count_first == count_second) & (count_first > 0)
        for column in range(min(first.shape[1], second.shape[1])):
            here = same & (first[:, column] > 0)
            self._tie_labels(first[here, column], second[here, column])
        self.pin(second[count_first == 0], reason)
        self.pin(first[count_second == 0], reason)
        for one, many, rows in (
            (first, second, (count_first == 1) & (count_second > 1)),
            (second, first, (count_second == 1) & (count_first > 1)),
        ):
            if rows.any():
                self._bind(one[rows, 0], many[rows])
        odd = (count_first > 1) & (count_second > 1) & ~same
        if odd.any():
            self.pin(first[odd], f"{reason}: products of different factors")
            self.pin(second[odd], f"{reason}: products of different factors")

    def merge(self, axes: Sequence[Axis]) -> Axis:
        """The axis of a dimension that views `axes` as one; the same one for the same axes."""
        key = tuple(map(id, axes))
        if key not in self._seen:
            self._seen[key] = axes, [merge(axes)]
        return self._seen[key][1][0]

    def split(self, axis: Axis, sizes: Sequence[int]) -> list[Axis]:
        """The axes of the dimensions that a view makes of one; the same ones for the same axis and sizes."""
        key = (-id(axis), *sizes)
        if key not in self._seen:
            self._seen[key] = [axis], self._split(axis, sizes)
        return list(self._seen[key][1])

    def _split(self, axis: Axis, sizes: Sequence[int]) -> list[Axis]:
        """The axes of the dimensions that a view makes of one, the first varying slowest.

        A column that varies along one of the new dimensions only belongs there. One that varies along
        several gets new labels along each, and its labels are bound to their products.
        """
        if axis.shape[1] > MAX_FACTORS:
            raise TooManyFactors
        columns: list[list[NDArray[np.int64]]] = [[] for _ in sizes]
        for column in range(axis.shape[1]):
            grid = axis[:, column].reshape(tuple(sizes))
            along = [d for d, size in enumerate(sizes) if size > 1 and _varies(grid, d)]
            if len(along) <= 1:
                d = along[0] if along else max(range(len(sizes)), key=lambda i: sizes[i])
                index = tuple(slice(None) if i == d else 0 for i in range(len(sizes)))
                columns[d].append(grid[index])
            else:
                self._refine(grid, along, columns)
        return [
            np.stack(found, axis=1) if len(found) > 1 else found[0][:, None] if found else fixed(size)
            for found, size in zip(columns, sizes, strict=True)
        ]

    def _refine(
        self, grid: NDArray[np.int64], along: list[int], columns: list[list[NDArray[np.int64]]]
    ) -> None:
        if not self._small_factors:
            along = [d for d in along if d != min(along, key=lambda i: grid.shape[i])]
        coordinates = np.indices(grid.shape).reshape(grid.ndim, -1)
        factors = []
        for d in along:
            same = _together(grid.reshape(-1), coordinates[d], grid.shape[d])
            labels = self.fresh(int(same.max()) + 1)[same, 0]
            columns[d].append(labels)
            factors.append(labels[coordinates[d]])
        products = np.stack(factors, axis=1)
        flat = grid.reshape(-1)
        self.pin(products[flat == 0], "shares a view with positions that are fixed")
        self._bind(flat[flat > 0], products[flat > 0])

    def _tie_labels(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> None:
        differ = first != second
        if differ.any():
            self._ties.append(np.stack([first[differ], second[differ]]))

    def _bind(self, labels: NDArray[np.int64], products: NDArray[np.int64]) -> None:
        order = np.argsort(labels, kind="stable")
        labels, products = labels[order], products[order]
        again = np.flatnonzero(labels[1:] == labels[:-1])
        if again.size:  # a label met twice: both products must leave together
            self.tie(products[again], products[again + 1], "a label in two products")
        keep = np.ones(labels.size, dtype=bool)
        keep[again + 1] = False
        self._bindings.append((labels[keep], products[keep]))

    def solve(self) -> Components:
        """Unite what was tied: the component of every label handed out so far."""
        ties = np.hstack(self._ties) if self._ties else np.zeros((2, 0), dtype=np.int64)
        component = _classes(ties[0], ties[1], self._next)
        # Label 0 keeps the number 0: swap it with whichever component has it.
        zero = component[0]
        component = np.where(component == zero, 0, np.where(component == 0, zero, component))
        return Components(component, int(component.max()) + 1, self._bindings, self.pins)


class Components:
    """Classes of labels that leave together, with the bindings that the next pass must refine.

    Factors that can never leave are dropped from products.
    """

    def __init__(
        self,
        component: NDArray[np.int64],
        count: int,
        bindings: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
        pins: list[Pin],
    ) -> None:
        self.of = component
        self.count = count
        self.pins = list(pins)
        self._row, self._products = self._collect(bindings)
        if pins:
            self._drop(np.concatenate([pin.labels for pin in pins]))
        self._unbind_cycles()

    @property
    def refined(self) -> bool:
        """Whether some label was bound to a product, so that another pass is needed."""
        return bool((self._row >= 0).any())

    @property
    def unrefined(self) -> NDArray[np.int64]:
        """Components still bound to a product."""
        return np.flatnonzero(self._row >= 0)

    def refine(self, axis: Axis) -> Axis:
        """The axis in terms of components, bound ones replaced by their products."""
        axis = self.of[axis] if axis.size else axis
        while True:
            rows = np.where(axis > 0, self._row[axis], -1) if axis.size else axis
            if not (rows >= 0).any():
                return axis[:, axis.any(axis=0)] if axis.size else axis
            columns = []
            for column in range(axis.shape[1]):
                bound = rows[:, column] >= 0
                wide = np.zeros((axis.shape[0], max(1, self._products.shape[1])), dtype=np.int64)
                wide[~bound, 0] = axis[~bound, column]
                wide[bound, : self._products.shape[1]] = self._products[rows[bound, column]]
                columns.append(wide)
            axis = np.hstack(columns)
            axis = axis[:, axis.any(axis=0)]
            if axis.shape[1] > MAX_FACTORS:
                raise TooManyFactors

    def _collect(
        self, bindings: list[tuple[NDArray[np.int64], NDArray[np.int64]]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first product of every bound component, as rows of component numbers."""
        row = np.full(self.count, -1, dtype=np.int64)
        width = max((products.shape[1] for _, products in bindings), default=0)
        rows: list[NDArray[np.int64]] = []
        total = 0
        for labels, products in bindings:
            classes, first = np.unique(self.of[labels], return_index=True)
            new = row[classes] < 0
            row[classes[new]] = np.arange(total, total + new.sum())
            total += int(new.sum())
            found = self.of[products[first[new]]]
            rows.append(np.pad(found, ((0, 0), (0, width - products.shape[1]))))
        return row, np.vstack(rows) if rows else np.zeros((0, 0), dtype=np.int64)

    def _drop(self, labels: NDArray[np.int64]) -> None:
        """Take labels that never leave out of all products; a product left empty is a fixed position."""
        gone = np.zeros(self.count, dtype=bool)
        gone[self.of[labels]] = True
        factors = self._products.copy()
        self._products[gone[self._products]] = 0
        empty = np.flatnonzero(self._row >= 0)
        empty = empty[~self._products[self._row[empty]].any(axis=1)]
        why = np.zeros(self.count, dtype=np.int64)  # the first pin of every component, from 1
        for number in range(len(self.pins), 0, -1):
            why[self.of[self.pins[number - 1].labels]] = number
        causes = why[factors[self._row[empty]]].max(axis=1, initial=0)
        self._row[empty] = -1
        for number in np.unique(causes):
            reason = f"all factors of its view must stay: {self.pins[number - 1].reason}"
            self.pins.append(self._pin_components(empty[causes == number], reason))

    def _pin_components(self, components: NDArray[np.int64], reason: str) -> Pin:
        return Pin(np.flatnonzero(np.isin(self.of, components)), reason)

    def _unbind_cycles(self) -> None:
        """Components that come back in their own expansion stay whole, unbound."""
        bound = np.flatnonzero(self._row >= 0)
        if not bound.size:
            return
        products = self._products[self._row[bound]]
        start, factors = np.repeat(bound, products.shape[1]), products.reshape(-1)
        open_ends = self._row >= 0  # whose expansion has not been seen to end
        while True:  # an edge to what ends cannot be part of a cycle
            onward = open_ends[factors]
            start, factors = start[onward], factors[onward]
            if not start.size:
                return
            left = np.zeros_like(open_ends)
            left[start] = True
            if (left == open_ends).all():
                break
            open_ends = left
        strong = _cycles(start, factors, self.count)
        size = np.bincount(strong)
        self_loop = (products == bound[:, None]).any(axis=1)
        cyclic = bound[self_loop | (size[strong[bound]] > 1)]
        if cyclic.size:
            self._row[cyclic] = -1
            self.pins.append(self._pin_components(cyclic, "its factors do not fit each other"))
