"""Where a network can be taken up behind its frozen beginning: a module through which everything goes.

The rest of a network reads what a frozen beginning computes. Where all of that is the output of one module,
the frontier, the outputs of another time can be served there and the modules before it need not run. Whether
a network can be run like that is tried, not assumed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

Forward = Callable[[Tensor], Tensor]
"""From images (B, C, H, W) to logits, by the network in the modes and numbers of its training."""

# By so much of the largest value two runs of the same images may differ: 16-bit products round like that.
_ALIKE = 0.01


@dataclass(frozen=True, eq=False)
class Frontier:
    """A module behind which a network can be taken up.

    `stubs` are the modules before it that need not run, with what they put out instead: one row of NaN. What
    is computed from that is cheap, and spoils the result if it should ever get past the frontier.
    """

    module: nn.Module
    stubs: Mapping[nn.Module, Tensor]

    @torch.no_grad()
    def outputs(self, forward: Forward, images: Tensor) -> Tensor:
        """What the frontier puts out for `images`; what lies behind it is not run."""
        run = self.module.forward

        def reach(*inputs: object, **named: object) -> Tensor:
            raise _Reached(run(*inputs, **named))

        try:
            with _replaced({self.module: reach}):
                forward(images)
        except _Reached as reached:
            return reached.output
        raise RuntimeError("the network went another way than when it was recorded")

    @contextmanager
    def serving(self, output: Tensor) -> Iterator[None]:
        """Inside, the frontier puts out `output`, and what lies before it does not run.

        The network may overwrite `output`.
        """
        forwards = {module: _answering(value) for module, value in self.stubs.items()}
        with _replaced({**forwards, self.module: _answering(output)}):
            yield


class _Reached(BaseException):
    """Carries the frontier's output out of the network; no error, so that no network catches it."""

    def __init__(self, output: Tensor) -> None:
        self.output = output


def find_frontier(
    model: nn.Module,
    images: Tensor,
    *,
    forward: Forward,
    largest: int,
    watched: nn.Module | None = None,
) -> Frontier | None:
    """The last frontier of `model` whose output has at most `largest` bytes an image; None without any.

    `images` are two or more, on the model's device, and `forward` runs the model in the modes in which it is
    trained. What it puts out at the frontier depends on no parameter that learns, on no random number and on
    no other image, and computing it changes no buffer. The output of the module `watched` is still made.
    Buffers and the state of torch's random generators are as before.
    """
    if len(images) < 2:
        return None
    device = images.device
    before = _copied(model)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            recording = _Recording(model, images, forward)
            _put_back(model, before)
            for call in recording.straight(largest=largest, watched=watched):
                frontier = Frontier(call.module, recording.stubs(call))
                if _holds(frontier, model, images, forward, before):
                    return frontier
        except Exception:  # whatever a network does on images that want gradients: it is run whole
            return None
        finally:
            _put_back(model, before)
    return None


@dataclass(eq=False)
class _Call:
    """A module ran from one tick of a clock to another; `node` made its output, if that is one tensor.

    `drawn` says that random numbers were drawn until then.
    """

    module: nn.Module
    around: _Call | None
    entered: int
    left: int = -1
    node: Node | None = None
    drawn: bool = False
    shape: tuple[int, ...] = ()
    dtype: torch.dtype = torch.float32


