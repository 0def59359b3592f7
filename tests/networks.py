"""Tiny networks, each named for the one coupling that it shows. All take images of 3x8x8 unless said."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def conv(into, out, kernel=3, **kwargs):
    return nn.Conv2d(into, out, kernel, padding=kernel // 2, **kwargs)


class Head(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.linear = nn.Linear(channels, 5)

    def forward(self, x):
        return self.linear(x.mean((2, 3)))


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = conv(3, 8, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = conv(8, 6)
        self.head = Head(6)

    def forward(self, x):
        return self.head(self.conv2(functional.relu(self.bn1(self.conv1(x)))))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.inner = conv(8, 12)
        self.outer = conv(12, 8)
        self.head = Head(8)

    def forward(self, x):
        x = functional.relu(self.stem(x))
        return self.head(functional.relu(x + self.outer(functional.relu(self.inner(x)))))


class Pad(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.before = before
        self.after = after

    def forward(self, x):
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))


class PaddedShortcut(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 4)
        self.down = conv(4, 8, stride=2)
        self.bn = nn.BatchNorm2d(8)
        self.shortcut = Pad(2, 2)
        self.head = Head(8)

    def forward(self, x):
        x = functional.relu(self.stem(x))
        return self.head(functional.relu(self.bn(self.down(x)) + self.shortcut(x)))


class LiteralPad(PaddedShortcut):
    """The padding is a literal of the forward: it cannot follow."""

    def forward(self, x):
        x = functional.relu(self.stem(x))
        short = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return self.head(functional.relu(self.bn(self.down(x)) + short))


class Concatenation(nn.Module):
    def __init__(self):
        super().__init__()
        self.left = conv(3, 4)
        self.right = conv(3, 6)
        self.bn = nn.BatchNorm2d(10)
        self.join = conv(10, 8)
        self.head = Head(8)

    def forward(self, x):
        return self.head(self.join(functional.relu(self.bn(torch.cat([self.left(x), self.right(x)], 1)))))


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 4)
        self.first = conv(4, 4)
        self.second = conv(8, 4)
        self.head = Head(12)

    def forward(self, x):
        x = self.stem(x)
        x = torch.cat([x, self.first(functional.relu(x))], 1)
        x = torch.cat([x, self.second(functional.relu(x))], 1)
        return self.head(x)


class Chunk(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.left = conv(4, 6)
        self.head = Head(6)

    def forward(self, x):
        a, b = self.stem(x).chunk(2, dim=1)
        return self.head(self.left(a * torch.sigmoid(b)))


class StridedSlice(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.next = conv(4, 4)
        self.head = Head(4)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.next(x[:, ::2] + x[:, 1::2]))


class StridedHalves(nn.Module):
    """Even and odd channels go separate ways: nothing but the stride ties them."""

    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.even = conv(4, 6)
        self.odd = conv(4, 6)
        self.head = Head(12)

    def forward(self, x):
        x = self.stem(x)
        return self.head(torch.cat([self.even(x[:, ::2]), self.odd(x[:, 1::2])], 1))


class ChannelShuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.mix = conv(8, 8, groups=2)
        self.last = conv(8, 6)
        self.head = Head(6)

    def forward(self, x):
        x = self.mix(self.stem(x))
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.head(self.last(functional.relu(x)))


class PixelShuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 16)
        self.shuffle = nn.PixelShuffle(2)
        self.last = conv(4, 6)
        self.head = Head(6)

    def forward(self, x):
        return self.head(self.last(self.shuffle(self.stem(x))))


class Grouped(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 16)
        self.grouped = conv(16, 16, groups=8)
        self.head = Head(16)

    def forward(self, x):
        return self.head(functional.relu(self.grouped(functional.relu(self.stem(x)))))


class Depthwise(nn.Module):
    def __init__(self):
        super().__init__()
        self.expand = conv(3, 8, 1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.depthwise = conv(8, 8, groups=8)
        self.project = conv(8, 4, 1)
        self.head = Head(4)

    def forward(self, x):
        return self.head(
            self.project(functional.relu6(self.depthwise(functional.relu6(self.bn(self.expand(x))))))
        )


class DepthwiseMultiplier(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.depthwise = conv(8, 16, groups=8)
        self.head = Head(16)

    def forward(self, x):
        return self.head(self.depthwise(self.stem(x)))


class Transposed(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.head = Head(6)

    def forward(self, x):
        return self.head(functional.relu(self.up(self.stem(x))))


class GroupedTransposed(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 16)
        self.up = nn.ConvTranspose2d(16, 24, 2, stride=2, groups=8)
        self.head = Head(24)

    def forward(self, x):
        return self.head(functional.relu(self.up(self.stem(x))))


class FlattenLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 6, stride=2)
        self.linear1 = nn.Linear(6 * 16, 10)
        self.linear2 = nn.Linear(10, 5)

    def forward(self, x):
        return self.linear2(functional.relu(self.linear1(torch.flatten(functional.relu(self.stem(x)), 1))))


class ChannelsLastFlatten(FlattenLinear):
    def forward(self, x):
        x = functional.relu(self.stem(x)).permute(0, 2, 3, 1)
        return self.linear2(functional.relu(self.linear1(x.flatten(1))))


class ConcatenationThenFlatten(nn.Module):
    def __init__(self):
        super().__init__()
        self.left = conv(3, 4, stride=2)
        self.right = conv(3, 6, stride=2)
        self.linear = nn.Linear(160, 5)

    def forward(self, x):
        return self.linear(torch.cat([self.left(x), self.right(x)], 1).flatten(1))


class SqueezeExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.down = nn.Conv2d(8, 4, 1)
        self.up = nn.Conv2d(4, 8, 1)
        self.head = Head(8)

    def forward(self, x):
        x = self.stem(x)
        gate = functional.adaptive_avg_pool2d(x, 1)
        return self.head(x * torch.sigmoid(self.up(functional.relu(self.down(gate)))))


class OneChannelGate(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.gate = conv(8, 1)
        self.head = Head(8)

    def forward(self, x):
        x = self.stem(x)
        return self.head(x * torch.sigmoid(self.gate(x)))


class OneChannelInput(nn.Module):
    """A convolution of one input channel is not depthwise. Takes 1x8x8."""

    def __init__(self):
        super().__init__()
        self.stem = conv(1, 8)
        self.narrow = conv(8, 1)
        self.wide = conv(1, 6)
        self.head = Head(6)

    def forward(self, x):
        return self.head(self.wide(self.narrow(self.stem(x))))


class BareParameters(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.scale = nn.Parameter(torch.ones(1, 8, 1, 1))
        self.shift = nn.Parameter(torch.zeros(8))
        self.register_buffer("kernel", torch.rand(8, 1, 3, 3))
        self.head = Head(8)

    def forward(self, x):
        x = self.stem(x) * self.scale + self.shift[None, :, None, None]
        return self.head(functional.conv2d(x, self.kernel, groups=x.shape[1]))


class SharedLayer(nn.Module):
    """One layer called three times: a recurrent cell in space."""

    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.cell = conv(8, 8)
        self.head = Head(8)

    def forward(self, x):
        x = self.stem(x)
        for _ in range(3):
            x = torch.tanh(self.cell(x))
        return self.head(x)


class TiedWeights(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.first = nn.Linear(8, 6, bias=False)
        self.second = nn.Linear(6, 5)
        self.again = nn.Linear(8, 6, bias=False)
        self.again.weight = self.first.weight

    def forward(self, x):
        x = self.stem(x).mean((2, 3))
        return self.second(torch.relu(self.first(x)) + torch.tanh(self.again(x)))


class PerChannelNorms(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.instance = nn.InstanceNorm2d(8, affine=True, track_running_stats=True)
        self.prelu = nn.PReLU(8)
        self.next = conv(8, 6)
        self.frozen_scale = nn.Buffer(torch.rand(6))
        self.head = Head(6)

    def forward(self, x):
        x = self.next(self.prelu(self.instance(self.stem(x))))
        return self.head(x * self.frozen_scale.reshape(1, -1, 1, 1))


class LayerNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.norm = nn.LayerNorm(8)
        self.linear = nn.Linear(8, 5)

    def forward(self, x):
        return self.linear(self.norm(self.stem(x).flatten(2).transpose(1, 2)).mean(1))


class GroupNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 16)
        self.norm = nn.GroupNorm(2, 16)
        self.head = Head(16)

    def forward(self, x):
        return self.head(functional.relu(self.norm(self.stem(x))))


class OverChannels(nn.Module):
    """A softmax and a mean over channels: statistics of those that are kept."""

    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.next = conv(8, 6)
        self.head = Head(6)

    def forward(self, x):
        x = self.stem(x)
        x = x * torch.softmax(x, 1) + x.mean(1, keepdim=True)
        return self.head(self.next(x))


class WeightStandardised(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.weight = nn.Parameter(torch.rand(6, 8, 3, 3))
        self.head = Head(6)

    def forward(self, x):
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        weight = (self.weight - mean) * torch.rsqrt(variance + 1e-5)
        return self.head(functional.conv2d(self.stem(x), weight))


class FusedAttention(nn.Module):
    """Fused query, key and value of eight heads with a stated scale."""

    def __init__(self):
        super().__init__()
        self.heads = 8
        self.width = 4
        self.scale = 0.5
        self.embed = conv(3, 16, 1)
        self.qkv = nn.Linear(16, 96)
        self.project = nn.Linear(32, 16)
        self.linear = nn.Linear(16, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        n, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        weights = ((q @ k.transpose(-2, -1)) * self.scale).softmax(-1)
        x = x + self.project((weights @ v).transpose(1, 2).reshape(n, tokens, -1))
        return self.linear(x.mean(1))


class ScaledByWidth(FusedAttention):
    """Two wide heads and a scale that follows their width."""

    def __init__(self):
        super().__init__()
        self.heads = 2
        self.width = 16

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        n, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        weights = ((q @ k.transpose(-2, -1)) * self.width**-0.5).softmax(-1)
        x = x + self.project((weights @ v).transpose(1, 2).reshape(n, tokens, -1))
        return self.linear(x.mean(1))


class TorchAttention(nn.Module):
    """PyTorch's own attention module: eight heads, batch and heads merged into one dimension inside."""

    def __init__(self):
        super().__init__()
        self.embed = conv(3, 32, 1)
        self.norm = nn.LayerNorm(32)
        self.attention = nn.MultiheadAttention(32, 8, batch_first=True)
        self.linear = nn.Linear(32, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return self.linear(x.mean(1))


class PreparedOnce(nn.Module):
    """The first call makes a table that later calls read."""

    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.table = None
        self.head = Head(8)

    def forward(self, x):
        if self.table is None:
            self.table = torch.arange(8, device=x.device).to(x.dtype) / 8
        return self.head(self.stem(x) * self.table)


class Amplifying(Plain):
    """A chaotic map behind the head: the last bit of the input changes the eighth digit of the output."""

    def forward(self, x):
        y = torch.sigmoid(super().forward(x))
        for _ in range(28):
            y = 4 * y * (1 - y)
        return y


class FunctionalDropout(Plain):
    def forward(self, x):
        x = functional.dropout(functional.relu(self.bn1(self.conv1(x))), 0.5, training=self.training)
        return self.head(self.conv2(x))


class StandardisedByBatchNorm(nn.Module):
    """A weight brought to mean zero and variance one by `batch_norm`, over channels that may leave."""

    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.weight = nn.Parameter(torch.rand(6, 8, 3, 3))
        self.gain = nn.Parameter(torch.ones(6))
        self.head = Head(6)

    def forward(self, x):
        flat = self.weight.reshape(1, self.weight.shape[0], -1)
        weight = functional.batch_norm(flat, None, None, weight=self.gain, training=True)
        return self.head(functional.conv2d(self.stem(x), weight.reshape(self.weight.shape)))


class TwoOutputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.features = conv(8, 6)
        self.head = Head(8)

    def forward(self, x):
        x = functional.relu(self.stem(x))
        return {"logits": self.head(x), "features": self.features(x)}


class TrainingBranch(nn.Module):
    """A head that only training runs."""

    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.auxiliary = Head(8)
        self.next = conv(8, 6)
        self.head = Head(6)

    def forward(self, x):
        x = functional.relu(self.stem(x))
        result = self.head(self.next(x))
        return (result, self.auxiliary(x)) if self.training else result


class WrittenInPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.left = conv(3, 4)
        self.right = conv(3, 4)
        self.next = conv(8, 6)
        self.head = Head(6)

    def forward(self, x):
        a, b = self.left(x), self.right(x)
        both = a.new_zeros((a.shape[0], a.shape[1] + b.shape[1], *a.shape[2:]))
        both[:, : a.shape[1]] = a
        both[:, a.shape[1] :] = b
        return self.head(self.next(both.relu_()))


class UnknownOperator(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.free = conv(3, 8)
        self.next = conv(8, 6)
        self.head = Head(6)

    def forward(self, x):
        strange = torch.linalg.matrix_exp(self.stem(x))
        return self.head(self.next(self.free(x))) + strange.mean()


def randomised(model, seed=0):
    """Random weights, and batch-norm scales, shifts and statistics that hide no mistake."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            positive = "running_var" in name or (tensor.dim() == 1 and "weight" in name)
            tensor.copy_(noise.abs() + 0.5 if positive else noise * 0.5)
    return model.eval()


PRUNED_EVERYWHERE = [
    Plain, Residual, PaddedShortcut, Concatenation, Dense, Chunk, StridedSlice, StridedHalves, ChannelShuffle,
    PixelShuffle, Grouped, Depthwise, DepthwiseMultiplier, Transposed, GroupedTransposed, FlattenLinear,
    ChannelsLastFlatten, ConcatenationThenFlatten, SqueezeExcite, OneChannelGate, BareParameters, SharedLayer,
    TiedWeights, PerChannelNorms, LayerNorm, GroupNorm, OverChannels, WeightStandardised, FusedAttention,
    TorchAttention, PreparedOnce, FunctionalDropout,
    StandardisedByBatchNorm, TwoOutputs, TrainingBranch, WrittenInPlace, UnknownOperator,
]  # fmt: skip


COUPLINGS = (
    Plain,
    Residual,
    PaddedShortcut,
    Concatenation,
    Dense,
    Grouped,
    Depthwise,
    DepthwiseMultiplier,
    Transposed,
    FlattenLinear,
    SqueezeExcite,
    SharedLayer,
    FusedAttention,
)
"""One network for each way in which channels hang together; all take 3 × 8 × 8."""
