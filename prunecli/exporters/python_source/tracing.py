"""The forward pass of a network as a graph: by following its modules, or its operators."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prunecli.exporters.comparison import tensors_of
from prunecli.exporters.python_source.modules_again import with_attributes, with_calls
from prunecli.exporters.silence import silence
from prunecli.exporters.torch_export import exported
from prunecli.exporters.wording import reason

if TYPE_CHECKING:
    from torch import Tensor, fx, nn

TRAINING_TOLERANCE = 1e-4
CHECKS = ("_assert", "_guards", "sym_constrain")  # of sizes and types, by tracers
MOST_INPUTS = 2  # that a network may have whose modules are kept


@dataclass(frozen=True)
class Traced:
    """A graph on the modules and tensors of the network.

    `by_modules` says that the modules themselves were followed, not the operators that they come to;
    `trains` that the graph computes what the network does in training mode too, `reason` why not.
    `constants` are tensors that the graph reads and the network does not name.
    """

    graph: fx.Graph
    by_modules: bool
    trains: bool
    reason: str | None
    constants: Mapping[str, Tensor]


def with_modules(model: nn.Module, example: tuple[Tensor, ...]) -> Traced:
    """Symbolic tracing down to the modules of torch; raises whatever the network makes it raise."""
    from torch import fx

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            """Modules of torch, but for containers and those with hooks, which would be left out."""
            return super().is_leaf_module(m, module_qualified_name) and not m._forward_hooks

    root = _of_inputs(model, len(example))
    graph = Tracer().trace(root)
    traced = fx.GraphModule(root, graph)
    drop_checks(graph)
    own = {name for name, _ in _tensors(model)}
    constants = {
        str(node.target): _at(traced, str(node.target)).detach()
        for node in graph.nodes
        if node.op == "get_attr" and node.target not in own
    }
    why_not = _differs_in_training(model, traced, example)
    return Traced(graph, True, why_not is None, why_not, constants)


def of_operators(model: nn.Module, example: tuple[Tensor, ...]) -> Traced:
    """The program of torch.export, its operators as modules again where one is all that a module does.

    Raises ValueError where torch.export cannot follow the network.
    """
    from torch import fx
    from torch.utils import _pytree as pytree

    program = exported(model, example)
    signature, spec = program.graph_signature, program.call_spec.out_spec
    if signature.buffers_to_mutate or signature.user_inputs_to_mutate or spec is None:
        raise ValueError("the network changes its own tensors while it runs")
    named = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    own = dict(_tensors(model))
    lifted = {
        place: name
        for place, name in {**named, **signature.inputs_to_lifted_tensor_constants}.items()
        if name not in own
    }
    constants = {place: program.constants[name] for place, name in lifted.items()}
    graph = copy.deepcopy(program.graph)  # one that belongs to no module, so that names may be the network's
    with_attributes(graph, {**named, **{place: place for place in lifted}})
    with_calls(graph, model)
    output = graph.output_node()
    output.args = (pytree.tree_unflatten(list(output.args[0]), spec),)
    modules = dict(model.named_modules(remove_duplicate=False))
    traced = fx.GraphModule({**modules, **own, **constants}, graph)
    drop_checks(graph)
    traced.recompile()
    why_not = _differs_in_training(model, traced, example)
    return Traced(graph, False, why_not is None, why_not, constants)


def drop_checks(graph: fx.Graph) -> None:
    """Leave out the tracers' checks of sizes and types, and what only they read."""
    for node in reversed(list(graph.nodes)):
        name = getattr(node.target, "__name__", str(node.target))
        if node.op in {"call_function", "call_module"} and name.startswith(CHECKS) and not node.users:
            graph.erase_node(node)
    graph.eliminate_dead_code()


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _of_inputs(model: nn.Module, inputs: int) -> nn.Module:
    """The network with a forward of exactly so many arguments: optional ones are as they are left out."""
    forward = type(model).forward
    if inputs > MOST_INPUTS or forward.__code__.co_flags & inspect.CO_VARARGS:
        raise ValueError("modules are kept of networks that take one or two inputs by position")

    def of_one(self: nn.Module, input: Tensor) -> Any:  # noqa: A002 - the name in the file
        return forward(self, input)

    def of_two(self: nn.Module, input0: Tensor, input1: Tensor) -> Any:
        return forward(self, input0, input1)

    made = copy.copy(model)
    made.__class__ = type(type(model).__name__, (type(model),), {"forward": (of_one, of_two)[inputs - 1]})
    return made


def _differs_in_training(model: nn.Module, traced: nn.Module, example: tuple[Tensor, ...]) -> str | None:
    """Why the graph does not compute what the network does in training; None where it does."""
    try:
        with silence():
            kept = {name for name, _ in traced.named_buffers()}
            names = [name for name in saved_buffers(model) if name in kept]
            expected, found = (trained_once(each, example, names) for each in (model, traced))
    except Exception as failure:  # a network may need targets in training
        return f"training mode fails: {reason(failure)}"
    if len(expected) != len(found) or not all(map(_close, expected, found)):
        return "the forward pass asks for the mode outside of modules"
    return None


def saved_buffers(model: nn.Module) -> list[str]:
    """The names of the buffers that a state dict holds, sorted."""
    buffers = {name for name, _ in model.named_buffers(remove_duplicate=False)}
    return sorted(buffers & model.state_dict().keys())


def trained_once(model: nn.Module, example: tuple[Tensor, ...], names: Sequence[str]) -> list[Tensor]:
    """Outputs, and the buffers called `names`, of a copy after one seeded pass in training mode."""
    import torch

    copied = copy.deepcopy(model).train()
    torch.manual_seed(0)
    with torch.no_grad():
        outputs = tensors_of(copied(*(each.clone() for each in example)))
    buffers = dict(copied.named_buffers(remove_duplicate=False))
    return [*outputs, *(buffers[name] for name in names)]


def _close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    scale = float(one.double().abs().max()) if one.numel() else 0.0
    error = float((one.double() - other.double()).abs().max()) if one.numel() else 0.0
    return error <= TRAINING_TOLERANCE * max(scale, 1.0)


def _at(module: nn.Module, path: str) -> Any:
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part)
    return found
