"""Which widths this machine likes: the multiple of channels from which on more does not help, measured.

Vector units and tensor cores work on blocks of channels, and what does not fill its last block costs as much
as what does. How large the blocks are depends on the machine, the type and the library: it is not looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.tracing import Operation
from prunecli.latency.measuring import measure
from prunecli.latency.pieces import Piece, Spread, keeping, piece_of, steps_of

MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
FILLED = 16  # widths that are multiples of this say how throughput grows with width alone
WITHIN = 0.08  # of the throughput at larger multiples
KINDS = 2  # of layers of the network that are tried, the heaviest; and one that is depthwise
HEAVY = 0.1  # of the network's work, from which on a kind is tried
SMALLEST_SIDE, LARGEST_SIDE = 7, 28  # of the maps on which convolutions are tried
ROWS = 256  # of the products on which linear layers are tried, for each input


@dataclass(frozen=True)
class _Trial:
    """Which widths are tried, on how many inputs: an accelerator must be full to show what it likes.

    `reach` on both sides of `middle` lie three multiples of `reach`, the largest that is told from others.
    """

    middle: int
    reach: int
    batch: int


TRIALS = {"cpu": _Trial(64, 32, 4)}
ON_ACCELERATORS = _Trial(256, 64, 64)


@dataclass(frozen=True)
class LikedWidths:
    """The multiple that the machine likes, and the throughput at multiples of each (and of no larger one).

    As a share of what is to be expected of such a width: wider layers are faster for other reasons too. Of
    several kinds of layers it is that of the one that asks for most.
    """

    multiple: int
    throughput: Mapping[int, float]

    @property
    def remark(self) -> str:
        """What was found, in words."""
        if self.multiple == 1:
            return "this machine runs this network's layers about as well at any width"
        lost = max(0.0, 1 - self.throughput[1])
        return f"this machine likes multiples of {self.multiple} channels: odd widths lose about {lost:.0%}"


@dataclass(frozen=True)
class SlowWidths:
    """Layers that keep another number of channels than a multiple of what the machine likes."""

    multiple: int
    layers: tuple[str, ...]

    @property
    def remarks(self) -> tuple[str, ...]:
        """One line when there are such layers, else none."""
        if not self.layers:
            return ()
        many = len(self.layers)
        which = "1 layer keeps a width that is" if many == 1 else f"{many} layers keep widths that are"
        return (f"{which} no multiple of {self.multiple}; expect less than the MAC ratio",)


def liked_widths(graph: ChannelGraph, *, device: str = "cpu", threads: int | None = None) -> LikedWidths:
    """The smallest multiple whose throughput no larger one beats by more than a few per cent.

    Tried at widths from 32 to 96 (on an accelerator 192 to 320) on layers of the kinds in which the network
    does most of its work, and on its depthwise ones: kernel and type as there, on maps of 7 to 28 positions a
    side. Takes a few seconds. Where nothing in the network can be tried, 1.
    """
    trial = TRIALS.get(device, ON_ACCELERATORS)
    by_kind = [_throughputs(kind, trial, device=device, threads=threads) for kind in _heaviest_kinds(graph)]
    found = [each for each in by_kind if each]
    if not found:
        return LikedWidths(1, dict.fromkeys(MULTIPLES, 1.0))
    return max((_judged(each, trial.reach) for each in found), key=lambda each: each.multiple)


def slow_widths(graph: ChannelGraph, removed: Mapping[str, Iterable[int]], *, multiple: int) -> SlowWidths:
    """The layers whose width is no multiple once channels (by group name) are removed.

    Counted are layers that lose channels: the others are as their author wanted them.
    """
    keep = keeping(graph.marked(removed))
    slow = []
    for layer in graph.layers:
        axis = graph.origins.get((layer.weight, layer.filter_axis))
        if axis is None or not axis.shape[1]:
            continue
        left = keep(layer.channels, axis)
        if left < layer.channels and left % multiple:
            slow.append(layer.name)
    return SlowWidths(multiple, tuple(slow))


def _judged(throughput: Mapping[int, float], largest: int) -> LikedWidths:
    """The multiple, up to `largest`, from the throughput at each width, in any unit."""
    multiples = [each for each in MULTIPLES if each <= largest]
    filled = [width for width in throughput if width % FILLED == 0]
    trend = np.polynomial.Polynomial.fit(filled, [np.log(throughput[width]) for width in filled], 2)
    speeds: dict[int, list[float]] = {}
    for width, speed in throughput.items():
        expected = float(np.exp(trend(width)))
        speeds.setdefault(max(each for each in multiples if width % each == 0), []).append(speed / expected)
    mean = {multiple: float(np.mean(speeds[multiple])) for multiple in multiples}
    liked = next(
        multiple
        for multiple, speed in mean.items()
        if speed >= (1 - WITHIN) * max(mean[other] for other in mean if other >= multiple)
    )
    return LikedWidths(liked, mean)


@dataclass(frozen=True)
class _Kind:
    """A kind of layer: a convolution with a square map of `side`, or (`side` 0) a product."""

    side: int
    kernel: tuple[int, ...]
    dtype: str
    depthwise: bool = False

    def piece(self, width: int, batch: int) -> Piece:
        """Such a layer from `width` to `width` channels."""
        if not self.side:
            return piece_of("aten.mm", (self._tensor(ROWS * batch, width), self._tensor(width, width)))
        maps = [self.side] * len(self.kernel)
        ones, zeros = (tuple([value] * len(self.kernel)) for value in (1, 0))
        padding = tuple(size // 2 for size in self.kernel)
        read, weight = self._tensor(batch, width, *maps), self._tensor(width, self.read(width), *self.kernel)
        groups = width if self.depthwise else 1
        return piece_of("aten.convolution", (read, weight, None, ones, padding, ones, False, zeros, groups))

    def read(self, width: int) -> int:
        """How many channels each filter reads."""
        return 1 if self.depthwise else width

    def _tensor(self, *shape: int) -> Spread:
        return Spread(shape, tuple(range(len(shape))), (), self.dtype)


def _heaviest_kinds(graph: ChannelGraph) -> list[_Kind]:
    work: dict[_Kind, int] = {}
    for step in steps_of(graph, batch=2):
        found = _KINDS.get(step.operation.name)
        if found is not None:
            kind, amount = found(step.operation)
            work[kind] = work.get(kind, 0) + amount
    ordered = sorted(work, key=lambda kind: -work[kind])
    dense, depthwise = ([kind for kind in ordered if kind.depthwise is each] for each in (False, True))
    whole = sum(work.values())
    return [*(kind for kind in dense[:KINDS] if work[kind] >= HEAVY * whole), *depthwise[:1]]


def _convolution(operation: Operation) -> tuple[_Kind, int]:
    weight, made = operation.args[1], operation.outputs[0]
    side = min(max(SMALLEST_SIDE, *made.shape[2:]), LARGEST_SIDE)
    depthwise = weight.shape[1] == 1 and operation.args[-1] > 1
    kind = _Kind(side, weight.shape[2:], str(weight.dtype).removeprefix("torch."), depthwise)
    return kind, int(np.prod(weight.shape) * np.prod(made.shape[2:]))


def _product(operation: Operation) -> tuple[_Kind, int]:
    weight = operation.tensors()[-1]
    rows = int(np.prod(operation.outputs[0].shape[:-1]))
    return _Kind(0, (), str(weight.dtype).removeprefix("torch.")), int(np.prod(weight.shape)) * rows


_KINDS = {"aten.convolution": _convolution, "aten.addmm": _product, "aten.mm": _product}


def _throughputs(kind: _Kind, trial: _Trial, *, device: str, threads: int | None) -> dict[int, float]:
    """Work done a second at each width, of the best; nothing where such a layer does not run."""
    widths = range(trial.middle - trial.reach, trial.middle + trial.reach + 1)
    pieces = {width: kind.piece(width, trial.batch) for width in widths}
    found = measure(list(pieces.values()), device=device, threads=threads)
    speeds: dict[int, float] = {}
    for width, piece in pieces.items():
        timing = found[piece.key]
        if timing is None:
            return {}
        speeds[width] = width * kind.read(width) / min(timing.seconds)  # others only ever make it slower
    top = max(speeds.values())
    return {width: speed / top for width, speed in speeds.items()}
