"""More tiny networks, each for one coupling: tokens, attention, recurrence, weights that are computed.

All take images of 3x8x8 unless said.
"""

from __future__ import annotations

import torch
from networks import Head, conv
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


class SeparateAttention(nn.Module):
    """Query, key and value of their own; eight heads by default."""

    heads, width = 8, 4

    def __init__(self, embed=16):
        super().__init__()
        self.embed = conv(3, embed, 1)
        inner = self.heads * self.width
        self.query, self.key, self.value = (nn.Linear(embed, inner) for _ in range(3))
        self.project = nn.Linear(inner, embed)
        self.linear = nn.Linear(embed, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        q, k, v = (
            part(x).view(*x.shape[:2], -1, self.width).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        x = x + self.project(self.attend(q, k, v).transpose(1, 2).flatten(2))
        return self.linear(x.mean(1))

    def attend(self, q, k, v):
        return (q @ k.transpose(-2, -1) / self.width**0.5).softmax(-1) @ v


class ScaledDotProduct(SeparateAttention):
    def attend(self, q, k, v):
        return functional.scaled_dot_product_attention(q, k, v)


class GroupedQueries(nn.Module):
    """Eight heads of queries, four at a time on one head of keys and values."""

    def __init__(self):
        super().__init__()
        self.width, self.repeats = 4, 4
        self.embed = conv(3, 16, 1)
        self.query, self.key, self.value = nn.Linear(16, 32), nn.Linear(16, 8), nn.Linear(16, 8)
        self.project = nn.Linear(32, 16)
        self.linear = nn.Linear(16, 5)

    def repeated(self, x):
        n, heads, tokens, width = x.shape
        x = x[:, :, None].expand(n, heads, self.repeats, tokens, width)
        return x.reshape(n, heads * self.repeats, tokens, width)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        q, k, v = (
            part(x).view(*x.shape[:2], -1, self.width).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        k, v = self.repeated(k), self.repeated(v)
        weights = (q @ k.transpose(-2, -1) * self.width**-0.5).softmax(-1)
        x = x + self.project((weights @ v).transpose(1, 2).reshape(*x.shape[:2], -1))
        return self.linear(x.mean(1))


class WindowAttention(nn.Module):
    """Eight heads over windows of 4x4 tokens, a table of biases by relative position."""

    def __init__(self):
        super().__init__()
        self.heads, self.scale = 8, 0.5
        self.qkv, self.project = nn.Linear(16, 96), nn.Linear(32, 16)
        self.table = nn.Parameter(torch.zeros(49, 8))
        rows, columns = torch.arange(16) // 4, torch.arange(16) % 4
        index = (rows[:, None] - rows + 3) * 7 + columns[:, None] - columns + 3
        self.register_buffer("index", index)

    def forward(self, x):
        n, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, 4).permute(2, 0, 3, 1, 4)
        bias = self.table[self.index.view(-1)].view(16, 16, -1).permute(2, 0, 1)
        weights = (q @ k.transpose(-2, -1) * self.scale + bias[None]).softmax(-1)
        return self.project((weights @ v).transpose(1, 2).reshape(n, tokens, -1))


class RelativePosition(nn.Module):
    """One window. Takes 3x4x4."""

    def __init__(self):
        super().__init__()
        self.embed = conv(3, 16, 1)
        self.attention = WindowAttention()
        self.linear = nn.Linear(16, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        return self.linear((x + self.attention(x)).mean(1))


class ShiftedWindows(RelativePosition):
    """Four windows of an image that is rolled, cut up, put together and rolled back."""

    def forward(self, x):
        x = self.embed(x).permute(0, 2, 3, 1)
        n, height, width, channels = x.shape
        y = torch.roll(x, (-2, -2), (1, 2))
        y = y.view(n, height // 4, 4, width // 4, 4, channels).permute(0, 1, 3, 2, 4, 5)
        y = self.attention(y.reshape(-1, 16, channels))
        y = y.view(n, height // 4, width // 4, 4, 4, -1).permute(0, 1, 3, 2, 4, 5)
        y = torch.roll(y.reshape(n, height, width, -1), (2, 2), (1, 2))
        return self.linear((x + y).mean((1, 2)))


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
