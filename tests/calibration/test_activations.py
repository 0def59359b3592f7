"""Sums over feature maps against plain forward hooks."""

from __future__ import annotations

import networks
import pytest
import torch
from calibration.scenes import Block, data, gathered, one_by_one, scene_of, whole

from prunecli.criteria.contract import Needs


def maps_of(scene, path, batches, *, axis=1):
    """Every call's output of a module, (n, F, P), images in the order of the batches; calls side by side."""
    seen = []
    handle = scene.model.get_submodule(path).register_forward_hook(
        lambda module, inputs, output: seen.append(output.detach().clone())
    )
    with torch.no_grad():
        scene.model(whole(batches)[0][0])
    handle.remove()
    return [output.movedim(axis, 1).reshape(len(output), output.shape[axis], -1) for output in seen]


class Tokens(torch.nn.Module):
    """A linear layer on patches, an activation function behind it."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Conv2d(3, 4, 2, stride=2)
        self.linear = torch.nn.Linear(4, 7)
        self.rectifier = torch.nn.ReLU()
        self.head = torch.nn.Linear(7, 5)

    def forward(self, x):
        return self.head(self.rectifier(self.linear(self.embed(x).flatten(2).transpose(1, 2))).mean(1))


# Layer, and the module whose output is its feature map.
WATCHED = {
    "in place": (lambda: Block(in_place=True), "conv1", "relu1", 1),
    "not in place": (lambda: Block(in_place=False), "conv1", "relu1", 1),
    "only a norm": (Block, "conv2", "bn2", 1),
    "bare": (networks.Plain, "conv2", "conv2", 1),
    "shared": (networks.SharedLayer, "stem", "stem", 1),
    "tokens": (Tokens, "linear", "rectifier", 2),
    "vectors": (Tokens, "head", "head", 1),
}


@pytest.mark.parametrize("case", WATCHED)
def test_means_magnitudes_and_lengths_are_those_of_the_maps(case):
    make, layer, module, axis = WATCHED[case]
    scene, batches = scene_of(make()), data()
    found = gathered(scene, batches, Needs.ACTIVATION)[layer]["activation"]
    (maps,) = maps_of(scene, module, batches, axis=axis)
    torch.testing.assert_close(found.pooled.double(), maps.mean(2), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found.absolute.double(), maps.abs().mean((0, 2)), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found.length.double(), maps.norm(dim=2).mean(0), rtol=1e-6, atol=1e-7)
    assert torch.equal(found.labels, torch.cat([labels for _, labels in batches]))


def test_the_calls_of_a_shared_layer_are_averaged():
    scene, batches = scene_of(networks.SharedLayer()), data()
    found = gathered(scene, batches, Needs.ACTIVATION)["cell"]["activation"]
    maps = [call.tanh() for call in maps_of(scene, "cell", batches)]
    assert len(maps) == 3
    pooled = torch.stack([call.mean(2) for call in maps]).mean(0)
    length = torch.stack([call.norm(dim=2).mean(0) for call in maps]).mean(0)
    torch.testing.assert_close(found.pooled.double(), pooled, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found.length.double(), length, rtol=1e-6, atol=1e-7)


def test_zeros_are_counted_behind_rectifiers_only():
    scene, batches = scene_of(networks.Depthwise()), data()
    found = gathered(scene, batches, Needs.ZERO_SHARE)
    (expand,) = maps_of(scene, "bn", batches)
    (depthwise,) = maps_of(scene, "depthwise", batches)
    for layer, maps in (("expand", expand), ("depthwise", depthwise)):
        shares = (maps <= 0).double().mean((0, 2))
        assert 0 <= shares.min() < shares.max() <= 1
        torch.testing.assert_close(found[layer]["zero_share"].double(), shares, rtol=1e-6, atol=1e-7)
    assert "zero_share" not in found["project"]
    assert "zero_share" not in found["head.linear"]


@pytest.mark.parametrize("need", [Needs.ACTIVATION, Needs.ZERO_SHARE, Needs.MAP_RANK, Needs.NUCLEAR_DROP])
def test_how_images_are_batched_does_not_matter(need):
    scene, batches = scene_of(Block(), dtype=torch.float32), data(dtype=torch.float32)
    order = torch.tensor([4, 0, 3, 1, 2])
    turned = data(dtype=torch.float32, sizes=(1, 4), order=order)
    at_once = gathered(scene, whole(batches), need)
    for other in (batches, one_by_one(batches), turned):
        found = gathered(scene, other, need)
        assert found.keys() == at_once.keys()
        for layer, attributes in found.items():
            for name, value in attributes.items():
                expected = at_once[layer][name]
                if need is Needs.ACTIVATION:
                    back = order.argsort() if other is turned else slice(None)
                    torch.testing.assert_close(value.pooled[back], expected.pooled)
                    assert torch.equal(value.labels[back], expected.labels)
                    value, expected = value.length, expected.length  # noqa: PLW2901
                torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
