"""More tiny networks, each for one coupling: joins and parts, norms, recurrence, weights that are computed.

All take images of 3x8x8 unless said.
"""

from __future__ import annotations

import torch
from networks import GroupNorm, Head, conv
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize


class Cascade(nn.Module):
    """Each layer reads the one before, and all of them are joined."""

    def __init__(self):
        super().__init__()
        self.stem, self.first, self.second = conv(3, 8), conv(8, 4), conv(4, 4)
        self.join = conv(16, 6, 1)
        self.head = Head(6)

    def forward(self, x):
        x = self.stem(x)
        y = self.first(x)
        return self.head(self.join(torch.cat([x, y, self.second(y)], 1)))


class JoinedInWidth(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right, self.next = conv(3, 6), conv(3, 6), conv(6, 4)
        self.head = Head(4)

    def forward(self, x):
        return self.head(self.next(torch.cat([self.left(x), self.right(x)], 3)))


class SplitBySizes(nn.Module):
    """The sizes are a list of the module."""

    def __init__(self):
        super().__init__()
        self.sizes = [4, 6]
        self.stem, self.left, self.right = conv(3, 10), conv(4, 6), conv(6, 6)
        self.head = Head(6)

    def forward(self, x):
        a, b = torch.split(self.stem(x), self.sizes, dim=1)
        return self.head(self.left(a) + self.right(b))


class Sliced(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = 3
        self.stem, self.left, self.right = conv(3, 8), conv(3, 6), conv(5, 6)
        self.head = Head(6)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.left(x[:, : self.first]) + self.right(x[:, self.first :]))


class PixelUnshuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.next = conv(3, 4), conv(16, 6)
        self.shuffle = nn.PixelUnshuffle(2)
        self.head = Head(6)

    def forward(self, x):
        return self.head(self.next(self.shuffle(self.stem(x))))


class GlobalPooling(nn.Module):
    """The mean and the maximum of every channel."""

    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.mean, self.largest = nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1)
        self.linear = nn.Linear(16, 5)

    def forward(self, x):
        x = self.stem(x)
        return self.linear(torch.cat([self.mean(x).flatten(1), self.largest(x).flatten(1)], 1))


class Tokens(nn.Module):
    """A class token, and an embedding of every position."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        self.positions = nn.Parameter(torch.zeros(1, 5, 16))
        self.norm = nn.LayerNorm(16)
        self.linear = nn.Linear(16, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.linear(self.norm(x)[:, 0])


class FixedPoint(nn.Module):
    """A cell that is called until it hardly changes: here four times, from zero."""

    def __init__(self):
        super().__init__()
        self.stem, self.cell = conv(3, 8), conv(8, 8)
        self.head = Head(8)

    def forward(self, x):
        x = self.stem(x)
        z = torch.zeros_like(x)
        for _ in range(4):
            z = torch.tanh(self.cell(z) + x)
        return self.head(z)


class EightGroups(GroupNorm):
    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(8, 16)


class RMSNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.norm = nn.RMSNorm(8)
        self.linear = nn.Linear(8, 5)

    def forward(self, x):
        return self.linear(self.norm(self.stem(x).flatten(2).transpose(1, 2)).mean(1))


class Recurrent(nn.Module):
    """A recurrent layer of ten inputs over a sequence of 7x6. Takes 7x6."""

    def __init__(self, layer, width):
        super().__init__()
        self.embed = nn.Linear(6, 10)
        self.layer = layer
        self.linear = nn.Linear(width, 5)

    def forward(self, x):
        return self.linear(self.layer(torch.relu(self.embed(x)))[0])


class RecurrentCell(nn.Module):
    """A cell that the forward calls step by step. Takes 7x6."""

    def __init__(self, kind):
        super().__init__()
        self.cell = kind(6, 8)
        self.linear = nn.Linear(8, 5)

    def forward(self, x):
        state = None
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
        return self.linear(state[0] if isinstance(state, tuple) else state)


class TiedHead(nn.Module):
    """A language model whose head has the weight of its embedding."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 16)
        self.up, self.down = nn.Linear(16, 24), nn.Linear(24, 16)
        self.head = nn.Linear(16, 11, bias=False)
        self.head.weight = self.embedding.weight

    def example_inputs(self, batch):
        return (torch.full((batch, 6), 10),)

    def forward(self, ids):
        x = self.embedding(ids)
        return self.head(x + self.down(torch.relu(self.up(x))))


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = conv(3, 8), conv(3, 8)
        self.head = Head(8)

    def forward(self, x, y):
        return self.head(torch.relu(self.left(x)) + torch.relu(self.right(y)))


