"""What identifies a network by its tensors: hashes of names and shapes, and sketches that can be compared.

Names of `num_batches_tracked` never count: checkpoints older than PyTorch 0.4.1 lack them. Sizes that are
the number of classes or of input channels are masked, so that one entry stands for all of them. The
sketches are min-hashes (Broder 1997): the share of equal lanes estimates the overlap of two sets.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

Shapes = Mapping[str, tuple[int, ...]]
LANES = 16
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Probe:
    """A size that follows an argument: `shapes[tensor][axis] == factor · value`."""

    tensor: str
    axis: int
    factor: int = 1


@dataclass(frozen=True)
class Fingerprint:
    """Hashes for equality, sketches and counts for nearness."""

    names: str
    shapes: str
    tensors: int
    parameters: int
    sketch: str


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Name → shape of everything that a checkpoint of `module` holds."""
    return {
        name: tuple(value.shape) for name, value in module.state_dict().items() if hasattr(value, "shape")
    }


def counted(shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """The tensors that identification looks at."""
    return {name: tuple(shape) for name, shape in shapes.items() if name.rpartition(".")[2] != COUNTER}


def fingerprint(shapes: Shapes, probes: Iterable[Probe] = ()) -> Fingerprint:
    """The fingerprint of `shapes` (without counters), with the sizes of `probes` masked."""
    masked = {(probe.tensor, probe.axis) for probe in probes}
    names = sorted(shapes)
    tokens = []
    for name in names:
        sizes = ["*" if (name, axis) in masked else str(size) for axis, size in enumerate(shapes[name])]
        tokens.append(f"{name}:{','.join(sizes)}")
    return Fingerprint(
        names=_digest(names),
        shapes=_digest(tokens),
        tensors=len(names),
        parameters=sum(prod(shape) for shape in shapes.values()),
        sketch=_sketch(names) + _sketch(tokens),
    )


def probed_value(shapes: Shapes, probes: Sequence[Probe]) -> int | None:
    """The one value of which all probed sizes are multiples, or None where they do not agree."""
    found = set()
    for probe in probes:
        shape = shapes.get(probe.tensor, ())
        if len(shape) <= probe.axis or shape[probe.axis] % probe.factor:
            return None
        found.add(shape[probe.axis] // probe.factor)
    return found.pop() if len(found) == 1 else None


def probes_between(before: Shapes, after: Shapes, value: int) -> tuple[Probe, ...]:
    """The sizes that changed when an argument was set to `value`; none where names changed with it."""
    if before.keys() != after.keys():
        return ()
    probes = []
    for name, shape in after.items():
        if len(shape) != len(before[name]):
            return ()
        for axis, (old, new) in enumerate(zip(before[name], shape, strict=True)):
            if old != new:
                if new % value:
                    return ()
                probes.append(Probe(name, axis, new // value))
    return tuple(probes) if probed_value(before, probes) is not None else ()


def overlap(first: str, second: str) -> tuple[float, float]:
    """Estimated overlap of two networks' tensor names, and of their names with shapes: 0 … 1 each."""
    lanes = [first[i : i + 4] == second[i : i + 4] for i in range(0, 8 * LANES, 4)]
    return sum(lanes[:LANES]) / LANES, sum(lanes[LANES:]) / LANES


def _digest(lines: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()


def _sketch(tokens: Iterable[str]) -> str:
    """The low 16 bits of each lane's smallest hash, in hexadecimal."""
    lowest = [0xFFFFFFFF] * LANES
    for token in tokens:
        hashes = struct.unpack(f"<{LANES}I", hashlib.blake2b(token.encode(), digest_size=4 * LANES).digest())
        lowest = [min(pair) for pair in zip(lowest, hashes, strict=True)]
    return "".join(f"{value & 0xFFFF:04x}" for value in lowest)
