"""Scales of attention that a configuration sets anew: the queries take up the difference.

A pruned network goes on multiplying by 1/√width of the whole one; one that is made from a configuration
multiplies by 1/√width of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

SCALES = ("scaling", "scale", "softmax_scale")
QUERIES = ("q_proj", "query", "q_lin", "q", "wq", "query_proj")
FUSED = ("c_attn", "qkv", "query_key_value", "Wqkv")  # queries, keys and values in one, the queries first


def take_up_scales(made: nn.Module, model: nn.Module) -> None:
    """Multiply the queries of `made`, which has the weights of `model`, where the two scale differently."""
    import torch

    modules = dict(model.named_modules())
    with torch.no_grad():
        for path, module in made.named_modules():
            ratio = _ratio(modules.get(path), module)
            if ratio != 1.0:
                _multiply(module, ratio)


def _ratio(before: Any, after: Any) -> float:
    for name in SCALES:
        pair = getattr(before, name, None), getattr(after, name, None)
        if all(isinstance(each, float) and each for each in pair):
            return float(pair[0] / pair[1])  # type: ignore[operator]
    return 1.0


def _multiply(module: nn.Module, ratio: float) -> None:
    for name, part in module.named_children():
        weight: Any = getattr(part, "weight", None)
        bias: Any = getattr(part, "bias", None)
        if weight is None or name not in (*QUERIES, *FUSED):
            continue
        # A linear layer has its outputs in rows, transformers' own Conv1D in columns.
        outputs = weight if not hasattr(part, "nf") else weight.T
        rows = len(outputs) if name in QUERIES else len(outputs) // 3
        outputs[:rows] *= ratio
        if bias is not None:
            bias[:rows] *= ratio