class _Recording:
    """Which module ran when in a pass, and which result came from which."""

    def __init__(self, model: nn.Module, images: Tensor, forward: Forward) -> None:
        self.images = images
        self.calls: list[_Call] = []
        self._clock = count()
        self._open: list[_Call] = []
        self._leaf = images.clone().requires_grad_()
        self._random = _random_states(images.device)
        handles = [
            handle
            for module in model.modules()
            for handle in (
                module.register_forward_pre_hook(self._enter),
                module.register_forward_hook(self._leave),
            )
        ]
        try:
            with torch.enable_grad():
                # Not the leaf itself: a network may overwrite its input.
                self._end = forward(self._leaf + 0).grad_fn
        finally:
            for handle in handles:
                handle.remove()
        self._times = Counter(call.module for call in self.calls)

    def _enter(self, module: nn.Module, inputs: object) -> None:
        call = _Call(module, self._open[-1] if self._open else None, next(self._clock))
        self._open.append(call)
        self.calls.append(call)

    def _leave(self, module: nn.Module, inputs: object, output: object) -> None:
        call = self._open.pop()
        call.left = next(self._clock)
        call.drawn = not _equal(_random_states(self.images.device), self._random)
        if isinstance(output, Tensor) and output.dim() and len(output) == len(self.images):
            call.node, call.shape, call.dtype = output.grad_fn, tuple(output.shape[1:]), output.dtype

    def straight(self, *, largest: int, watched: nn.Module | None) -> Iterator[_Call]:
        """The calls through whose output everything goes that comes from the images, the last one first."""
        seen = [call.left for call in self.calls if call.module is watched]
        for call in sorted(self.calls, key=lambda call: -call.left):
            numbers = torch.Size(call.shape).numel()
            if (
                call.node is not None
                and not call.drawn
                and self._times[call.module] == 1
                and numbers * call.dtype.itemsize <= largest
                and all(call.left <= left for left in seen)
                and self._weights(call)
                and not _learning(call.node, self._leaf)
                and not _leads_to(self._leaf, self._end, around=call.node)
            ):
                yield call

    def stubs(self, frontier: _Call) -> dict[nn.Module, Tensor]:
        """The outermost modules that ran once, before `frontier`, and put out one tensor."""
        found: dict[nn.Module, Tensor] = {}
        replaced: set[_Call] = set()
        for call in self.calls:
            if call.around in replaced:
                replaced.add(call)
            elif call.left < frontier.entered and call.node is not None and self._times[call.module] == 1:
                replaced.add(call)
                found[call.module] = self._leaf.new_full((1, *call.shape), float("nan"), dtype=call.dtype)
        return found

    def _weights(self, frontier: _Call) -> bool:
        """Whether anything of weight has run when `frontier` has."""
        done = (call.module for call in self.calls if call.left <= frontier.left)
        return any(True for module in done for _ in module.parameters(recurse=False))


def _holds(
    frontier: Frontier, model: nn.Module, images: Tensor, forward: Forward, before: Mapping[str, Tensor]
) -> bool:
    """Whether the network gives and learns the same when it is taken up at the frontier."""
    turned = images.flip(0)
    try:
        with torch.no_grad():
            logits, state = _seeded(forward, turned), _copied(model)
            _put_back(model, before)
            served = frontier.outputs(forward, turned)
            # What a module may have put by for later is now of other images than those it is tried with.
            parts = [frontier.outputs(forward, part) for part in (images[:1], images[1:])]
            if not (_equal(_copied(model), before) and _alike(torch.cat(parts).flip(0), served)):
                return False
            with frontier.serving(served):
                again = _seeded(forward, turned)
            buffers = _copied(model).items()
            return _alike(again, logits) and all(_alike(value, state[name]) for name, value in buffers)
    except Exception:  # a network may do anything with the row of NaN: then it is run whole
        return False
    finally:
        _put_back(model, before)


def _copied(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the buffers: a forward pass changes nothing else."""
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


@torch.no_grad()
def _put_back(model: nn.Module, buffers: Mapping[str, Tensor]) -> None:
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])


def _seeded(forward: Forward, images: Tensor) -> Tensor:
    torch.manual_seed(0)
    return forward(images)


def _random_states(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    return {**states, "cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states


def _equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


def _alike(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape or not second.numel():
        return first.shape == second.shape
    largest = float(second.double().abs().max())
    return torch.allclose(first.double(), second.double(), rtol=0.0, atol=_ALIKE * largest)


def _learning(node: Node, leaf: Tensor) -> bool:
    """Whether a parameter that learns is behind `node`."""
    return any(getattr(each, "variable", leaf) is not leaf for each in _behind(node))


def _leads_to(leaf: Tensor, end: Node | None, *, around: Node) -> bool:
    """Whether `end` was computed from `leaf` on a way that does not go through `around`."""
    return end is not None and any(getattr(each, "variable", None) is leaf for each in _behind(end, around))


def _behind(node: Node, around: Node | None = None) -> Iterator[Node]:
    """The nodes from which `node` was computed, itself among them, without `around` and what is behind it."""
    found: set[Node] = set()
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if each is around or each in found:
            continue
        found.add(each)
        yield each
        waiting += [before for before, _ in each.next_functions if before is not None]


def _answering(value: Tensor) -> Callable[..., Tensor]:
    def answer(*inputs: object, **named: object) -> Tensor:
        return value

    return answer


@contextmanager
def _replaced(forwards: Mapping[nn.Module, Callable[..., Tensor]]) -> Iterator[None]:
    """Inside, the modules have another `forward`; after it, whatever happened, the one that they had."""
    own = {module: vars(module).get("forward") for module in forwards}
    try:
        for module, forward in forwards.items():
            vars(module)["forward"] = forward
        yield
    finally:
        for module, before in own.items():
            if before is None:
                vars(module).pop("forward", None)
            else:
                vars(module)["forward"] = before
