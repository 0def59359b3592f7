"""The flow through a network of positive weights: what of it every filter carries, without any image."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from prunecli.calibration.following import subject_of
from prunecli.calibration.observing import CalibrationBatches, Objective, Scene
from prunecli.calibration.places import ACTIVATIONS, function_name
from prunecli.graph.coupling import leaving_with
from prunecli.progress import Progress, silent

GATES = {"sigmoid", "hardsigmoid"}
HANDING_ON = ACTIVATIONS - GATES - {"logsigmoid"}

# The flow of a hundred layers leaves even double precision; all of it is proportional to the input.
INPUT_SCALES = (1.0, 2.0**-300, 2.0**-600, 2.0**-900)


class _Open(TorchFunctionMode):
    """Activation functions hand on what they get, as a rectifier does what is positive; gates are open."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the function, unless it is an activation function."""
        kwargs, name = kwargs or {}, function_name(func)
        if name in HANDING_ON:
            return subject_of(args, kwargs)
        if name in GATES:
            return torch.ones_like(subject_of(args, kwargs))
        return func(*args, **kwargs)


def synaptic_flow(
    scene: Scene, batches: CalibrationBatches, objective: Objective, progress: Progress = silent
) -> dict[str, Any]:
    """Layer → (F,) Σ |w ∂R/∂w| / R over all that leaves with a filter; R: the outputs' sum for ones.

    R is that of a copy in double precision with positive weights and without biases; batch norms are their
    positive scales. No layer is known of a network in which R is not proportional to the input, as behind a
    normalisation by the values at hand or a softmax: it has no such flow.
    """
    network = _positive(scene.model)
    parameters = {name: p for name, p in network.named_parameters() if p.is_floating_point()}
    try:
        gradients = _proportional_slopes(network, scene, parameters)
    except RuntimeError as error:
        if "memory" in str(error):
            raise
        return {}  # it does not run in double precision
    if gradients is None:
        return {}
    flows = _Flows({name: (parameters[name].detach() * each).abs() for name, each in gradients.items()})
    return {layer: flow for layer in scene.layers if (flow := _carried(scene, layer, flows)) is not None}


def _positive(model: nn.Module) -> nn.Module:
    """The copy whose outputs are sums of products of positive weights."""
    on_metal = any(parameter.device.type == "mps" for parameter in model.parameters())  # no float64 there
    network = copy.deepcopy(model)
    network = (network.cpu() if on_metal else network).double().eval()
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point():
                tensor.abs_()
        for module in network.modules():
            for name in ("bias", "running_mean"):
                shift = getattr(module, name, None)
                if isinstance(shift, Tensor):
                    shift.zero_()
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return network


def _proportional_slopes(
    network: nn.Module, scene: Scene, parameters: Mapping[str, Tensor]
) -> dict[str, Tensor] | None:
    """∂ log R/∂w by parameter; None when R is not proportional to the input or leaves double precision."""
    for scale in INPUT_SCALES:
        into, slopes = _slopes(network, scene, parameters, scale)
        if all(bool(torch.isfinite(each).all()) for each in (into, *slopes.values())):
            # Euler: R is proportional to its input x when x · ∂R/∂x = R.
            return slopes if abs(float(into) - 1) < 1e-6 else None
    return None


def _slopes(
    network: nn.Module, scene: Scene, parameters: Mapping[str, Tensor], scale: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """The slopes of log R: x · ∂ log R/∂x for an input x of equal numbers, and ∂ log R/∂w by parameter."""
    device = next(iter(parameters.values())).device
    calling = scene.graph.calling
    given = [
        torch.full((1, *each.shape), scale, dtype=torch.float64, device=device, requires_grad=True)
        if each.below is None
        else torch.zeros((1, *each.shape), dtype=torch.int64, device=device)
        for each in calling.inputs
    ]
    with torch.enable_grad():
        with _Open():
            outputs = calling.run(network, [each.clone() for each in given])
        leaves = [each for each in pytree.tree_leaves(outputs) if isinstance(each, Tensor)]
        logarithm = torch.stack([each.sum() for each in leaves if each.is_floating_point()]).sum().log()
        numbers = [each for each in given if each.is_floating_point()]
        wanted = [*numbers, *parameters.values()]
        found = torch.autograd.grad(logarithm, wanted, materialize_grads=True)
    into = torch.zeros((), dtype=torch.float64, device=device)
    for each, slope in zip(numbers, found, strict=False):
        into += (each.detach() * slope).sum()
    return into, dict(zip(parameters, found[len(numbers) :], strict=True))


class _Flows:
    """What flows through every weight of a network, and sums of it over slices."""

    def __init__(self, flows: Mapping[str, Tensor]) -> None:
        self._flows = flows
        self._sums: dict[tuple[str, int], Tensor] = {}
        self.device = next(iter(flows.values())).device

    def along(self, tensor: str, axis: int) -> Tensor | None:
        """(positions,): summed over the tensor's other axes; None for what is no parameter."""
        if tensor not in self._flows:
            return None
        if (tensor, axis) not in self._sums:
            moved = self._flows[tensor].movedim(axis, 0)
            self._sums[tensor, axis] = moved.reshape(len(moved), -1).sum(dim=1)
        return self._sums[tensor, axis]


def _carried(scene: Scene, layer: str, flows: _Flows) -> Tensor | None:
    """(F,): the sum over everything that leaves with a filter."""
    leaving = leaving_with(scene.graph, scene.layers[layer])
    if not leaving:
        return None
    channels = scene.layers[layer].channels
    total = torch.zeros(channels, dtype=torch.float64, device=flows.device)
    for each in leaving:
        along = flows.along(each.tensor, each.axis)
        if along is not None:
            positions, owner = (
                torch.from_numpy(part).to(flows.device) for part in (each.positions, each.owner)
            )
            total.index_add_(0, owner, along[positions])
    return total.float().to(scene.weight(layer).device)
