"""Evidence with every attribute, of filters whose order can be changed and one of which can be silenced."""

from __future__ import annotations

import torch

from prunecli.criteria.evidence import (
    AblationEvidence,
    ActivationEvidence,
    BatchNormEvidence,
    ChannelCost,
    ConsumerEvidence,
    Evidence,
    GateGradientEvidence,
    OutputEvidence,
    Slices,
    WeightGradientEvidence,
)

FILTERS = 12
IMAGES = 10
BATCHES = (4, 6)


def complete(*, layer="conv1", seed=0, order=None, zero=None, dtype=torch.float32, without=()):
    """(12, 3, 3, 3) filters; `order` permutes them, `zero` silences one, `without` names what is missing."""
    generator = torch.Generator().manual_seed(7)
    order = torch.arange(FILTERS) if order is None else order
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(FILTERS)

    def drawn(*shape, axis=0, positive=False):
        tensor = torch.randn(*shape, generator=generator, dtype=torch.float64)
        tensor = tensor.abs() if positive else tensor
        if zero is not None:
            tensor.select(axis, zero).zero_()
        return tensor.index_select(axis, order).to(dtype)

    weight, norm = drawn(FILTERS, 27), [drawn(FILTERS) for _ in range(3)]
    pooled, own = drawn(IMAGES, FILTERS, axis=1, positive=True), drawn(IMAGES, FILTERS, axis=1)
    values = {
        "batch_norm": BatchNormEvidence(*norm, drawn(FILTERS, positive=True)),
        "coupled": _slices(weight, inverse, generator, zero, dtype),
        "cost": ChannelCost(macs=1000.0, params=60.0, activations=64.0),
        "synaptic_flow": drawn(FILTERS, positive=True),
        "activation": ActivationEvidence(
            pooled=pooled,
            absolute=pooled.mean(0),
            length=drawn(FILTERS, positive=True),
            labels=torch.arange(IMAGES) % 3,
        ),
        # A silent filter's map is all zeros.
        "zero_share": 1 - drawn(FILTERS, positive=True).clamp(max=1),
        "map_rank": drawn(FILTERS, positive=True),
        "nuclear_drop": drawn(FILTERS, positive=True),
        "consumers": (_consumer(inverse, generator, zero, dtype),),
        "gate_gradient": GateGradientEvidence(
            per_image=own, coupled=own + drawn(IMAGES, FILTERS, axis=1), positions=64, batch_sizes=BATCHES
        ),
        "weight_gradient": WeightGradientEvidence(
            mean=drawn(FILTERS, 27), products=drawn(len(BATCHES), FILTERS, axis=1)
        ),
        "norm_products": drawn(len(BATCHES), FILTERS, axis=1),
        "output": OutputEvidence(
            energy=drawn(FILTERS, positive=True),
            gradient_energy=drawn(FILTERS, positive=True),
            products=drawn(IMAGES, FILTERS, axis=1),
            positions=64,
        ),
        "curvature": drawn(FILTERS, positive=True),
        "hessian_product": drawn(FILTERS),
        "movement": drawn(FILTERS),
        "gate_path": drawn(FILTERS),
        "ablation": AblationEvidence(
            loss=drawn(FILTERS, positive=True), accuracy=drawn(FILTERS, positive=True)
        ),
    }
    given = {name: value for name, value in values.items() if name not in without}
    return Evidence(layer=layer, weight=weight, kernel_shape=(FILTERS, 3, 3, 3), seed=seed, **given)


def _slices(weight, inverse, generator, zero, dtype):
    """The layer's own weight and bias, and a consumer that reads every filter's channel at two positions."""
    bias, read = (
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((FILTERS, 1), (24, 5))
    )
    owner = torch.arange(24) % FILTERS
    if zero is not None:
        bias[zero] = 0
        read[owner == zero] = 0
    return (
        Slices("conv1.weight", weight, torch.arange(FILTERS)),
        Slices("conv1.bias", bias.to(dtype), inverse),
        Slices("conv2.weight", read.to(dtype), inverse[owner]),
    )


def _consumer(inverse, generator, zero, dtype):
    """A layer of 5 outputs that reads 4 columns of every filter's channel and 3 of another layer."""
    owner = torch.cat([torch.arange(FILTERS).repeat_interleave(4), torch.full((3,), -1)])
    weight = torch.randn(5, len(owner), generator=generator, dtype=torch.float64)
    samples = torch.randn(80, len(owner), generator=generator, dtype=torch.float64)
    if zero is not None:
        samples[:, owner == zero] = 0
    renamed = torch.where(owner < 0, owner, inverse[owner])
    return ConsumerEvidence("conv2", weight.to(dtype), renamed, samples.to(dtype))
