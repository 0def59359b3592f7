"""Surgery: narrow tensors and set attributes as a plan says, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from prunecli.errors import InputRefused
from prunecli.surgery.plan import Cut, Plan, Scaling, falls
from prunecli.surgery.scattering import attach, check_scatter, is_scatter, module_of, scatter_cuts
from prunecli.surgery.selecting import Selection


def carry_out(plan: Plan, model: nn.Module) -> nn.Module:
    """Apply `plan` to `model` in place, on whatever device its tensors are, and return it.

    Tensors that several modules share stay shared. Gradients are dropped. A module whose scatter is cut gets
    one. Raises InputRefused when a tensor or attribute that the plan names is missing or of another size; the
    model is untouched then.
    """
    by_tensor: dict[str, list[Cut]] = defaultdict(list)
    for cut in plan.cuts:
        by_tensor[cut.tensor].append(cut)
    modules = dict(model.named_modules(remove_duplicate=False))
    check_fit(plan, model, modules)
    scatters = list(scatter_cuts(plan))
    for cut in scatters:
        attach(model, module_of(cut), cut.size)
    if scatters:
        modules = dict(model.named_modules(remove_duplicate=False))
    scaled = {name: scaled_rows(_find(modules, name), found) for name, found in _scalings(plan).items()}
    replaced: dict[int, Tensor] = {}
    selection = Selection()
    for name in {**by_tensor, **scaled}:
        tensor = _find(modules, name)
        replaced[id(tensor)] = _narrowed(
            tensor, scaled.get(name, tensor.detach()), by_tensor[name], selection
        )
    for module in modules.values():
        tables: list[dict[str, Any]] = [module._parameters, module._buffers]
        for table in tables:
            for key, held in table.items():
                if held is not None and id(held) in replaced:
                    table[key] = replaced[id(held)]
        if isinstance(module, nn.RNNBase):  # it holds its weights in a list as well
            for key, held in module._parameters.items():
                setattr(module, key, held)
            module.flatten_parameters()
    for change in plan.attributes:
        module, after = modules[change.module], change.after
        listed = isinstance(getattr(module, change.attribute), list)
        setattr(module, change.attribute, list(after) if listed and isinstance(after, tuple) else after)
    return model


def check_fit(plan: Plan, model: nn.Module, modules: Mapping[str, nn.Module]) -> None:
    """Raise InputRefused naming the first tensor or attribute of `modules` that the plan does not fit."""
    for cut in plan.cuts:
        if is_scatter(cut.tensor):
            check_scatter(cut, model)
        try:
            size = _find(modules, cut.tensor).shape[cut.axis]
        except (LookupError, AttributeError):
            if is_scatter(cut.tensor):
                continue  # one that is yet to come
            raise InputRefused(f"the plan cuts {cut.tensor!r}, axis {cut.axis}, which is not there") from None
        if size != cut.size:
            raise InputRefused(f"the plan expects {cut.size} positions in {cut.tensor!r}, found {size}")
    for scaling in plan.scalings:
        try:
            size = _find(modules, scaling.tensor).shape[scaling.axis]
        except LookupError:
            raise InputRefused(f"the plan scales {scaling.tensor!r}, which is not there") from None
        if scaling.rows and scaling.rows[-1] >= size:
            raise InputRefused(f"the plan scales row {scaling.rows[-1]} of {size} in {scaling.tensor!r}")
    for change in plan.attributes:
        try:
            found = getattr(modules[change.module], change.attribute)
        except (KeyError, AttributeError):
            raise InputRefused(
                f"the plan sets {change.module}.{change.attribute}, which is not there"
            ) from None
        if not isinstance(found, (int, tuple, list)) or isinstance(found, bool):
            raise InputRefused(f"the plan sets {change.module}.{change.attribute}, which is no number")
        if not falls(tuple(found) if isinstance(found, list) else found, change.after):
            raise InputRefused(
                f"the plan raises {change.module}.{change.attribute} from {found} to {change.after}"
            )


def _find(modules: Mapping[str, nn.Module], name: str) -> Tensor:
    """The parameter or buffer; raises KeyError."""
    path, _, leaf = name.rpartition(".")
    module = modules[path]
    for held in (module._parameters.get(leaf), module._buffers.get(leaf)):
        if held is not None:
            return held
    raise KeyError(name)


def _scalings(plan: Plan) -> dict[str, list[Scaling]]:
    found: dict[str, list[Scaling]] = defaultdict(list)
    for scaling in plan.scalings:
        found[scaling.tensor].append(scaling)
    return found


def scaled_rows(tensor: Tensor, scalings: Iterable[Scaling]) -> Tensor:
    """The whole tensor with rows multiplied, in its own type."""
    data = tensor.detach()
    for scaling in scalings:
        factors = torch.ones(data.shape[scaling.axis], dtype=torch.float64)
        factors[list(scaling.rows)] = scaling.factor
        shape = [-1 if d == scaling.axis else 1 for d in range(data.dim())]
        data = data * factors.view(shape).to(data.device, data.dtype)
    return data


def _narrowed(tensor: Tensor, data: Tensor, cuts: list[Cut], selection: Selection) -> Tensor:
    if data.is_meta:
        shape = list(data.shape)
        for cut in cuts:
            shape[cut.axis] -= len(cut.removed)
        data = data.new_empty(shape)
    else:
        data = selection.narrowed(data, cuts)
    return (
        nn.Parameter(data, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else data
    )
