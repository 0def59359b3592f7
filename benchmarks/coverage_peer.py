"""The peer of `coverage.py` and `speed.py`: Torch-Pruning at the same ratio, by the same criterion."""

from __future__ import annotations

from typing import Any


def prune(model: Any, inputs: Any, *, ratio: float, outputs: list[str]) -> None:
    """Remove `ratio` of every group of `model` in place by the norm of its filters, as its guide shows.

    `outputs` are the layers whose width is the network's output; the peer has to be told.
    """
    import torch_pruning

    modules = dict(model.named_modules())
    pruner = torch_pruning.pruner.BasePruner(
        model,
        inputs,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=ratio,
        ignored_layers=[modules[name] for name in outputs if name in modules],
    )
    pruner.step()


def try_peer(model: Any, inputs: Any, *, ratio: float, outputs: list[str]) -> dict[str, Any]:
    """What the peer made of the model: the share of parameters cut, or why there is none."""
    import torch

    before = sum(p.numel() for p in model.parameters())
    try:
        model.eval()
        prune(model, inputs, ratio=ratio, outputs=outputs)
        with torch.no_grad():
            model(*inputs)
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return {"failure": f"{type(error).__name__}: {first}"[:200]}
    return {"params_cut": 1 - sum(p.numel() for p in model.parameters()) / before}
