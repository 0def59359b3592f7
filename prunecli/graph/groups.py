"""Channel groups: the places that must lose the same channels together."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunecli.graph.labels import Axis
from prunecli.graph.layers import Layer, holder_of
from prunecli.graph.propagation import Origin

ENOUGH_UNITS = 8


@dataclass(frozen=True, eq=False)
class Member:
    """One dimension of a tensor that loses positions with the group.

    `positions` and `units` run in parallel: position positions[i] leaves with the group's unit units[i].
    """

    tensor: str
    axis: int
    positions: NDArray[np.int64]
    units: NDArray[np.int64]

    @property
    def layer(self) -> str:
        """The module that holds the tensor, or whose parameter is computed from it."""
        return holder_of(self.tensor)


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Channels that can be chosen one by one, each leaving every member at once.

    `labels` are the channels' numbers in the graph's axes, in the order of the first producer's filters.
    """

    name: str
    labels: NDArray[np.int64]
    members: tuple[Member, ...]
    reason: str | None  # why its channels are protected; None when they may leave

    @property
    def channels(self) -> int:
        """How many channels the group has."""
        return int(self.labels.size)

    @property
    def prunable(self) -> bool:
        """Whether channels may leave."""
        return self.reason is None


def form_groups(
    origins: Mapping[Origin, Axis],
    layers: Sequence[Layer],
    reasons: Mapping[int, tuple[str, ...]],
    order: Mapping[str, int],
    count: int,
) -> tuple[ChannelGroup, ...]:
    """Put labels that stand in the same places into one group.

    `order` ranks tensors by their place in the forward pass; groups and members follow it.
    """
    keys = sorted(origins, key=lambda key: (order.get(key[0], len(order)), key[0], key[1]))
    columns: dict[bytes, NDArray[np.int64]] = {}
    places: dict[bytes, list[tuple[int, Origin]]] = {}  # the same labels stand in most places many times
    contents: dict[int, list[bytes]] = {}
    numbers = itertools.count()
    for key in keys:
        axis = origins[key]
        if id(axis) not in contents:
            contents[id(axis)] = [column.tobytes() for column in axis.T]
            columns.update(zip(contents[id(axis)], axis.T, strict=True))
        for content in contents[id(axis)]:
            places.setdefault(content, []).append((next(numbers), key))
    entries = [
        (column[positions], np.full(positions.size, number), positions)
        for number, column in enumerate(columns.values())
        for positions in (np.flatnonzero(column),)
    ]
    if not entries:
        return ()
    occurrences = list(places.values())
    label, place, position = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    signature = _signatures(label, place, count, reasons)
    producers = {layer.weight: layer.filter_axis for layer in layers}
    order_of_labels = np.argsort(label, kind="stable")  # places and positions keep their order
    label, place, position = label[order_of_labels], place[order_of_labels], position[order_of_labels]
    starts = np.flatnonzero(np.r_[True, label[1:] != label[:-1]])
    distinct = label[starts]
    kind = _numbered(signature[distinct])
    # the labels of a kind are a group's channels, in the order in which they were handed out
    by_kind = np.argsort(kind, kind="stable")
    sizes = np.bincount(kind)
    unit = np.empty(distinct.size, dtype=np.int64)
    unit[by_kind] = np.arange(distinct.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    lengths = np.diff(np.r_[starts, label.size])
    row_kind, row_unit = np.repeat(kind, lengths), np.repeat(unit, lengths)
    # Stable: labels and positions keep their order inside a place.
    rows = np.argsort(row_kind * len(occurrences) + place, kind="stable")
    ends = np.cumsum(np.bincount(row_kind))
    groups = []
    for labels, here in zip(
        np.split(distinct[by_kind], np.cumsum(sizes)[:-1]), np.split(rows, ends[:-1]), strict=True
    ):
        members = _members(place[here], position[here], row_unit[here], occurrences)
        groups.append(_group(labels, members, producers, reasons))
    groups.sort(key=lambda group: _rank(group, order, producers))
    return tuple(_one_factor_each(_with_unique_names(groups), origins))


def _numbered(signatures: NDArray[np.uint64]) -> NDArray[np.int64]:
    """A number for each row, equal for equal rows, in the order in which they first appear."""
    _, first, number = np.unique(signatures[:, 0], return_index=True, return_inverse=True)
    if (signatures[first[number], 1] != signatures[:, 1]).any():  # the first sums alone do not tell all apart
        _, first, number = np.unique(signatures, axis=0, return_index=True, return_inverse=True)
    rank = np.empty(first.size, dtype=np.int64)
    rank[np.argsort(first)] = np.arange(first.size)
    return rank[number.reshape(-1)]


def _signatures(
    label: NDArray[np.int64], place: NDArray[np.int64], count: int, reasons: Mapping[int, tuple[str, ...]]
) -> NDArray[np.uint64]:
    """Two 64-bit sums over the places of each label: equal when the labels stand in the same places."""
    generator = np.random.default_rng(0)
    tickets = generator.integers(1, 2**63, size=(int(place.max()) + 1, 2), dtype=np.uint64)
    sums = np.zeros((count, 2), dtype=np.uint64)
    np.add.at(sums, label, tickets[place])
    sums[list(reasons)] += np.uint64(1)
    return sums


def _members(
    place: NDArray[np.int64],
    position: NDArray[np.int64],
    units: NDArray[np.int64],
    occurrences: Sequence[Sequence[tuple[int, Origin]]],
) -> tuple[Member, ...]:
    """One member for each occurrence of a column, by their numbers; the rows are sorted by column."""
    starts = np.flatnonzero(np.r_[True, place[1:] != place[:-1]])
    found = zip(place[starts], np.split(position, starts[1:]), np.split(units, starts[1:]), strict=True)
    numbered = [
        (number, Member(tensor, axis, at, of))
        for column, at, of in found
        for number, (tensor, axis) in occurrences[column]
    ]
    return tuple(member for _, member in sorted(numbered, key=lambda each: each[0]))


def _group(
    labels: NDArray[np.int64],
    members: tuple[Member, ...],
    producers: Mapping[str, int],
    reasons: Mapping[int, tuple[str, ...]],
) -> ChannelGroup:
    producing = [member for member in members if producers.get(member.tensor) == member.axis]
    first = (producing or list(members))[0]
    return ChannelGroup(first.layer, labels, members, _reason(labels, reasons, bool(producing)))


def _reason(labels: NDArray[np.int64], reasons: Mapping[int, tuple[str, ...]], produced: bool) -> str | None:
    pinned = [reasons[label] for label in labels[:8].tolist() if label in reasons]  # all are, or none
    if pinned:
        return "; ".join(dict.fromkeys(reason for found in pinned for reason in found[:2]))
    if not produced:
        return "no convolution or linear layer produces these channels"
    return "a single channel" if labels.size == 1 else None


def _rank(
    group: ChannelGroup, order: Mapping[str, int], producers: Mapping[str, int]
) -> tuple[int, int, int]:
    producing = [member for member in group.members if producers.get(member.tensor) == member.axis]
    first = (producing or list(group.members))[0]
    return (0 if producing else 1, order.get(first.tensor, len(order)), int(first.positions.min()))


def _with_unique_names(groups: Sequence[ChannelGroup]) -> list[ChannelGroup]:
    seen: dict[str, int] = {}
    named = []
    for group in groups:
        seen[group.name] = seen.get(group.name, 0) + 1
        name = group.name if seen[group.name] == 1 else f"{group.name}#{seen[group.name]}"
        named.append(ChannelGroup(name, group.labels, group.members, group.reason))
    return named


def _one_factor_each(groups: Sequence[ChannelGroup], origins: Mapping[Origin, Axis]) -> list[ChannelGroup]:
    """Where a dimension is a product, let one of its factors leave and protect the others.

    Otherwise a ratio would be taken twice from the same dimension. The outer factor (convolution groups,
    attention heads) is taken when it has at least `ENOUGH_UNITS` channels, else the one with the most.
    """
    products = list({id(axis): axis for axis in origins.values() if axis.shape[1] > 1}.values())
    if not products:
        return list(groups)
    owner = np.full(1 + max(int(group.labels.max()) for group in groups), -1)
    for i, group in enumerate(groups):
        owner[group.labels] = i
    protected: dict[int, str] = {}
    for axis in products:
        owners = owner[axis]
        found = dict.fromkeys(owners.T.reshape(-1).tolist())  # in the order in which they come
        factors = [i for i in found if i >= 0 and groups[i].prunable]
        rows = {i: (owners == i).any(axis=1) for i in factors}
        shared = [i for i in factors if any((rows[i] & rows[j]).any() for j in factors if j != i)]
        if len(shared) < 2:
            continue
        outer = [i for i in shared if groups[i].channels >= ENOUGH_UNITS]
        taken = outer[0] if outer else max(shared, key=lambda i: groups[i].channels)
        for i in shared:
            if i != taken and (rows[i] & rows[taken]).any():
                protected.setdefault(i, f"another factor of the same dimension leaves: {groups[taken].name}")
    return [
        ChannelGroup(g.name, g.labels, g.members, protected.get(i, g.reason)) for i, g in enumerate(groups)
    ]