class Einsum(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.next = conv(3, 8), conv(6, 4)
        self.mix = nn.Parameter(torch.zeros(6, 8))
        self.head = Head(4)

    def forward(self, x):
        return self.head(self.next(torch.einsum("nchw,oc->nohw", self.stem(x), self.mix)))


class PartialConvolution(nn.Module):
    """Only the first four of twelve channels are convolved."""

    def __init__(self):
        super().__init__()
        self.convolved, self.left_alone = 4, 8
        self.stem, self.partial, self.next = conv(3, 12), conv(4, 4), conv(12, 6, 1)
        self.head = Head(6)

    def forward(self, x):
        first, rest = torch.split(self.stem(x), [self.convolved, self.left_alone], dim=1)
        return self.head(self.next(torch.cat([self.partial(first), rest], 1)))


class Frozen(nn.Module):
    """Batch norm by torchvision whose numbers are all buffers."""

    def __init__(self, norm):
        super().__init__()
        self.stem, self.norm, self.next = conv(3, 8, bias=False), norm(8), conv(8, 6)
        self.head = Head(6)

    def forward(self, x):
        return self.head(self.next(torch.relu(self.norm(self.stem(x)))))


class Positive(nn.Module):
    def forward(self, weight):
        return functional.softplus(weight)


class Parametrised(nn.Module):
    """One weight by its length and direction, one that is made positive."""

    def __init__(self):
        super().__init__()
        self.stem, self.next, self.last = (
            parametrizations.weight_norm(conv(3, 8)),
            parametrizations.weight_norm(conv(8, 6)),
            conv(6, 4),
        )
        parametrize.register_parametrization(self.last, "weight", Positive())
        self.head = Head(4)

    def forward(self, x):
        return self.head(self.last(self.next(torch.relu(self.stem(x)))))


class SpectralNorm(nn.Module):
    """A weight over the largest of its singular values, which training iterates."""

    def __init__(self):
        super().__init__()
        self.stem, self.next = conv(3, 8), parametrizations.spectral_norm(conv(8, 6))
        self.head = Head(6)

    def forward(self, x):
        return self.head(self.next(torch.relu(self.stem(x))))


class Functional(nn.Module):
    """Weights under names of their own."""

    def __init__(self):
        super().__init__()
        self.kernel, self.shift = nn.Parameter(torch.zeros(8, 3, 3, 3)), nn.Parameter(torch.zeros(8))
        self.matrix, self.last = nn.Parameter(torch.zeros(6, 8)), nn.Parameter(torch.zeros(5, 6))

    def forward(self, x):
        x = torch.relu(functional.conv2d(x, self.kernel, self.shift)).mean((2, 3))
        return functional.linear(torch.relu(functional.linear(x, self.matrix)), self.last)


class BlurPool(nn.Module):
    """One constant kernel for every channel, spread by the number that the input has."""

    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.register_buffer("kernel", torch.ones(1, 1, 3, 3) / 9)
        self.head = Head(8)

    def forward(self, x):
        x = self.stem(x)
        kernel = self.kernel.expand(x.shape[1], -1, -1, -1)
        return self.head(functional.conv2d(x, kernel, stride=2, groups=x.shape[1]))


class Detached(nn.Module):
    """A branch through which no gradient comes back."""

    def __init__(self):
        super().__init__()
        self.stem, self.side = conv(3, 8), conv(8, 4)
        self.head = Head(12)

    def forward(self, x):
        x = self.stem(x)
        return self.head(torch.cat([x, self.side(x.detach())], 1))


class NormsWithoutScale(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.norms = nn.Sequential(
            nn.BatchNorm2d(8, affine=False), nn.GroupNorm(1, 8, affine=False), nn.InstanceNorm2d(8)
        )
        self.last = nn.LayerNorm(8, elementwise_affine=False)
        self.linear = nn.Linear(8, 5)

    def forward(self, x):
        x = torch.relu(self.norms(self.stem(x))).permute(0, 2, 3, 1)
        return self.linear(self.last(x).mean((1, 2)))


class ResponseNorm(nn.Module):
    """Every channel over the mean length of all of them: global response normalisation."""

    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.gain, self.shift = nn.Parameter(torch.zeros(8)), nn.Parameter(torch.zeros(8))
        self.linear = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x).permute(0, 2, 3, 1)
        length = x.norm(p=2, dim=(1, 2), keepdim=True)
        x = self.gain * (x * (length / (length.mean(-1, keepdim=True) + 1e-6))) + self.shift + x
        return self.linear(torch.relu(x).mean((1, 2)))


class TokenMixing(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 2, stride=2)
        self.tokens = nn.Sequential(nn.Linear(16, 12), nn.GELU(), nn.Linear(12, 16))
        self.channels = nn.Sequential(nn.Linear(8, 20), nn.GELU(), nn.Linear(20, 8))
        self.linear = nn.Linear(8, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = x + self.tokens(x.transpose(1, 2)).transpose(1, 2)
        return self.linear((x + self.channels(x)).mean(1))
