"""Surgery: narrow tensors and set attributes as a plan says, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

from prunecli.errors import InputRefused
from prunecli.surgery.plan import Cut, Plan


def carry_out(plan: Plan, model: nn.Module) -> nn.Module:
    """Apply `plan` to `model` in place, on whatever device its tensors are, and return it.

    Tensors that several modules share stay shared. Gradients are dropped. Raises InputRefused when a
    tensor or attribute that the plan names is missing or of another size; the model is untouched then.
    """
    by_tensor: dict[str, list[Cut]] = defaultdict(list)
    for cut in plan.cuts:
        by_tensor[cut.tensor].append(cut)
    check_fit(plan, model)
    replaced: dict[int, Tensor] = {}
    for name, cuts in by_tensor.items():
        tensor = _find(model, name)
        replaced[id(tensor)] = _narrowed(tensor, cuts)
    for module in model.modules():
        tables: list[dict[str, Any]] = [module._parameters, module._buffers]
        for table in tables:
            for key, held in table.items():
                if held is not None and id(held) in replaced:
                    table[key] = replaced[id(held)]
    for change in plan.attributes:
        setattr(model.get_submodule(change.module), change.attribute, change.after)
    return model


def check_fit(plan: Plan, model: nn.Module) -> None:
    """Raise InputRefused naming the first tensor or attribute that the plan does not fit."""
    for cut in plan.cuts:
        try:
            size = _find(model, cut.tensor).shape[cut.axis]
        except (AttributeError, IndexError):
            raise InputRefused(f"the plan cuts {cut.tensor!r}, axis {cut.axis}, which is not there") from None
        if size != cut.size:
            raise InputRefused(f"the plan expects {cut.size} positions in {cut.tensor!r}, found {size}")
    for change in plan.attributes:
        try:
            found = getattr(model.get_submodule(change.module), change.attribute)
        except AttributeError:
            raise InputRefused(
                f"the plan sets {change.module}.{change.attribute}, which is not there"
            ) from None
        if not isinstance(found, (int, tuple)) or isinstance(found, bool):
            raise InputRefused(f"the plan sets {change.module}.{change.attribute}, which is no number")


def _find(model: nn.Module, name: str) -> Tensor:
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    for held in (module._parameters.get(leaf), module._buffers.get(leaf)):
        if held is not None:
            return held
    raise AttributeError(name)


def _narrowed(tensor: Tensor, cuts: list[Cut]) -> Tensor:
    data = tensor.detach()
    for cut in cuts:
        data = data.index_select(cut.axis, torch.tensor(cut.kept, dtype=torch.int64, device=data.device))
    return (
        nn.Parameter(data, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else data
    )
