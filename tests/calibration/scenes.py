"""Tiny networks on calibration images, and the slow way to what observers see: one image at a time."""

from __future__ import annotations

import copy
from functools import reduce
from operator import or_

import torch
from networks import randomised
from torch import nn
from torch.nn import functional

from prunecli.calibration.gathering import gather
from prunecli.calibration.observing import Losses, Scene
from prunecli.graph.channel_graph import build_graph

IMAGES = 5


def classify(model, images, labels):
    """Cross-entropy on five classes."""
    logits = model(images)
    logits = logits["logits"] if isinstance(logits, dict) else logits
    return Losses(functional.cross_entropy(logits, labels, reduction="none"), logits.argmax(1) == labels)


def scene_of(model, *, images=IMAGES, shape=(3, 8, 8), dtype=torch.float64, seed=0):
    """A randomised network in double precision, its weights small enough that losses differ smoothly."""
    model = randomised(model, seed).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    return Scene(model, build_graph(model, shape), images)


def data(images=IMAGES, *, sizes=(2, 3), shape=(3, 8, 8), dtype=torch.float64, order=None, seed=1):
    """Batches of the given sizes."""
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.randn(images, *shape, generator=generator, dtype=dtype)
    labels = torch.randint(0, 5, (images,), generator=generator)
    if order is not None:
        pictures, labels = pictures[order], labels[order]
    assert sum(sizes) == images
    return list(zip(pictures.split(sizes), labels.split(sizes), strict=True))


def gathered(scene, batches, *needs):
    """Layer → attribute → evidence."""
    return gather(scene, batches, classify, needs=reduce(or_, needs))


def one_by_one(batches):
    """The images alone."""
    return [
        (image[None], label[None])
        for images, labels in batches
        for image, label in zip(images, labels, strict=True)
    ]


def whole(batches):
    """All images as one batch."""
    return [tuple(torch.cat(parts) for parts in zip(*batches, strict=True))]


def mean_loss(model, batches):
    """The mean loss over all images, differentiable."""
    images, labels = whole(batches)[0]
    return classify(model, images, labels).each.mean()


def slopes_of_gates(model, modules, batches, channels, *, axis=1):
    """(n, channels): ∂L_b/∂m of one gate m = 1 on the outputs of `modules` (paths), through autograd.

    `modules` are those whose outputs are the feature maps; `axis` counts their channels.
    """
    model = copy.deepcopy(model).requires_grad_(False)
    gate = torch.ones(channels, dtype=next(model.parameters()).dtype, requires_grad=True)

    def gated(module, args, output):
        return output * gate.reshape(-1, *[1] * (output.dim() - 1 - axis % output.dim()))

    for path in modules:
        model.get_submodule(path).register_forward_hook(gated)
    losses = (classify(model, image, label).each.sum() for image, label in one_by_one(batches))
    return torch.stack([torch.autograd.grad(loss, gate)[0] for loss in losses])


def weight_gradients(model, name, batches):
    """(n, *weight): ∂L_b/∂W image by image."""
    model = copy.deepcopy(model).requires_grad_(True)
    losses = (classify(model, image, label).each.sum() for image, label in one_by_one(batches))
    weight = model.get_parameter(name)
    return torch.stack([torch.autograd.grad(loss, weight, materialize_grads=True)[0] for loss in losses])


class Block(nn.Module):
    """Two convolutions with batch norms, a shortcut around them, and everything in place that can be."""

    def __init__(self, *, in_place=True):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.conv1 = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.relu1 = nn.ReLU(inplace=in_place)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(6)
        self.relu2 = nn.ReLU(inplace=in_place)
        self.linear = nn.Linear(6, 5)
        self.in_place = in_place

    def forward(self, x):
        x = self.stem(x)
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        if self.in_place:
            y += x
        else:
            y = y + x
        return self.linear(self.relu2(y).mean((2, 3)))


class Tokens(nn.Module):
    """Linear layers on tokens, as in a transformer: a hidden layer behind GELU, a sum around it."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.norm = nn.LayerNorm(8)
        self.hidden = nn.Linear(8, 12)
        self.act = nn.GELU()
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(12, 8)
        self.linear = nn.Linear(8, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = x + self.out(self.drop(self.act(self.hidden(self.norm(x)))))
        return self.linear(x.mean(1))


class Windows(nn.Module):
    """A linear layer on windows that were moved into the first dimension."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.inside = nn.Linear(6, 7)
        self.act = nn.ReLU()
        self.linear = nn.Linear(7, 5)

    def forward(self, x):
        x = self.stem(x).permute(0, 2, 3, 1)
        n, height, width, channels = x.shape
        x = x.reshape(n, height // 4, 4, width // 4, 4, channels).transpose(2, 3).reshape(-1, 16, channels)
        x = self.act(self.inside(x))
        return self.linear(x.reshape(n, -1, x.shape[-1]).mean(1))
