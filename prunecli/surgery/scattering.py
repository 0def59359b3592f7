"""Scatters: a module gives fewer channels than its stream has, and they are added where they belong.

A scatter is a buffer `scatter_index` of the module, which no state dict holds, and a forward hook that puts
the module's channels at the positions in it and zeros elsewhere. With all positions in it the module computes
what it did: so the whole network has them too, its graph shows what they separate, and a cut takes entries of
the index as it takes rows of a weight. A plan that cuts `MODULE.scatter_index` says that MODULE has one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prunecli.errors import InputRefused
from prunecli.graph.branches import branch_ends, is_batch_norm
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.layers import CONVOLUTIONS, TRANSPOSED
from prunecli.surgery.plan import Cut, Plan

SCATTER_INDEX = "scatter_index"


@dataclass(frozen=True)
class Scatter:
    """A forward hook: the module's channels along `dim`, at their positions among `size`."""

    size: int
    dim: int

    def __call__(self, module: nn.Module, given: Any, output: Any) -> Any:
        """(…, kept, …) → (…, size, …); of several outputs the first is meant."""
        if isinstance(output, tuple):
            return (self._scattered(module, output[0]), *output[1:])
        return self._scattered(module, output)

    def _scattered(self, module: nn.Module, output: Tensor) -> Tensor:
        shape = list(output.shape)
        shape[self.dim] = self.size
        index: Tensor = module.get_buffer(SCATTER_INDEX)
        return output.new_zeros(shape).index_add_(self.dim, index, output)


def scatterable(model: nn.Module, graph: ChannelGraph) -> nn.Module:
    """The same network, its tensors shared, with a scatter of all channels at the end of every branch.

    `graph` is that of `model`; the model itself when no branch ends can be told.
    """
    widths = {layer.name: layer.channels for layer in graph.layers}
    ends = {end.module: widths[end.layer] for end in branch_ends(graph)}
    return _with_scatters(model, ends.items())


def scatterable_for(plan: Plan, model: nn.Module) -> nn.Module:
    """The same network, its tensors shared, with the scatters that `plan` cuts; InputRefused without them."""
    for cut in scatter_cuts(plan):
        check_scatter(cut, model)
    return _with_scatters(model, ((module_of(cut), cut.size) for cut in scatter_cuts(plan)))


def scatter_cuts(plan: Plan) -> Iterator[Cut]:
    """The cuts of the plan that say which channels of a module are scattered."""
    return (cut for cut in plan.cuts if is_scatter(cut.tensor))


def is_scatter(tensor: str) -> bool:
    """Whether a tensor of this name is the index of a scatter."""
    return tensor.rpartition(".")[2] == SCATTER_INDEX


def module_of(cut: Cut) -> str:
    """The module whose scatter is cut."""
    return cut.tensor.rpartition(".")[0]


def check_scatter(cut: Cut, model: nn.Module) -> None:
    """Raise InputRefused when the module whose scatter is cut is not there, or has not so many channels."""
    path = module_of(cut)
    try:
        module = model.get_submodule(path)
    except AttributeError:
        raise InputRefused(f"the plan scatters {path!r}, which is not there") from None
    sizes = (size for tensor in (*module.parameters(), *module.buffers()) for size in tensor.shape)
    if not path or cut.axis or cut.size > max(sizes, default=0):
        raise InputRefused(f"the plan scatters {cut.size} channels of {path!r}, which has not so many")


def attach(model: nn.Module, path: str, size: int) -> None:
    """Give a module the scatter of `size` channels, all of them its own; one that it has already stays."""
    module = model.get_submodule(path)
    if SCATTER_INDEX in module._buffers:
        return
    held = next((tensor for tensor in (*module.parameters(), *module.buffers())), None)
    index = torch.arange(size, device=None if held is None else held.device)
    module.register_buffer(SCATTER_INDEX, index, persistent=False)
    module.register_forward_hook(Scatter(size, channel_dim(module)))


def drop_whole(model: nn.Module) -> nn.Module:
    """Take the scatters away that lost no channel, in place: the network computes the same without them."""
    for module in model.modules():
        for number, hook in list(module._forward_hooks.items()):
            if isinstance(hook, Scatter) and len(module.get_buffer(SCATTER_INDEX)) == hook.size:
                del module._forward_hooks[number]
                delattr(module, SCATTER_INDEX)
    return model


def channel_dim(module: nn.Module) -> int:
    """The dimension of a module's output that holds channels."""
    convolves = isinstance(module, (*CONVOLUTIONS, *TRANSPOSED))
    return 1 if convolves or is_batch_norm(module) else -1


def _with_scatters(model: nn.Module, scatters: Iterable[tuple[str, int]]) -> nn.Module:
    found = list(scatters)
    if not found:
        return model
    tensors = [*model.parameters(), *model.buffers()]
    shared: dict[int, Any] = {id(tensor): tensor for tensor in tensors}
    network = copy.deepcopy(model, shared)
    for path, size in found:
        attach(network, path, size)
    return network
