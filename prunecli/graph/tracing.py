"""Trace by running: every ATen operation of one forward pass, on the meta device, with its tensors.

No symbolic tracing: whatever control flow the forward has, it takes. Tensors become `TensorRef`s, so a
trace holds no data. Each operation knows the module call that issued it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from prunecli.dispatch import LightDispatchMode
from prunecli.graph.inputs import Run
from prunecli.graph.meta_shapes import run_on_shapes
from prunecli.graph.module_calls import Forward, forwards_go_through
from prunecli.graph.recurrent import recurrent_layers_whole

OnOperation = Callable[["Operation"], None]


@dataclass(frozen=True)
class TensorRef:
    """A tensor of the trace: its number, shape, type and layout; `name` when it is a parameter or buffer.

    `value` is known of a single number that the forward made from a Python number.
    """

    number: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    name: str | None = None
    stride: tuple[int, ...] | None = field(default=None, compare=False)
    value: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Operation:
    """One ATen call. `args` and `kwargs` hold TensorRefs where tensors were; `outputs` are the results."""

    index: int
    name: str  # packet name without overload: "aten.convolution"
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[TensorRef, ...]
    call: int

    def tensors(self) -> list[TensorRef]:
        """The tensor arguments, in order, those inside lists too."""
        return list(self._tensors)

    @property
    def makes_values(self) -> bool:
        """Whether it makes a tensor of more than one value from numbers alone."""
        from_tensors = self._tensors and not self.name.endswith("_like") and ".new_" not in self.name
        return not from_tensors and any(math.prod(ref.shape) > 1 for ref in self.outputs)

    @cached_property
    def _tensors(self) -> tuple[TensorRef, ...]:
        return tuple(_refs_in((*self.args, *self.kwargs.values())))


def _refs_in(tree: Iterable[Any]) -> Iterator[TensorRef]:
    for leaf in tree:
        if isinstance(leaf, TensorRef):
            yield leaf
        elif isinstance(leaf, (list, tuple)):
            yield from _refs_in(leaf)


@dataclass(frozen=True)
class ModuleCall:
    """One call of a module's forward: its path, the call it was made from, and where its operations begin."""

    number: int
    path: str
    parent: int
    first_operation: int
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trace:
    """The operations of one forward pass in order, the module calls they came from, inputs and outputs."""

    operations: tuple[Operation, ...]
    calls: tuple[ModuleCall, ...]
    inputs: tuple[TensorRef, ...]
    outputs: tuple[TensorRef, ...]
    training: bool

    def same_course(self, other: Trace) -> bool:
        """Whether the other runs the same operations on the same tensors; flags of training may differ."""
        return len(self.operations) == len(other.operations) and all(
            one.name == two.name
            and _without_flags(one.args) == _without_flags(two.args)
            and one.kwargs == two.kwargs
            for one, two in zip(self.operations, other.operations, strict=True)
        )

    def path_of(self, operation: Operation) -> str:
        """The path of the module that issued the operation."""
        return self.calls[operation.call].path

    def place_of(self, operation: Operation) -> str:
        """The same in words: the outermost module has no path."""
        return self.path_of(operation) or "the network"


def _without_flags(args: tuple[Any, ...]) -> list[Any]:
    return [each for each in args if not isinstance(each, bool)]


DROPOUTS = (nn.modules.dropout._DropoutNd, nn.RNNBase)  # a recurrent layer drops between its own layers
DROPPING_BRANCHES = {"StochasticDepth", "DropPath"}  # torchvision's and timm's; others took the name over
COUNTING = torch.ops.aten.add_.Tensor


