"""The proof after a cut: the cut network computes what the masked original computes."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from prunecli.dispatch import LightDispatchMode
from prunecli.errors import WorkFailed
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.inputs import weights_type
from prunecli.graph.tracing import packet_name, set_mode
from prunecli.surgery.cutting import scaled_rows
from prunecli.surgery.masked import run_masked
from prunecli.surgery.plan import Scaling
from prunecli.surgery.proof_input import graphs_for_proof, ignores_mode

METHOD = "masked original, random input of {shapes}, inference and training mode, float64"
TOLERANCE = 1e-9
HIGHEST_TOLERANCE = 1e-6
ROUNDING_MARGIN = 100
ROUNDINGS = 8  # of a weight that is scaled in several cuts, in units of its last bit


@dataclass(frozen=True)
class Verification:
    """How far the cut network's outputs are from the masked original's.

    `max_rel_error` is the largest absolute error over the largest absolute output.
    """

    method: str
    max_abs_error: float
    max_rel_error: float
    tolerance: float
    equivalent: bool

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def prove(
    graph: ChannelGraph,
    original: nn.Module,
    cut: nn.Module,
    removed: Mapping[str, Iterable[int]],
    *,
    scalings: Sequence[Scaling] = (),
    seed: int = 0,
) -> Verification:
    """The same as `verify`; raises WorkFailed when the two do not compute the same."""
    found = verify(graph, original, cut, removed, scalings=scalings, seed=seed)
    if not found.equivalent:
        raise WorkFailed(
            "the pruned network does not compute what the masked original computes: "
            f"relative error {found.max_rel_error:.3g}",
            hints=["nothing was written", "this is a fault of prunecli: please report the architecture"],
        )
    return found


def verify(
    graph: ChannelGraph,
    original: nn.Module,
    cut: nn.Module,
    removed: Mapping[str, Iterable[int]],
    *,
    scalings: Sequence[Scaling] = (),
    seed: int = 0,
) -> Verification:
    """Compare `cut` with `original` when the channels `removed` (by group name) are masked in it.

    Both are compared as float64 copies, one after the other, in inference mode and in training mode with
    dropout off, on normal random input. Nothing is changed in either network. A network that amplifies
    rounding (a deep one, with batch statistics of two images) is allowed `ROUNDING_MARGIN` times what the
    last bit of the input does to the masked original itself, `HIGHEST_TOLERANCE` at most; the tolerance in
    the result says so.

    Weights that `scalings` of the plan multiplied were rounded to their type. They must be the products up to
    that rounding, and are compared unrounded.

    The input is a small one where the network does the same on it. Where that amplifies rounding, larger
    pictures are tried; what is not proved on a small input is compared on the input of the trace.
    """
    best = None
    for each in graphs_for_proof(graph):
        if best is not None and best.equivalent and each.calling is graph.calling:
            break
        found = _compared(each, original, cut, removed, scalings, seed=seed)
        if best is None or _standing(found) > _standing(best):
            best = found
        if found.max_rel_error <= TOLERANCE:
            break
    assert best is not None  # the graph itself is one of them
    return best


def _standing(found: Verification) -> tuple[bool, float]:
    return found.equivalent, -found.max_rel_error


def _compared(
    graph: ChannelGraph,
    original: nn.Module,
    cut: nn.Module,
    removed: Mapping[str, Iterable[int]],
    scalings: Sequence[Scaling],
    *,
    seed: int,
) -> Verification:
    """The comparison on the inputs of the traces of `graph`."""
    marked = graph.marked(removed)
    generator = torch.Generator().manual_seed(seed)
    batch = graph.traces[0].inputs[0].shape[0]  # the same shapes as in the trace
    inputs = graph.calling.random(generator, torch.float64, batch=batch)

    def masked(inputs: Sequence[Tensor], numbers: Sequence[int]) -> list[list[Tensor]]:
        whole = _in_float64(original)

        def run(number: int) -> list[Tensor]:
            _prepare(whole, graph, number, seed=seed)
            return _outputs(run_masked(graph, whole, inputs, marked, trace=number))

        return [run(number) for number in numbers]

    numbers = range(len(graph.traces))
    once = ignores_mode(graph)
    with _exactly():
        expected = masked(inputs, numbers[:1]) * 2 if once else masked(inputs, numbers)
        small = _in_float64(cut)
        _unround(graph, original, small, marked, scalings, eps=torch.finfo(weights_type(cut)).eps)
        worst_abs, worst_rel, tolerance = 0.0, 0.0, TOLERANCE
        for number in numbers:
            _prepare(small, graph, number, seed=seed)
            absolute, relative = _difference(expected[number], _outputs(graph.calling.run(small, inputs)))
            if TOLERANCE < relative < HIGHEST_TOLERANCE:
                (nudged,) = masked([_nudged(each) for each in inputs], [number])
                amplified = ROUNDING_MARGIN * _difference(expected[number], nudged)[1]
                tolerance = max(tolerance, min(amplified, HIGHEST_TOLERANCE))
            worst_abs, worst_rel = max(worst_abs, absolute), max(worst_rel, relative)
    if worst_rel <= tolerance:
        _check_cuts(graph, original, cut, marked, {each.tensor for each in scalings})
    method = METHOD.format(shapes=_shapes(graph))
    return Verification(method, worst_abs, worst_rel, tolerance, bool(worst_rel <= tolerance))


def _prepare(model: nn.Module, graph: ChannelGraph, number: int, *, seed: int) -> None:
    """Set the mode of the graph's trace, and draw the same numbers where a branch is dropped at random."""
    set_mode(model, training=graph.traces[number].training)
    torch.manual_seed(seed)


