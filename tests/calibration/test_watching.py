"""What is seen in one watched pass, against autograd on the same network with gates written into it."""

from __future__ import annotations

import networks
import pytest
import torch
from calibration.scenes import (
    Block,
    Tokens,
    Windows,
    classify,
    data,
    gathered,
    one_by_one,
    scene_of,
    slopes_of_gates,
    weight_gradients,
    whole,
)
from torch import nn
from torch.nn import functional

from prunecli.calibration.gathering import observe
from prunecli.calibration.observing import Observer, Scene
from prunecli.criteria.contract import Needs
from prunecli.errors import WorkFailed
from prunecli.graph.channel_graph import build_graph

WATCHED = Needs.GATE_GRADIENT | Needs.OUTPUT | Needs.CURVATURE | Needs.WEIGHT_GRADIENT


def per_image(model, layer, batches=None):
    scene = scene_of(model)
    return gathered(scene, batches or data(), Needs.GATE_GRADIENT)[layer]["gate_gradient"].per_image


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize(("layer", "module"), [("conv1", "relu1"), ("conv2", "bn2"), ("stem", "stem")])
def test_maps_that_the_network_overwrites_afterwards_are_seen_as_they_were(in_place, layer, module):
    model = Block(in_place=in_place)
    found = per_image(model, layer)
    torch.testing.assert_close(found, slopes_of_gates(model, [module], data(), 6))


def test_a_linear_layer_on_tokens_with_dropout_in_its_chain():
    model = Tokens()
    found = per_image(model, "hidden")
    torch.testing.assert_close(found, slopes_of_gates(model, ["drop"], data(), 12, axis=2))
    torch.testing.assert_close(per_image(model, "out"), slopes_of_gates(model, ["out"], data(), 8, axis=2))


def test_windows_in_the_first_dimension_count_as_positions_of_their_image():
    model = Windows()
    scene = scene_of(model)
    found = gathered(scene, data(), Needs.GATE_GRADIENT)["inside"]["gate_gradient"]
    assert found.positions == 64
    torch.testing.assert_close(found.per_image, slopes_of_gates(model, ["act"], data(), 7, axis=2))


def test_the_calls_of_a_shared_layer_share_one_gate():
    class Shared(networks.SharedLayer):
        def __init__(self):
            super().__init__()
            self.act = nn.Tanh()

        def forward(self, x):
            x = self.stem(x)
            for _ in range(3):
                x = self.act(self.cell(x))
            return self.head(x)

    model = Shared()
    found = per_image(model, "cell")
    torch.testing.assert_close(found, slopes_of_gates(model, ["act"], data(), 8))


@pytest.mark.parametrize("make", networks.PRUNED_EVERYWHERE)
def test_products_at_outputs_are_products_at_weights_in_every_kind_of_network(make):
    scene = scene_of(make())
    found = gathered(scene, data(), WATCHED)
    for layer, evidence in found.items():
        if "output" in evidence:
            name = scene.layers[layer].weight
            slopes = [scene.rows(layer, each) for each in weight_gradients(scene.model, name, data())]
            products = torch.stack([(scene.weight(layer) * each).sum(1) for each in slopes])
            torch.testing.assert_close(evidence["output"].products, products)


@pytest.mark.parametrize("make", [Block, Tokens, networks.SharedLayer])
def test_batches_and_their_order_change_nothing_image_by_image(make):
    scene = scene_of(make())
    plain = gathered(scene, data(), WATCHED)
    order = torch.tensor([3, 1, 4, 0, 2])
    shuffled = gathered(scene, data(sizes=(1, 4), order=order), WATCHED)
    for layer, evidence in plain.items():
        other = shuffled[layer]
        for attribute in ("per_image", "coupled"):
            left, right = (getattr(each["gate_gradient"], attribute) for each in (evidence, other))
            torch.testing.assert_close(left[order], right)
        torch.testing.assert_close(evidence["output"].products[order], other["output"].products)
        torch.testing.assert_close(evidence["output"].energy, other["output"].energy)
        torch.testing.assert_close(evidence["curvature"], other["curvature"])
        torch.testing.assert_close(evidence["weight_gradient"].mean, other["weight_gradient"].mean)


def test_single_images_and_one_batch_give_the_same():
    scene = scene_of(Block())
    alone, together = (gathered(scene, batches, WATCHED) for batches in (one_by_one(data()), whole(data())))
    for layer in alone:
        left, right = alone[layer]["gate_gradient"], together[layer]["gate_gradient"]
        torch.testing.assert_close(left.per_image, right.per_image)
        assert left.batch_sizes == (1, 1, 1, 1, 1)
        assert right.batch_sizes == (5,)


