"""Costs against hand arithmetic on networks small enough for it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from prunecli.cost.macs import measure
from prunecli.errors import InputRefused


class Residual(nn.Module):
    """A block like those of ResNet-18 with a strided projection, on 8 × 8 images."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(6)
        self.shortcut = nn.Conv2d(3, 6, 1, stride=2)
        self.head = nn.Linear(6, 10)

    def forward(self, images):
        x = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(images)))))
        return self.head(functional.relu(x + self.shortcut(images)).mean((2, 3)))


class Attention(nn.Module):
    """One attention layer over 5 tokens of width 8."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, tokens):
        return self.attention(tokens, tokens, tokens)[0]


class FunctionalProduct(nn.Module):
    """A bare parameter multiplied with `@`."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 7))

    def forward(self, x):
        return x @ self.weight


class SharedLayer(nn.Module):
    """One convolution called twice."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1, groups=2)

    def forward(self, x):
        return self.conv(self.conv(x))


class NeedsValues(nn.Module):
    """A forward pass that asks for the values of its input, as detectors do."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        kept = x[(x.sum(1) >= 0).nonzero()[:, 0]]
        query = self.head(kept)[None, None]
        return functional.scaled_dot_product_attention(query, query, query)


RESIDUAL_MACS = 4 * 4 * (6 * 3 * 9 + 6 * 6 * 9 + 6 * 3) + 6 * 10
ATTENTION_MACS = 5 * 8 * 24 + 5 * 8 * 8 + 2 * 2 * (5 * 5 * 4)


@pytest.mark.parametrize(
    ("network", "shape", "macs", "params"),
    [
        (Residual, (3, 8, 8), RESIDUAL_MACS, 162 + 324 + 2 * 12 + 24 + 70),
        (Attention, (5, 8), ATTENTION_MACS, 8 * 24 + 24 + 64 + 8),
        (FunctionalProduct, (3, 4), 3 * 4 * 7, 28),
        (SharedLayer, (2, 5, 5), 2 * 25 * 2 * 9, 2 * 9 + 2),
        (NeedsValues, (4,), 4 * 3 + 2 * 3, 15),
    ],
)
def test_macs_and_parameters_by_hand(network, shape, macs, params):
    cost = measure(network(), shape)
    assert cost.macs == macs
    assert cost.flops == 2 * macs
    assert cost.params == params


def test_macs_are_half_of_what_the_flop_counter_says_on_the_meta_device():
    for network, shape in ((Residual, (3, 8, 8)), (Attention, (5, 8))):
        with torch.device("meta"):
            model = network().eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, *shape, device="meta"))
        assert measure(model, shape).macs * 2 == counter.get_total_flops()


def test_bytes_are_those_of_the_state_dict():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    # 12 + 4·2 floats and one int64 that counts batches.
    assert measure(model, (3,)).bytes == (6 + 2 + 8) * 4 + 8
    assert measure(model.half(), (3,)).bytes == (6 + 2 + 8) * 2 + 8


def test_the_model_is_left_as_it_was():
    model = Residual().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    measure(model, (3, 8, 8))
    assert model.training
    assert model.conv1.weight.device.type == "cpu"
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    assert not model._forward_hooks


def test_a_forward_pass_that_needs_values_runs_on_the_cpu_and_says_so():
    fast = torch.backends.mha.get_fastpath_enabled()
    cost = measure(NeedsValues(), (4,))
    assert len(cost.notes) == 1
    assert cost.notes[0].startswith("MACs: run on the CPU on one random input: the meta device refused")
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert measure(Residual(), (3, 8, 8)).notes == ()


def test_inputs_take_the_place_of_the_shape():
    model = nn.Bilinear(2, 3, 4)
    positional = measure(model, (), inputs=(torch.ones(1, 2), torch.ones(1, 3)))
    named = measure(model, (), inputs={"input1": torch.ones(1, 2), "input2": torch.ones(1, 3)})
    assert positional.params == 4 * 2 * 3 + 4
    assert positional == named
    single = measure(nn.Sequential(nn.Embedding(9, 5), nn.Linear(5, 2)), (), inputs=torch.tensor([[1, 2, 3]]))
    assert single.macs == 3 * 5 * 2


def test_a_shape_that_does_not_fit_is_refused_in_words():
    with pytest.raises(InputRefused, match=r"does not run on an input of shape \(1, 4, 8, 8\)"):
        measure(Residual(), (4, 8, 8))
    with pytest.raises(InputRefused, match="does not run on the inputs given"):
        measure(Residual(), (3, 8, 8), inputs=torch.ones(1, 2))
    with torch.device("meta"):
        model = NeedsValues()
    with pytest.raises(InputRefused):
        measure(model, (4,))


def test_the_document_has_the_keys_of_the_contract():
    assert list(measure(SharedLayer(), (2, 5, 5)).document()) == ["params", "macs", "flops", "bytes"]
