"""How processes that share a calibration put together what each has found on its own batches.

Sums are added up. Rows, one or more a batch, are laid where the batch has them among all batches; what other
processes have is zero there, so that adding leaves every number as it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from prunecli.calibration.observing import CalibrationBatches, Scene
from prunecli.processes import Processes

# What is found is of one of these types.
TYPES = (torch.float32, torch.float64, torch.int64)
# A convolution's weight has so many axes at most.
AXES = 5
# Small tensors travel together, up to so many numbers.
BUNDLE = 1 << 22


def is_own(number: int, processes: Processes) -> bool:
    """Whether this process runs batch `number` (from 0): each of `count` processes runs every count-th."""
    return number % processes.count == processes.index


class OwnBatches:
    """The batches that this process runs, of all.

    Those of the others are passed over, so a process may have none.
    """

    def __init__(self, batches: CalibrationBatches, processes: Processes) -> None:
        self._batches, self._processes = batches, processes

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The same at every iteration."""
        for number, batch in enumerate(self._batches):
            if is_own(number, self._processes):
                yield batch


def unite(
    found: dict[str, Tensor], names: Sequence[str], *, processes: Processes, device: torch.device
) -> None:
    """Put under every name, in `found` itself, the sum over processes of what they have there.

    A name that only some have is theirs alone, and then all have it; one that none has stays away. Shapes
    and types are the same in all, and none has a name that is not in `names`. All processes call it with
    the same names; a single one keeps what it has.
    """
    if processes.count == 1:
        return
    shapes = _shapes(found, names, processes)
    for kind in TYPES:
        of_kind = {name: shape for name, (its, shape) in shapes.items() if its is kind}
        for bundle in _bundles(of_kind):
            parts = [
                found.pop(name) if name in found else torch.zeros(of_kind[name], dtype=kind, device=device)
                for name in bundle
            ]
            flat = processes.total(torch.cat([part.to(device).flatten() for part in parts]))
            sizes = [part.numel() for part in parts]
            del parts
            for name, part in zip(bundle, torch.split(flat, sizes), strict=True):
                # Not a view, which would keep all of the bundle in memory.
                found[name] = part.reshape(of_kind[name]).clone()


def unite_counts(counts: dict[str, int], names: Sequence[str], processes: Processes) -> None:
    """The same for whole numbers."""
    if processes.count == 1:
        return
    summed = processes.total(torch.tensor([counts.get(name, 0) for name in names])).tolist()
    counts.update({name: count for name, count in zip(names, summed, strict=True) if count})


def agree(numbers: dict[str, int], names: Sequence[str], processes: Processes) -> None:
    """The same for numbers that all who have one under a name say alike: all have it then."""
    holders = dict.fromkeys(numbers, 1)
    unite_counts(holders, names, processes)
    unite_counts(numbers, names, processes)
    numbers.update({name: number // holders[name] for name, number in numbers.items()})


def united_names(found: Iterable[str], names: Sequence[str], processes: Processes) -> set[str]:
    """The names that some process has found."""
    flags = dict.fromkeys(found, 1)
    unite_counts(flags, names, processes)
    return set(flags)


class Rows:
    """Layer → a row of numbers for every image or batch, in their order whichever process has run them."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._parts: dict[str, list[tuple[int, Tensor]]] = {}
        self._first = self._end = 0

    def begin(self, count: int) -> None:
        """A batch comes that has `count` rows, here or in another process."""
        self._first, self._end = self._end, self._end + count

    def add(self, layer: str, rows: Tensor) -> None:
        """The batch's rows (count, F) of a layer."""
        self._parts.setdefault(layer, []).append((self._first, rows))

    def complete(self) -> dict[str, Tensor]:
        """Layer → (n, F) of the layers that have all n rows; asked for once, by all processes."""
        processes = self._scene.processes
        counts = {layer: sum(len(rows) for _, rows in parts) for layer, parts in self._parts.items()}
        found = {layer: self._laid_out(parts) for layer, parts in self._parts.items()}
        unite(found, list(self._scene.layers), processes=processes, device=self._scene.device)
        unite_counts(counts, list(self._scene.layers), processes)
        return {layer: rows for layer, rows in found.items() if counts[layer] == self._end}

    def _laid_out(self, parts: list[tuple[int, Tensor]]) -> Tensor:
        if self._scene.processes.count == 1:
            return torch.cat([rows for _, rows in parts])
        laid = parts[0][1].new_zeros(self._end, *parts[0][1].shape[1:])
        for first, rows in parts:
            laid[first : first + len(rows)] = rows
        return laid


def _shapes(
    found: dict[str, Tensor], names: Sequence[str], processes: Processes
) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Name → type and shape, of the names that some process has."""
    table = torch.zeros(len(names), 3 + AXES, dtype=torch.int64)
    for row, name in zip(table, names, strict=True):
        if name in found:
            tensor = found[name]
            said = torch.tensor([1, TYPES.index(tensor.dtype), tensor.dim(), *tensor.shape])
            row[: len(said)] = said
    table = processes.total(table)
    # All that have it say the same.
    means = (table // table[:, :1].clamp(min=1)).tolist()
    return {
        name: (TYPES[kind], tuple(shape[:axes]))
        for name, (known, kind, axes, *shape) in zip(names, means, strict=True)
        if known
    }


def _bundles(shapes: dict[str, tuple[int, ...]]) -> Iterator[list[str]]:
    """The names, as many at a time as make a bundle; one at least."""
    bundle: list[str] = []
    size = 0
    for name, shape in shapes.items():
        if bundle and size + math.prod(shape) > BUNDLE:
            yield bundle
            bundle, size = [], 0
        bundle.append(name)
        size += math.prod(shape)
    if bundle:
        yield bundle