@pytest.mark.parametrize(
    "overwrite",
    [
        lambda x: x.view(x.shape[0], -1).relu_().view_as(x),
        lambda x: functional.relu(x, True),
        lambda x: functional.relu(input=x, inplace=True),
        lambda x: x.clamp_(min=0),
        lambda x: x.__setitem__((slice(None), 1), 2.0) or x,
        lambda x: x.mul_(2).add_(1),
    ],
    ids=["view", "positional", "keyword", "clamp", "setitem", "twice"],
)
def test_every_way_of_overwriting_a_map_is_noticed(overwrite):
    class Overwriting(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3)
            self.bn = nn.BatchNorm2d(6)
            self.same = nn.Identity()
            self.linear = nn.Linear(6, 5)

        def forward(self, x):
            x = self.same(self.bn(self.conv(x)))
            return self.linear(overwrite(x + 0 if gating else x).mean((2, 3)))

    gating = False
    model = Overwriting()
    scene = scene_of(model)
    found = gathered(scene, data(), Needs.GATE_GRADIENT)["conv"]["gate_gradient"].per_image
    chain = scene.places["conv"][0].chain
    gating = True
    expected = slopes_of_gates(model, ["same"], data(), 6)
    assert chain[0] == "batch_norm"
    torch.testing.assert_close(found, expected)  # a rectifier behind the norm has the same slope


def test_a_map_that_is_overwritten_unseen_is_an_error():
    class Unseen(networks.Plain):
        def forward(self, x):
            x = self.conv1(x)
            with torch._C.DisableTorchFunction():
                x.mul_(2)
            return self.head(self.conv2(functional.relu(self.bn1(x))))

    scene = scene_of(Unseen())
    with pytest.raises(WorkFailed, match="overwrites the feature maps of conv1 unseen"):
        gathered(scene, data(), Needs.OUTPUT)


def test_a_layer_that_was_not_seen_at_every_call_is_left_out():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3, padding=1)
            self.cell = nn.Conv2d(8, 8, 3, padding=1)
            self.linear = nn.Linear(8, 5)

        def forward(self, x):
            x = self.cell(self.stem(x))
            if x.device.type == "meta" or x.shape[0] > 2:
                x = self.cell(x)
            return self.linear(x.mean((2, 3)))

    scene = scene_of(Twice())
    found = gathered(scene, data(), WATCHED)
    assert not {"gate_gradient", "output", "curvature"} & set(found["cell"])
    assert {"gate_gradient", "output", "curvature"} <= set(found["stem"])
    assert "weight_gradient" in found["cell"]


def test_the_model_is_left_as_it_was():
    scene = scene_of(Block())
    model = scene.model.train()
    model.bn1.eval()
    model.conv1.weight.requires_grad_(False)
    model.linear.weight.grad = torch.ones_like(model.linear.weight)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gathered(scene, data(), WATCHED | Needs.NORM_PRODUCTS)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.training and model.bn2.training and not model.bn1.training
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["conv1.weight"]
    assert torch.equal(model.linear.weight.grad, torch.ones_like(model.linear.weight))
    assert model.conv2.weight.grad is None


def test_no_backward_pass_without_an_observer_of_gradients():
    shapes = []

    class Sees(Observer):
        def mapped(self, place, feature_map):
            shapes.append((place.layer, tuple(feature_map.shape), feature_map.requires_grad))
            assert not torch.is_grad_enabled()

    scene = scene_of(networks.Plain())
    observe(scene, data(), classify, [Sees(scene)])
    assert shapes[:3] == [
        ("conv1", (2, 8, 64), False),
        ("conv2", (2, 6, 64), False),
        ("head.linear", (2, 5, 1), False),
    ]


def test_half_precision_maps_are_shown_in_single_precision():
    dtypes = set()

    class Sees(Observer):
        def mapped(self, place, feature_map):
            dtypes.add(feature_map.dtype)

    model = networks.Plain().bfloat16().eval()
    scene = Scene(model, build_graph(model, (3, 8, 8)), 5)
    observe(scene, data(dtype=torch.bfloat16), classify, [Sees(scene)])
    assert dtypes == {torch.float32}


class Tokenised(nn.Module):
    """A batch norm's maps become tokens: the gradient comes back in another layout than its input has."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.bn = nn.BatchNorm2d(6)
        self.norm = nn.LayerNorm(6)
        self.linear = nn.Linear(6, 5)

    def forward(self, x):
        x = self.bn(self.conv(x)).flatten(2).transpose(1, 2)
        return self.linear(torch.tanh(self.norm(x)).square().mean(1))


def test_single_images_behind_a_norm_have_the_gradients_that_they_have_in_a_batch():
    scene = scene_of(Tokenised())
    needs = WATCHED | Needs.NORM_PRODUCTS | Needs.GATE_PATH | Needs.HESSIAN_PRODUCT | Needs.ABLATION
    alone, together = (gathered(scene, batches, needs) for batches in (one_by_one(data()), whole(data())))
    left, right = alone["conv"], together["conv"]
    torch.testing.assert_close(left["output"].products, right["output"].products)
    torch.testing.assert_close(left["curvature"], right["curvature"])
    torch.testing.assert_close(left["weight_gradient"].mean, right["weight_gradient"].mean)
    torch.testing.assert_close(left["norm_products"].mean(0), right["norm_products"][0])
    torch.testing.assert_close(left["gate_path"], right["gate_path"])
    torch.testing.assert_close(left["hessian_product"], right["hessian_product"])
    torch.testing.assert_close(left["ablation"].loss, right["ablation"].loss)
