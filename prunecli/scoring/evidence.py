"""Collect what criteria read: a layer's weights as one row a filter, and the batch norm behind it."""

from __future__ import annotations

from torch import Tensor, nn

from prunecli.criteria.contract import BatchNormEvidence, Evidence
from prunecli.graph.layers import Layer


def collect_evidence(model: nn.Module, layer: Layer, *, seed: int = 0) -> Evidence:
    """The evidence about one layer of `model`; its tensors are views of the weights where possible."""
    weight = model.get_parameter(layer.weight).detach()
    rows = weight.movedim(layer.filter_axis, 0)
    return Evidence(
        layer=layer.name,
        weight=rows.reshape(rows.shape[0], -1),
        kernel_shape=tuple(rows.shape),
        batch_norm=_batch_norm(model, layer),
        seed=seed,
    )


def _batch_norm(model: nn.Module, layer: Layer) -> BatchNormEvidence | None:
    if layer.batch_norm is None:
        return None
    norm = model.get_submodule(layer.batch_norm)
    found = [getattr(norm, name, None) for name in ("weight", "bias", "running_mean", "running_var")]
    tensors = [tensor.detach() for tensor in found if isinstance(tensor, Tensor)]
    return BatchNormEvidence(*tensors) if len(tensors) == 4 else None