def _in_float64(model: nn.Module) -> nn.Module:
    """A copy on the CPU whose parameters and buffers are float64; no other copy of them is made meanwhile."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(_own(parameter.detach()), requires_grad=False)
    for buffer in model.buffers():
        memo[id(buffer)] = _own(buffer)
    return copy.deepcopy(model, memo)


def _own(tensor: Tensor) -> Tensor:
    dtype = torch.float64 if tensor.is_floating_point() else tensor.dtype
    return tensor.to("cpu", dtype, copy=True)


def _shapes(graph: ChannelGraph) -> str:
    """The inputs in words: "3x80x80"."""
    return " and ".join("x".join(map(str, each.shape)) for each in graph.calling.inputs)


def _unround(
    graph: ChannelGraph,
    original: nn.Module,
    small: nn.Module,
    marked: NDArray[np.bool_],
    scalings: Sequence[Scaling],
    *,
    eps: float,
) -> None:
    """Put the exact products in place of scaled weights; raises WorkFailed when these are others."""
    for name in dict.fromkeys(scaling.tensor for scaling in scalings):
        parameter = small.get_parameter(name)
        found = parameter.detach()
        weight = original.get_parameter(name).detach().to("cpu", torch.float64)
        exact = scaled_rows(weight, [each for each in scalings if each.tensor == name])
        exact = _what_stays(graph, name, exact, marked)
        if exact.shape != found.shape or _largest(exact - found) > ROUNDINGS * eps * _largest(exact):
            raise WorkFailed(f"{name} is not what the plan's scaling makes of it")
        parameter.data = exact


def _what_stays(graph: ChannelGraph, name: str, tensor: Tensor, marked: NDArray[np.bool_]) -> Tensor:
    """A tensor of the whole network without the positions of the marked labels; itself where it has none."""
    for axis in range(tensor.dim()):
        if (name, axis) in graph.origins:
            gone = graph.removed_from(name, axis, marked)
            if gone.any():
                stays = torch.from_numpy(np.flatnonzero(~gone)).to(tensor.device)
                tensor = tensor.index_select(axis, stays)
    return tensor


def _check_cuts(
    graph: ChannelGraph, original: nn.Module, cut: nn.Module, marked: NDArray[np.bool_], scaled: set[str]
) -> None:
    """Raise WorkFailed where a cut tensor is not what the labels leave of the whole one.

    A channel that the random input never wakes (a rectifier gives zeros for all of it) hides its weights and
    statistics from the outputs; here they show.
    """
    found = {**dict(cut.named_parameters()), **dict(cut.named_buffers())}
    for name, tensor in [*original.named_parameters(), *original.named_buffers()]:
        stays = _what_stays(graph, name, tensor.detach(), marked)
        if stays.shape != tensor.shape and name not in scaled:
            there = found[name].detach()
            if there.shape != stays.shape or not torch.equal(there.to(stays.device), stays):
                raise WorkFailed(f"{name} is not what the plan leaves of it")


def _nudged(given: Tensor) -> Tensor:
    """The input with its last bit changed; ids stay."""
    if not given.is_floating_point():
        return given
    return given * (1 + torch.finfo(given.dtype).eps * torch.randn_like(given))


def _difference(expected: list[Tensor], found: list[Tensor]) -> tuple[float, float]:
    """The largest absolute error, and the largest relative to the largest value of its output."""
    if [t.shape for t in expected] != [t.shape for t in found]:
        raise WorkFailed("the cut network gives outputs of other shapes than the original")
    absolute, relative = 0.0, 0.0
    for one, other in zip(expected, found, strict=True):
        error, scale = _largest(one - other), _largest(one)
        absolute = max(absolute, error)
        relative = max(relative, error / scale if 0 < scale < math.inf else error)
    return absolute, relative


def _outputs(result: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]


def _largest(tensor: Tensor) -> float:
    """The largest magnitude; infinite where a value is no number, so that no proof passes on it."""
    if not tensor.numel():
        return 0.0
    largest = float(tensor.abs().max())
    return math.inf if math.isnan(largest) else largest


class Exactly(LightDispatchMode):
    """What would hide or fake a difference is taken out of a forward pass.

    Dropout drops nothing, functional dropout too: the two networks would draw different numbers. Where the
    forward asks for float32 it gets float64: rounding there would be all that the comparison shows.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if any(value is torch.float32 for value in kwargs.values()):
            kwargs = {
                name: torch.float64 if value is torch.float32 else value for name, value in kwargs.items()
            }
        result = func(*args, **kwargs)
        name = packet_name(func)
        if name in {"aten.bernoulli", "aten.bernoulli_"}:
            result.fill_(1)
        elif name == "aten.native_dropout":
            return args[0].clone(), torch.ones_like(result[1])
        return result


@contextmanager
def _exactly() -> Iterator[None]:
    """Compute in float64 without gradients; no fused attention hides the products inside.

    Tensors that a forward makes are float64, and what is drawn at random is nobody else's.
    """
    enabled, default = torch.backends.mha.get_fastpath_enabled(), torch.get_default_dtype()
    torch.backends.mha.set_fastpath_enabled(False)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), Exactly():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
        torch.set_default_dtype(default)
