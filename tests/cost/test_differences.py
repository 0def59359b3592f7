"""Every difference to thop is explained, and the explanations add up to it exactly."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from prunecli.cost.differences import differences
from prunecli.cost.macs import measure
from prunecli.cost.thop_figures import ThopFigures, thop_figures


class Normalised(nn.Module):
    """Convolution, norm, pool and classifier, all of them modules."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.pool(self.norm(self.conv(x))).flatten(1))


class FunctionalProduct(nn.Module):
    """A product with a bare parameter beside a layer."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 7))
        self.head = nn.Linear(7, 2)

    def forward(self, x):
        return self.head(x @ self.weight)


class Attention(nn.Module):
    """Attention as a module, a layer of a subclass, and a layer that never runs."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.out = OwnLinear(8, 3)
        self.idle = nn.Linear(5, 5)

    def forward(self, x):
        return self.out(self.attention(x, x, x)[0])


class OwnLinear(nn.Linear):
    """A class that thop has no rule for."""


class Shared(nn.Module):
    """One layer under two names, called three times."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 4))
        self.second = nn.Sequential(self.first[0], nn.ReLU())

    def forward(self, x):
        return self.second(self.first(functional.relu(self.first(x))))


class Transposed(nn.Module):
    """A strided transposed convolution, which thop counts by its output."""

    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(2, 3, 2, stride=2)

    def forward(self, x):
        return self.up(x)


CASES = [
    (Normalised, (3, 8, 8)),
    (FunctionalProduct, (3, 4)),
    (Attention, (5, 8)),
    (Shared, (4,)),
    (Transposed, (2, 4, 4)),
    (lambda: nn.Linear(4, 3), (4,)),
]


@pytest.mark.parametrize(("network", "shape"), CASES)
def test_the_reasons_add_up_to_the_difference(network, shape):
    model = network()
    cost, thop = measure(model, shape), thop_figures(model, shape)
    found = differences(model, shape, thop=thop)
    assert sum(one.macs for one in found) == thop.macs - cost.macs
    assert sum(one.params for one in found) == thop.params - cost.params


def reasons(network, shape):
    model = network()
    return [one.sentence for one in differences(model, shape, thop=thop_figures(model, shape))]


def test_norms_and_pools_are_named_with_what_they_add():
    assert reasons(Normalised, (3, 8, 8)) == [
        "thop adds 1,024 MACs for 1 × BatchNorm2d, which are no matrix products",
        "thop adds 260 MACs for 1 × AdaptiveAvgPool2d, which are no matrix products",
    ]


def test_functional_products_and_bare_parameters_are_named():
    assert reasons(FunctionalProduct, (3, 4)) == [
        "thop misses 84 MACs of mm in 1 × FunctionalProduct: it sees no functional call",
        "thop leaves out 28 parameters (weight): "
        "it counts only the layers that it has a rule for and that run",
    ]


def test_attention_unknown_classes_and_idle_layers_are_named():
    assert reasons(Attention, (5, 8)) == [
        "thop misses 1,680 MACs of addmm and bmm in 1 × MultiheadAttention: it sees no attention",
        "thop misses 120 MACs of addmm in 1 × OwnLinear: it has no rule for that class",
        "thop leaves out 345 parameters (attention.in_proj_weight, attention.in_proj_bias, "
        "attention.out_proj.weight and 5 more): "
        "it counts only the layers that it has a rule for and that run",
    ]


def test_other_counts_of_the_same_layer_are_named():
    # 16 positions in, 64 out: 2·3·4 products for each of either.
    assert reasons(Transposed, (2, 4, 4)) == [
        "thop counts 1,536 MACs for 1 × ConvTranspose2d where 384 are run"
    ]
    assert reasons(Shared, (4,))[-1] == (
        "thop counts 20 parameters again where a layer or a weight is shared"
    )


def test_nothing_is_said_where_there_is_no_difference_or_no_thop():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    assert differences(model, (3, 8, 8), thop=thop_figures(model, (3, 8, 8))) == ()
    assert differences(model, (3, 8, 8), thop=ThopFigures(None, None, "not installed")) == ()