class Recorder(LightDispatchMode):
    """Records every operation while it is active; `before` sees each one before it runs."""

    def __init__(self, names: dict[int, str], *, before: OnOperation | None = None) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.calls: list[ModuleCall] = [ModuleCall(0, "", 0, 0)]
        self.stack: list[int] = [0]
        self._names = names
        self._numbers: dict[int, TensorRef] = {}
        self._alive: list[Tensor] = []  # keeps ids from being used twice
        self._before = before

    def ref(self, tensor: Tensor) -> TensorRef:
        """The reference of a tensor, new on its first appearance."""
        known = self._numbers.get(id(tensor))
        if known is not None:
            return known
        made = TensorRef(
            len(self._alive),
            tuple(tensor.shape),
            tensor.dtype,
            self._names.get(id(tensor)),
            tensor.stride() if tensor.layout == torch.strided else None,
            float(tensor) if tensor.dim() == 0 and tensor.device.type == "cpu" else None,
        )
        self._alive.append(tensor)
        self._numbers[id(tensor)] = made
        return made

    def refs(self, tree: Any) -> Any:
        """The same tree with references where tensors were."""
        if type(tree) is tuple and all(isinstance(leaf, Tensor) for leaf in tree):  # the usual case
            return tuple(map(self.ref, tree))
        if not tree:
            return tree
        return pytree.tree_map(lambda leaf: self.ref(leaf) if isinstance(leaf, Tensor) else leaf, tree)

    def counts(self, func: Any, args: tuple[Any, ...]) -> bool:
        """Whether an operation counts training steps in a buffer, as batch norms do: no part of a trace."""
        return (
            func is COUNTING
            and isinstance(args[0], Tensor)
            and not args[0].dim()
            and id(args[0]) in self._names
        )

    def _arguments(self, given: Iterable[Any]) -> list[Any]:
        """An operation's arguments with references where tensors were; only lists hold tensors there."""
        return [
            self.ref(each)
            if isinstance(each, Tensor)
            else self._arguments(each)
            if isinstance(each, list)
            else each
            for each in given
        ]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.counts(func, args):
            return func(*args, **kwargs)
        given = tuple(self._arguments(args))
        named = dict(zip(kwargs, self._arguments(kwargs.values()), strict=True)) if kwargs else {}
        asked = len(self.operations), packet_name(func), given, named
        if self._before is not None:
            self._before(Operation(*asked, (), self.stack[-1]))
        result = run_on_shapes(func, args, kwargs)
        made = result if isinstance(result, (list, tuple)) else (result,)
        outputs = tuple(self.ref(leaf) for leaf in made if isinstance(leaf, Tensor))
        self.operations.append(Operation(*asked, outputs, self.stack[-1]))
        return result

    @contextmanager
    def watching(self, modules: Sequence[tuple[str, nn.Module]]) -> Iterator[None]:
        """Record which of the modules, by path, each operation comes from."""

        def around(path: str, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            number, parent = len(self.calls), self.stack[-1]
            given = self.refs(args), self.refs(kwargs)
            self.calls.append(ModuleCall(number, path, parent, len(self.operations), *given))
            self.stack.append(number)
            try:
                return forward(*args, **kwargs)
            finally:
                self.stack.pop()

        with forwards_go_through(modules, around):
            yield


@cache
def packet_name(func: Any) -> str:
    """The name of an operation without its overload: "aten.convolution"."""
    return str(func.overloadpacket)


def tensor_names(model: nn.Module) -> dict[int, str]:
    """The first name of every parameter and buffer, by identity; tied tensors keep one name."""
    return _names_in(list(model.named_modules()))


def _names_in(modules: Sequence[tuple[str, nn.Module]]) -> dict[int, str]:
    names: dict[int, str] = {}
    for table in ("_parameters", "_buffers"):
        for path, module in modules:
            for leaf, tensor in getattr(module, table).items():
                if tensor is not None:
                    names.setdefault(id(tensor), f"{path}.{leaf}" if path else leaf)
    return names


def set_mode(model: nn.Module, *, training: bool) -> None:
    """Training or inference, with dropout off in both: it drops values, never channels."""
    model.train(training)
    for module in model.modules() if training else ():
        if _drops(module):
            module.eval()


def _drops(module: nn.Module) -> bool:
    """Whether a module does nothing but drop values or whole branches in training."""
    return isinstance(module, DROPOUTS) or (
        type(module).__name__ in DROPPING_BRANCHES
        and not (module._parameters or module._buffers or module._modules)
    )


def may_part(module: nn.Module) -> bool:
    """Whether a module that asks if it trains may run other operations then."""
    if isinstance(module, nn.MultiheadAttention):
        return bool(module.dropout > 0)
    return not (isinstance(module, nn.modules.batchnorm._NormBase) or _drops(module))


def _call(model: nn.Module, inputs: Sequence[Tensor]) -> Any:
    return model(*inputs)


def record(
    model: nn.Module,
    inputs: Sequence[Tensor],
    *,
    run: Run = _call,
    training: bool = False,
    before: OnOperation | None = None,
) -> Trace:
    """Call `model` once with `inputs` and return what it did; model and inputs lie on the same device.

    Raises whatever the forward raises.
    """
    modules = list(model.named_modules())
    was_training = [vars(module)["training"] for _, module in modules]
    recorder = Recorder(_names_in(modules), before=before)
    set_mode(model, training=training)
    try:
        with torch.no_grad(), recurrent_layers_whole(model), recorder.watching(modules), recorder:
            result = run(model, inputs)
    finally:
        for (_, module), mode in zip(modules, was_training, strict=True):
            vars(module)["training"] = mode
    outputs = tuple(recorder.ref(leaf) for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor))
    return Trace(
        tuple(recorder.operations),
        tuple(recorder.calls),
        tuple(recorder.ref(tensor) for tensor in inputs),
        outputs,
        training,
    )
