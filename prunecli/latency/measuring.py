"""Seconds of single operations on this machine, each at its own shapes, timed in interleaved rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from prunecli.latency.memory import memory_kept
from prunecli.latency.pieces import Piece, Spread
from prunecli.latency.timing import Timing, time_side_by_side

ROUNDS = 7
# Seconds of a turn. A single call on a CPU finds the caches as it would within the network, where others ran
# before it; on an accelerator it would measure how long it takes to start and to wait.
TURNS = {"cpu": 0.0}
TURN = 0.002


@contextmanager
def threads_set(threads: int | None) -> Iterator[None]:
    """Operations run on so many threads meanwhile; None leaves the number as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def waiting_for(device: str) -> Callable[[], object] | None:
    """What waits until `device` has done all that was started; None where nothing is started ahead."""
    kind = torch.device(device).type
    return {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(kind)


def measure(pieces: Sequence[Piece], *, device: str, threads: int | None) -> dict[str, Timing | None]:
    """Seconds of each piece in the same rounds, by key; None for one that does not run by itself.

    Tensors hold ones and share their memory, so that it suffices for the largest. Memory is kept from call to
    call, for asking the system for it can take longer than the work.
    """
    made = _Tensors(pieces, device)
    found: dict[str, Timing | None] = {}
    runs = []
    with torch.inference_mode(), threads_set(threads), memory_kept():
        for piece in pieces:
            run = _runner(piece, made)
            try:
                run()
            except Exception:  # an operation outside of its network may raise anything
                found[piece.key] = None
            else:
                runs.append((piece.key, run))
        if runs:
            timings = time_side_by_side(
                [run for _, run in runs],
                rounds=ROUNDS,
                warm_up=1,
                turn=TURNS.get(made.device.type, TURN),
                finish=waiting_for(device),
            )
            found |= {key: timing for (key, _), timing in zip(runs, timings, strict=True)}
    return found


class _Tensors:
    """Tensors for pieces: one piece of memory for each place among the arguments and type."""

    def __init__(self, pieces: Sequence[Piece], device: str) -> None:
        self.device = torch.device(device)
        sizes: dict[tuple[int, str], int] = {}
        for piece in pieces:
            for place, spread in enumerate(_spreads((piece.args, tuple(piece.kwargs.values())))):
                slot = place, spread.dtype
                sizes[slot] = max(sizes.get(slot, 0), _elements(spread))
        self._memory = {slot: self._filled(slot[1], size) for slot, size in sizes.items()}

    def _filled(self, dtype: str, size: int) -> Tensor:
        kind = getattr(torch, dtype)
        whole = not (kind.is_floating_point or kind.is_complex or kind == torch.bool)
        return torch.full((size,), 0 if whole else 1, dtype=kind, device=self.device)  # 0 is a valid index

    def arguments(self, piece: Piece) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a piece with tensors in the place of their shapes."""
        place = iter(range(1_000_000))

        def real(given: Any) -> Any:
            if isinstance(given, Spread):
                memory = self._memory[next(place), given.dtype]
                return memory.as_strided(given.shape, _strides(given))
            if isinstance(given, tuple):
                return [real(each) for each in given]
            return self.device if isinstance(given, torch.device) else given

        return tuple(map(real, piece.args)), {name: real(each) for name, each in piece.kwargs.items()}


def _runner(piece: Piece, made: _Tensors) -> Callable[[], object]:
    args, kwargs = made.arguments(piece)
    room, _, leaf = piece.name.partition(".")
    function = getattr(getattr(torch.ops, room), leaf)
    return lambda: function(*args, **kwargs)


def _spreads(tree: tuple[Any, ...]) -> Iterator[Spread]:
    for leaf in tree:
        if isinstance(leaf, Spread):
            yield leaf
        elif isinstance(leaf, tuple):
            yield from _spreads(leaf)


def _elements(spread: Spread) -> int:
    return math.prod(size for d, size in enumerate(spread.shape) if d not in spread.repeated)


def _strides(spread: Spread) -> tuple[int, ...]:
    strides, step = [0] * len(spread.shape), 1
    for d in reversed(spread.order):
        if d not in spread.repeated:
            strides[d], step = step, step * spread.shape[d]
    return tuple(strides)
